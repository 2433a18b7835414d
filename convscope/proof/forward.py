"""A run's model, its NumPy counterpart and pictures in; the distance of the two at every layer, and the ties, out."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from convscope.convert import Array
from convscope.numpy_nn import Layer
from convscope.proof.difference import Difference, Tie, largest
from convscope.proof.rounding import CEILING, SAFETY, forward_rounding, observe
from convscope.proof.walk import run_forward
from convscope.runs import Run

MEMORY = 2**26  # bytes for the pictures replayed at once; more is slower, the outputs leave the cache
MEASURED = 8  # pictures whose rounding is measured


@dataclass(frozen=True)
class Forward:
    """What the replay of the forward pass found: every layer in the order in which it runs, and who predicts what.

    Attributes:
        layers: the distance of the outputs, over all pictures.
        disputes: the pictures that NumPy and PyTorch put into different classes.
    """

    layers: tuple[Difference, ...]
    disputes: tuple[Tie, ...]


def replay(run: Run, model: nn.Module, network: Layer, images: NDArray[np.uint8], memory: int = MEMORY) -> Forward:
    """Run `images`, uint8 (N, C, H, W), through both, as many at once as fit into `memory` bytes.

    Each NumPy layer gets the output of the NumPy layer before it, never PyTorch's, so rounding errors add up as they
    would in any second implementation.

    Args:
        model: float32 on the CPU, in eval mode; nobody else's meanwhile.
        network: float32, in eval mode.
    """
    one = run.preprocess(images[:1]).cpu().numpy()
    at_once = max(1, memory // bytes_a_picture(network, one))
    few = run.preprocess(images[: min(MEASURED, at_once)]).cpu()
    rounding = forward_rounding(model, network, few)
    found: dict[str, Difference] = {}
    disputes: list[Tie] = []
    for start in range(0, len(images), at_once):
        x = run.preprocess(images[start : start + at_once]).cpu()
        ours, theirs = compare_outputs(model, network, x, found)
        disputes += disagreements(ours, theirs, start)
    layers = []
    for name, layer in found.items():
        layers.append(replace(layer, allowed=min(SAFETY * rounding[name], CEILING) * layer.scale))
    doubt = 2 * rounding[layers[-1].name] * layers[-1].scale  # both logits of a margin are rounded
    return Forward(tuple(layers), tuple(replace(tie, rounding=doubt) for tie in disputes))


def compare_outputs(model: nn.Module, network: Layer, x: Tensor, found: dict[str, Difference]) -> tuple[Array, Array]:
    """Enter into `found` how far the outputs for `x` lie apart; the logits, (N, K), of NumPy and of PyTorch."""
    outputs: dict[str, Array] = {}
    kinds: dict[str, str] = {}

    def keep(layer: Layer, _: Array, y: Array) -> None:
        outputs[layer.name] = y
        kinds[layer.name] = type(layer).__name__

    logits = run_forward(network, x.numpy(), keep, remember=False).copy()

    def compare(name: str, output: Tensor) -> None:
        theirs = output.numpy()
        ours = outputs.pop(name)
        scale = largest(theirs)
        ours -= theirs  # in place: nobody needs it any more
        before = found.get(name, Difference(name, kinds[name], 0.0, 0.0, 0.0))
        found[name] = replace(
            before,
            max_abs_diff=float(np.maximum(before.max_abs_diff, largest(ours))),  # unlike max(), lets a NaN through
            scale=float(np.maximum(before.scale, scale)),
        )

    theirs: Array = observe(model, x, set(kinds), compare).numpy()
    return logits, theirs


def disagreements(ours: Array, theirs: Array, start: int) -> list[Tie]:
    """The pictures, counted from `start`, whose largest logit stands elsewhere; both (N, K)."""
    mine, other = ours.argmax(axis=1), theirs.argmax(axis=1)
    return [
        Tie(
            index=start + int(i),
            numpy_class=int(mine[i]),
            torch_class=int(other[i]),
            margin=float(theirs[i, other[i]]) - float(theirs[i, mine[i]]),
            rounding=0.0,
        )
        for i in np.flatnonzero(mine != other)
    ]


def bytes_a_picture(network: Layer, x: Array) -> int:
    """The memory that the replay of one picture takes: all outputs, kept until compared, and the widest layer's work.

    Args:
        x: (1, C, H, W).
    """
    kept = work = 0

    def measure(layer: Layer, x: Array, y: Array) -> None:
        nonlocal kept, work
        kept += y.nbytes
        columns = 0
        if y.ndim == 4 and (weight := layer.params.get("weight", np.empty(0))).ndim == 4:
            columns = weight[0].size * getattr(layer, "groups", 1) * y[0, 0].size * y.itemsize  # im2col's matrix
        work = max(work, columns + 2 * (x.nbytes + y.nbytes))

    run_forward(network, x, measure, remember=False)
    return kept + 2 * work  # PyTorch works beside NumPy, on much the same
