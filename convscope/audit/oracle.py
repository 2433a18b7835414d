"""An equation that explanations must obey in; how far the run's own checkpoint is from it, and how far it may be, out.

Everything is computed in float64, on copies, for the reason that `proof/rounding.py` gives: in float32 some of a
million activations lie within rounding of a ReLU's kink, where the gradient jumps. What two float64 programs may
differ by is `FLOAT64` = 2⁻³⁰ of the largest value, as in `convscope prove`. Where an oracle allows more, it says why.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor, nn

from convscope.audit.subject import Subject
from convscope.convert import Array, to_numpy
from convscope.errors import UsageError
from convscope.explain.capture import EvalCopy
from convscope.explain.methods import INPUT, is_of_input
from convscope.numpy_nn import Layer
from convscope.proof.backward import ClassGradients, Twins, class_gradients
from convscope.proof.rounding import FLOAT64
from convscope.registry import METHODS

PICTURES = 8  # on which most equations are tried


@dataclass(frozen=True)
class Measured:
    """How far the two sides of an equation lie apart, as a share of what `of` says."""

    error: float
    pictures: int
    allowed: float = FLOAT64
    of: str = "the largest value"
    note: str = ""


@dataclass(frozen=True)
class Oracle:
    """One equation on one checkpoint.

    Attributes:
        name: in a few words.
        methods: whose maps it is about.
        says: what must hold.
        measured: what was found; None where the equation does not apply.
        skipped: then why.
    """

    name: str
    methods: tuple[str, ...]
    says: str
    measured: Measured | None
    skipped: str = ""

    @property
    def ok(self) -> bool | None:
        """Whether it holds; None where it does not apply. A difference that is no number does not."""
        return None if self.measured is None else self.measured.error <= self.measured.allowed


@dataclass(frozen=True, eq=False)
class Exact:
    """The subject in float64: a private copy of the model, its first pictures, and the network in NumPy.

    Attributes:
        model: float64, eval mode.
        images: float64 (n, C, H, W).
        targets: int64 (n,).
        layer: where methods that look at a layer look; None: nowhere.
        passes: what a picture costs, by method.
        network: the conversion, float64; None where it has none.
        no_network: then why.
    """

    model: nn.Module
    images: Tensor
    targets: Tensor
    layer: str | None
    passes: Mapping[str, int]
    network: Layer | None
    no_network: str = ""

    @classmethod
    def of(cls, subject: Subject, passes: Mapping[str, int], most: int) -> "Exact":
        """Copies, so that what is done to them reaches nobody; at most so many pictures."""
        images = subject.images[:most].contiguous().double().cpu()
        network, why = None, ""
        model = copy.deepcopy(subject.model).cpu().eval().requires_grad_(False)
        try:
            twins = Twins.of(model, to_numpy(model), training=False)
            model, network = twins.model, twins.network
        except UsageError as error:
            model, why = model.double(), str(error)
        return cls(model, images, subject.targets[:most].cpu(), subject.layer, passes, network, why)

    @cached_property
    def copy(self) -> EvalCopy:
        """On which methods make their passes; it shares the pass of methods at one layer."""
        return EvalCopy(self.model)

    @cached_property
    def few(self) -> tuple[Tensor, Tensor]:
        """The first `PICTURES` pictures and their classes."""
        return self.images[:PICTURES], self.targets[:PICTURES]

    @cached_property
    def by_numpy(self) -> ClassGradients:
        """What NumPy's own backward pass says of these; UsageError where there is no such network or layer."""
        if self.network is None:
            raise UsageError(self.no_network)
        images, targets = self.few
        found = class_gradients(self.network, images.numpy(), self.layer, targets.numpy())
        if self.layer is not None and not found.activation.size:
            raise UsageError(f"layer {self.layer!r} is no layer of its own in NumPy")
        return found

    def maps(self, method: str, images: Tensor, targets: Tensor, layer: str | None = None) -> Tensor:
        """The float64 maps of a registered method; UsageError where it cannot be had."""
        run = METHODS.load(method)
        where = INPUT if is_of_input(run) else layer or self.layer
        if where is None:
            raise UsageError("no layer of at least 4×4")
        found: Tensor = run(self.copy, where, images, targets)
        return found.double()

    @cached_property
    def _firsts(self) -> dict[tuple[str, int], Tensor]:
        return {}

    def first(self, method: str, count: int) -> Tensor:
        """The maps of the first `count` pictures, made once."""
        if (method, count) not in self._firsts:
            self._firsts[method, count] = self.maps(method, self.images[:count], self.targets[:count])
        return self._firsts[method, count]

    def logits(
        self,
        images: Tensor,
        targets: Tensor,
        layer: str | None = None,
        change: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Each picture's target logit, (n,), perhaps with the output of `layer` changed on the way."""
        return self.copy.logits(images, layer, change).gather(1, targets.view(-1, 1))[:, 0]


def apart(found: Tensor | Array, expected: Tensor | Array) -> float:
    """The largest difference over the largest expected value; infinite where it is no number or shapes differ."""
    ours, theirs = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if ours.shape != theirs.shape or not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return float("inf")
    difference, scale = float(np.abs(ours - theirs).max()), float(np.abs(theirs).max())
    return difference / scale if scale else (0.0 if difference == 0 else float("inf"))
