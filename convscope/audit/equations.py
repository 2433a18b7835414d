"""The equations of explanations on a checkpoint: what `oracle` calls oracles, one small function each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convscope.audit import differences, through_numpy
from convscope.audit.maps import MethodMaps, Tell
from convscope.audit.oracle import PICTURES, Exact, Measured, Oracle, apart
from convscope.audit.subject import Subject
from convscope.errors import ConvscopeError, UsageError
from convscope.explain.gradients import COMPLETE, STEPS
from convscope.proof.rounding import FLOAT64

BATCH = 64  # pictures that are explained together and one by one
COMPLETED = 1024  # passes for the completeness of integrated gradients
PASSES = 128  # that one side of this may take for a method; a slow one gets fewer pictures


@dataclass(frozen=True)
class Equation:
    """An oracle still to be tried: `check` measures it, or raises UsageError where it does not apply."""

    name: str
    methods: tuple[str, ...]
    says: str
    check: Callable[[Exact], Measured]


def classic_cam(exact: Exact) -> Measured:
    """Grad-CAM against the head's own weights."""
    layer = last_layer(exact)
    images, targets = exact.few
    expected = exact.maps("cam", images, targets, layer)  # refuses by the numbers where it does not exist
    places = expected.shape[1] * expected.shape[2]
    error = apart(exact.maps("grad-cam", images, targets, layer) * places, expected)
    return Measured(error, len(images), note=f"at {layer}")


def conservation(exact: Exact) -> Measured:
    """HiResCAM against the logit, by Euler's theorem on homogeneous functions.

    Behind the layer, y(t A) - y(0) = t (y(A) - y(0)) is tried for two other t: it holds where all that follows is
    pooling and one linear layer, whose bias is y(0).
    """
    layer = last_layer(exact)
    images, targets = exact.few

    def scaled(t: float) -> Tensor:
        return exact.logits(images, targets, layer, lambda a: t * a)

    at = [scaled(t) for t in (0.0, 0.5, 1.0, 2.0)]
    if any(apart(value - at[0], t * (at[2] - at[0])) > FLOAT64 for value, t in ((at[1], 0.5), (at[3], 2.0))):
        raise UsageError(f"what follows {layer} is not linear, so its maps need not sum to the logit")
    error = apart(exact.maps("hires-cam", images, targets, layer).sum(dim=(1, 2)), at[2] - at[0])
    return Measured(error, len(images), note=f"at {layer}")


def completeness(exact: Exact) -> Measured:
    """Integrated gradients against the difference of two logits: the worst picture.

    A difference that is smaller than the mean one counts as that, as it may be next to nothing by accident; how many
    pictures keep to a thousandth of their own is said beside. As many pictures as `COMPLETED` passes allow.
    """
    count = min(PICTURES, max(2, COMPLETED // exact.passes["integrated-gradients"]))
    images, targets = exact.images[:count], exact.targets[:count]
    found = exact.first("integrated-gradients", count).sum(dim=(1, 2))
    rise = exact.logits(images, targets) - exact.logits(torch.zeros_like(images), targets)
    off = (found - rise).abs()
    error = float((off / rise.abs().clamp(min=float(rise.abs().mean()))).max())
    alone = torch.where(off == 0, 0.0, off / rise.abs())
    note = (
        f"{STEPS} steps, halved where the gradient turns; of their own difference, {int((alone <= COMPLETE).sum())} of "
        f"{len(images)} pictures keep to it, the worst is off by {float(alone.max()):.1e}"
    )
    return Measured(error, len(images), COMPLETE, "the difference of the logits, or of the mean one", note)


def last_layer(exact: Exact) -> str:
    """The last layer with more than one place, whatever its size: what follows it is simplest."""
    calls = exact.copy.calls(exact.images[:1])
    spatial = [call.layer for call in calls if not call.problem]
    if not spatial:
        raise UsageError("no layer has more than one place")
    return spatial[-1]


def singles(method: str) -> Equation:
    """A batch against its pictures one by one."""

    def check(exact: Exact) -> Measured:
        count = min(BATCH, len(exact.images), max(2, PASSES // exact.passes[method]))
        images, targets = exact.images[:count], exact.targets[:count]
        together = exact.first(method, count)
        alone = torch.cat([exact.maps(method, images[i : i + 1], targets[i : i + 1]) for i in range(count)])
        error = max(apart(a, b) for a, b in zip(together, alone, strict=True))
        return Measured(error, count, of="each map's largest value")

    says = "explained together, pictures get the maps that they get one by one"
    return Equation(f"{method}: a batch is its singles", (method,), says, check)


EQUATIONS: tuple[Equation, ...] = (
    Equation(
        "Grad-CAM is classic CAM",
        ("grad-cam", "cam"),
        "where global average pooling and one linear layer follow, h·w times Grad-CAM is the map of the head's weights",
        classic_cam,
    ),
    Equation(
        "HiResCAM adds up",
        ("hires-cam",),
        "where all that follows is linear, its map sums to the logit without its bias",
        conservation,
    ),
    Equation(
        "integrated gradients are complete",
        ("integrated-gradients",),
        "the map sums to the logit less that of an evenly mean-coloured picture",
        completeness,
    ),
    *(Equation(name, (method,), says, check) for name, method, says, check in through_numpy.CHECKS),
    *(Equation(name, (method,), says, check) for name, method, says, check in differences.CHECKS),
)


def try_all(subject: Subject, maps: Sequence[MethodMaps], tell: Tell = lambda _: None) -> list[Oracle]:
    """Every equation about the methods at hand, and for each method the one of its singles."""
    exact = Exact.of(subject, {found.name: found.passes for found in maps}, BATCH)
    return [_tried(equation, exact, tell) for equation in _about([found.name for found in maps])]


def _about(methods: Sequence[str]) -> Iterator[Equation]:
    yield from (equation for equation in EQUATIONS if set(methods) & set(equation.methods))
    yield from map(singles, methods)


def _tried(equation: Equation, exact: Exact, tell: Tell) -> Oracle:
    tell(equation.name)
    try:
        measured, skipped = equation.check(exact), ""
    except ConvscopeError as error:
        measured, skipped = None, str(error)
    return Oracle(equation.name, equation.methods, equation.says, measured, skipped)


def untouched(before: dict[str, Tensor], after: dict[str, Tensor]) -> Oracle:
    """Whether an audit left the model as it was; both as `state_of` gives it."""
    same = before.keys() == after.keys() and all(torch.equal(value, after[name]) for name, value in before.items())
    measured = Measured(0.0 if same else float("inf"), 0, 0.0)
    says = "after everything, every weight, statistic, mode, gradient and hook, and the random stream, is as before"
    return Oracle("the model is left alone", (), says, measured)
