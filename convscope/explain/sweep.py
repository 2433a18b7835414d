"""A model and one picture in; its explanations by every method, and by one method at every layer, out."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from convscope.errors import ConvscopeError, UsageError
from convscope.explain.capture import EvalCopy
from convscope.explain.explainer import Target, explain
from convscope.explain.explanation import Explanation
from convscope.explain.methods import INPUT, RefusalError, is_of_input
from convscope.registry import METHODS


@dataclass(frozen=True, eq=False)
class Attempt:
    """One method at one layer.

    Attributes:
        method, layer: their names; the layer is `input` where the method explains the picture's own pixels.
        found: of the one picture; None where the method cannot be had here.
        problem: then why, in a few words; else None.
    """

    method: str
    layer: str
    found: Explanation | None
    problem: str | None

    @property
    def evidence(self) -> str | None:
        """As in the explanation: `"positive"`, or `"none"` for an empty map; None where there is none at all."""
        return None if self.found is None else self.found.evidence[0]


@dataclass(frozen=True, eq=False)
class Sweep:
    """One picture, explained in every way.

    Attributes:
        target: the class that all are about.
        layer: where the methods that look at a layer looked.
        method: the one that went from layer to layer.
        methods: each of `METHODS`, in their order.
        layers: `method` at each layer over which a map can be drawn, in the order in which they finish.
    """

    target: int
    layer: str
    method: str
    methods: tuple[Attempt, ...]
    layers: tuple[Attempt, ...]


def sweep(
    model: nn.Module,
    image: Tensor,
    target: Target = None,
    layer: str | None = None,
    method: str = "grad-cam",
    progress: Callable[[int, int], None] | None = None,
) -> Sweep:
    """Explain one picture by every method, and by one of them at every layer.

    A method that the model cannot have is no error here: its place says why. Layers are those of `feature_maps` that
    are larger than 1×1: a residual sum is one, a sequence is not.

    Args:
        model, target: as in `explain`.
        image: float, (1, C, H, W), normalised.
        layer: where the methods look that look at a layer; as in `explain`.
        method: the one for the layers; it must look at one.
        progress: called with how many of how many are done.

    Raises:
        UsageError: the picture, target or layer cannot be used, or the method looks at no layer.
    """
    layered = [name for name in METHODS if not is_of_input(METHODS.load(name))]
    if is_of_input(METHODS.load(method)):
        raise UsageError(
            f"{method} explains the picture's own pixels, so it cannot go from layer to layer; "
            f"choose from {', '.join(layered)}"
        )
    if image.ndim == 4 and len(image) != 1:
        raise UsageError(f"a sweep is of one picture (1, C, H, W), got {tuple(image.shape)}")
    plain = explain(
        model, image, target, layer, "grad-cam"
    )  # what cannot be used at all is said once, not in each tile
    copy = EvalCopy(model)
    names = [call.layer for call in copy.calls(image, modules=copy.layers(image)) if not call.problem]
    asked = [(name, plain.layer if name in layered else INPUT) for name in METHODS]
    asked += [(method, name) for name in names]
    attempts = []
    for done, (name, where) in enumerate(asked):
        if progress:
            progress(done, len(asked))
        attempts.append(_attempt(model, image, plain.targets.tolist(), where, name))
    if progress:
        progress(len(asked), len(asked))
    first = len(METHODS)
    return Sweep(int(plain.targets[0]), plain.layer, method, tuple(attempts[:first]), tuple(attempts[first:]))


def _attempt(model: nn.Module, image: Tensor, target: Target, layer: str, method: str) -> Attempt:
    """The explanation, or why there is none."""
    try:
        return Attempt(method, layer, explain(model, image, target, None if layer == INPUT else layer, method), None)
    except RefusalError as error:
        return Attempt(method, layer, None, error.reason)
    except ConvscopeError as error:
        return Attempt(method, layer, None, _shortened(str(error), layer))


def _shortened(message: str, layer: str) -> str:
    """What a message says of the layer, without naming it again and without the choices."""
    return message.removeprefix(f"layer {layer!r} cannot be used: ").split(";")[0]
