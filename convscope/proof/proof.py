"""A run and pictures in, a Proof out: the verdict, and everything that it rests on."""

import copy
import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from convscope.convert import leaves, to_numpy
from convscope.errors import UsageError
from convscope.numpy_nn import Dropout, Layer
from convscope.proof import backward, forward
from convscope.proof.difference import Difference, Tie
from convscope.runs import Run

BATCH = 16  # pictures of the backward pass, at most; fewer where they would not fit into the memory


@dataclass(frozen=True)
class Gradients:
    """What the backward pass showed, on the first pictures, in float64.

    Attributes:
        images: how many pictures.
        train, eval: the gradients of the input and of every parameter, in each mode.
        step: every parameter and running statistic after `backward.STEPS` steps of SGD in train mode.
        grad_cam: the signed map at the CAM layer for the predicted class; None for a model without such a layer.
        dropout: the Dropout layers to which PyTorch was given NumPy's masks.
    """

    images: int
    train: tuple[Difference, ...]
    eval: tuple[Difference, ...]
    step: tuple[Difference, ...]
    grad_cam: Difference | None
    dropout: tuple[str, ...]


@dataclass(frozen=True)
class Proof:
    """What the replay found.

    Attributes:
        layers: the outputs of all layers over all pictures, in the order in which they run, the logits last.
        images: how many pictures.
        disputes: the pictures whose predictions differ.
        gradients: the backward pass; None if it was not asked for.
    """

    layers: tuple[Difference, ...]
    images: int
    disputes: tuple[Tie, ...] = ()
    gradients: Gradients | None = None

    @property
    def max_abs_diff(self) -> float:
        """The largest absolute difference at any layer."""
        return float(np.max([layer.max_abs_diff for layer in self.layers]))  # lets a NaN through

    @property
    def ties(self) -> tuple[Tie, ...]:
        """The pictures whose predictions differ by less than float32 can tell."""
        return tuple(dispute for dispute in self.disputes if dispute.ok)

    @property
    def same_predictions(self) -> bool:
        """Whether NumPy and PyTorch predict the same class for every picture that is no tie."""
        return self.finite and all(dispute.ok for dispute in self.disputes)

    @property
    def finite(self) -> bool:
        """Whether the logits are finite numbers, on both sides."""
        return math.isfinite(self.layers[-1].max_abs_diff)

    @property
    def problem(self) -> str:
        """The first thing that rounding cannot explain, in one line; empty if there is none."""
        for what, found in self._stages():
            if bad := next((d for d in found if not d.ok), None):
                if not math.isfinite(bad.max_abs_diff):
                    return f"{what} {bad.name} is not finite; `convscope doctor` looks for the reason"
                return f"{what} {bad.name} is {bad.max_abs_diff:.1e} off, rounding explains {bad.allowed:.1e}"
            if what == "layer" and (dispute := next((d for d in self.disputes if not d.ok), None)):
                return (
                    f"picture {dispute.index} is class {dispute.numpy_class} in NumPy and {dispute.torch_class} in "
                    f"PyTorch by a margin of {dispute.margin:.1e}; rounding explains {dispute.rounding:.1e}"
                )
        return ""

    @property
    def ok(self) -> bool:
        """Whether rounding explains every difference."""
        return not self.problem

    def _stages(self) -> list[tuple[str, tuple[Difference, ...]]]:
        """Everything that was compared, in the order in which a mistake would spread."""
        stages = [("layer", self.layers)]
        if (g := self.gradients) is not None:
            stages += [
                ("in train mode the gradient of", g.train),
                ("in eval mode the gradient of", g.eval),
                (f"after {backward.STEPS} steps of SGD", g.step),
                ("Grad-CAM at", () if g.grad_cam is None else (g.grad_cam,)),
            ]
        return stages


def prove(
    run: Run,
    images: NDArray[np.uint8],
    network: Layer | None = None,
    labels: NDArray[np.int64] | None = None,
) -> Proof:
    """Replay the trained network on `images` through `numpy_nn` alone, and compare it with PyTorch number by number.

    The replay works through the pictures in chunks, so that its memory does not grow with their number.

    Args:
        images: uint8, (N, C, H, W).
        network: the NumPy network to hold against the run; by default the conversion of the run's own model.
        labels: int64, (N,), the truth. Given, the first pictures also go through the backward pass: gradients, an
            optimiser step with the run's settings, and Grad-CAM; unless the logits are not finite.

    Raises:
        UsageError: no pictures (with labels, fewer than two), or a layer that `numpy_nn` does not have.
    """
    if len(images) < (least := 1 if labels is None else 2):
        wanted = "one picture" if least == 1 else "two pictures for the gradients of BatchNorm in train mode"
        raise UsageError(f"prove needs at least {wanted}, got {len(images) or 'none'}")
    if labels is not None and len(labels) != len(images):
        raise UsageError(f"prove got {len(labels)} labels for {len(images)} pictures; give one for each")
    model = copy.deepcopy(run.model).cpu().eval()
    network = to_numpy(model) if network is None else network
    with np.errstate(all="ignore"):  # what is not finite is found by comparing
        found = forward.replay(run, model, network, images)
    proof = Proof(found.layers, len(images), found.disputes)
    if labels is None or not proof.finite:
        return proof
    return replace(proof, gradients=_prove_backward(run, model, network, images, labels))


def _prove_backward(
    run: Run, model: nn.Module, network: Layer, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> Gradients:
    """The backward pass of as many of the first pictures as fit into the memory, `BATCH` at most."""
    first = run.preprocess(images[:1]).cpu().numpy()
    # float64 doubles the replay's memory; outputs, what layers remember, PyTorch's graph and gradients double it twice
    fit = backward.MEMORY // (8 * forward.bytes_a_picture(network, first))
    count = min(len(images), BATCH, max(2, fit))
    x = run.preprocess(images[:count]).cpu().double().numpy()
    batch = backward.Batch(x, labels[:count], run.config.train)
    training = backward.compare_gradients(backward.Twins.of(model, network, training=True), batch)
    step = backward.compare_steps(backward.Twins.of(model, network, training=True), batch)
    in_use = backward.Twins.of(model, network, training=False)
    return Gradients(
        images=count,
        train=training,
        eval=backward.compare_gradients(in_use, batch),
        step=step,
        grad_cam=backward.compare_grad_cam(in_use, batch),
        dropout=tuple(layer.name for layer in leaves(network) if isinstance(layer, Dropout)),
    )
