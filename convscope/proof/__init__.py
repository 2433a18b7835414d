"""A run and pictures in, a Proof out: the network replayed in `numpy_nn`, held against PyTorch number by number."""

from convscope.proof.difference import Difference, Tie
from convscope.proof.proof import Gradients, Proof, prove

__all__ = ["Difference", "Gradients", "Proof", "Tie", "prove"]
