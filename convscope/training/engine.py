"""A model and its settings in, what computes its training steps out: PyTorch to use, NumPy to read."""

from typing import Any, Protocol

from torch import Tensor, nn

from convscope.config import TrainConfig
from convscope.training.numpy_engine import NumPyEngine
from convscope.training.precision import Arithmetic
from convscope.training.torch_engine import TorchEngine


class Engine(Protocol):
    """A network, its optimiser, and how a step is computed."""

    def step(self, images: Tensor, labels: Tensor, lr: float, seed: int) -> tuple[float, int]:
        """Forward, backward, update, in train mode; (mean loss, correct predictions) of the batch before the update.

        Args:
            images: float32 (N, C, H, W), normalised.
            labels: int64 (N,).
            lr: of this step.
            seed: of what the network itself draws: dropout.
        """

    def measure(self, images: Tensor, labels: Tensor) -> tuple[float, int]:
        """(sum of the cross-entropies, correct predictions) in eval mode, in the precision of the weights."""

    def state_dict(self) -> dict[str, Any]:
        """Plain tensors and values: `model_state`, `optimizer_state`, `scaler`."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""


def make_engine(model: nn.Module, config: TrainConfig, arithmetic: Arithmetic) -> Engine:
    """The engine that ``train.engine`` names, starting from the weights of `model`."""
    return (NumPyEngine if config.engine == "numpy" else TorchEngine)(model, config, arithmetic)
