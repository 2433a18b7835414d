"""A run and pictures in, a Proof out: the network replayed in NumPy, and its distance from PyTorch at each layer."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from convscope import numpy_nn
from convscope.convert import Array, to_numpy
from convscope.errors import UsageError
from convscope.runs import Run

TOLERANCE = 1e-4  # of a layer's largest value: float32 sums of thousands of terms in another order stay below
BATCH = 64  # pictures replayed at once, which bounds the memory


@dataclass(frozen=True)
class LayerDifference:
    """How far the two outputs of one layer lie apart, over all pictures.

    Attributes:
        name: the layer's dotted PyTorch name.
        kind: the NumPy layer that replays it.
        max_abs_diff: the largest absolute difference.
        scale: the largest absolute value of PyTorch's output.
    """

    name: str
    kind: str
    max_abs_diff: float
    scale: float

    @property
    def ok(self) -> bool:
        """Whether the difference is finite and below TOLERANCE of the scale."""
        return self.max_abs_diff <= TOLERANCE * max(self.scale, 1e-30)


@dataclass(frozen=True)
class Proof:
    """What the replay found; `layers` stand in the order in which they run, the logits last."""

    layers: tuple[LayerDifference, ...]
    images: int
    same_predictions: bool

    @property
    def max_abs_diff(self) -> float:
        """The largest absolute difference at any layer."""
        return float(np.max([layer.max_abs_diff for layer in self.layers]))  # lets a NaN through

    @property
    def ok(self) -> bool:
        """Whether every layer agrees within tolerance and every prediction is the same."""
        return self.same_predictions and all(layer.ok for layer in self.layers)


def prove(run: Run, images: NDArray[np.uint8], network: numpy_nn.Layer | None = None) -> Proof:
    """Replay the trained network on `images`, uint8 (N, C, H, W), through `numpy_nn` alone, and compare.

    Errors add up from layer to layer as they would in any second implementation: each NumPy layer gets the output
    of the NumPy layer before it, never PyTorch's.

    Args:
        network: the NumPy network to hold against the run; by default the conversion of the run's own model.

    Raises:
        UsageError: no pictures, or a layer that `numpy_nn` does not have.
    """
    if not len(images):
        raise UsageError("prove needs at least one picture, got none")
    network = to_numpy(run.model) if network is None else network
    found: dict[str, LayerDifference] = {}
    same = True
    for start in range(0, len(images), BATCH):
        x = run.preprocess(images[start : start + BATCH])
        ours: dict[str, tuple[str, Array]] = {}
        logits = trace(network, x.cpu().numpy(), ours)
        theirs = torch_outputs(run.model, x, set(ours))
        same &= bool((logits.argmax(axis=1) == list(theirs.values())[-1].argmax(axis=1)).all())
        for name, (kind, output) in ours.items():
            difference = float(np.abs(output - theirs[name]).max())
            scale = float(np.abs(theirs[name]).max())
            before = found.get(name, LayerDifference(name, kind, 0.0, 0.0))
            found[name] = LayerDifference(
                name,
                kind,
                float(np.maximum(difference, before.max_abs_diff)),  # unlike max(), lets a NaN through
                float(np.maximum(scale, before.scale)),
            )
    return Proof(tuple(found.values()), len(images), same)


def trace(layer: numpy_nn.Layer, x: Array, outputs: dict[str, tuple[str, Array]]) -> Array:
    """Run `layer` on `x`, noting under each layer's name its type and output; containers note only their sums."""
    if isinstance(layer, numpy_nn.Sequential):
        for child in layer.layers:
            x = trace(child, x, outputs)
        return x
    if isinstance(layer, numpy_nn.Residual):
        shortcut = x if layer.shortcut is None else trace(layer.shortcut, x, outputs)
        y = trace(layer.branch, x, outputs) + shortcut
    else:
        y = layer(x)
    outputs[layer.name] = (type(layer).__name__, y)
    return y


@torch.no_grad()
def torch_outputs(model: nn.Module, x: torch.Tensor, names: set[str]) -> dict[str, Array]:
    """What PyTorch's modules of these names give for `x`, in the order in which they run."""
    outputs: dict[str, Array] = {}
    private = copy.deepcopy(model)  # the hooks stay off the shared model
    for name, module in private.named_modules():
        if name in names:
            module.register_forward_hook(
                # copied: an in-place layer may follow
                lambda _, __, output, name=name: outputs.update({name: output.cpu().numpy().copy()})
            )
    private(x)
    return outputs
