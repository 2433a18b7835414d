"""Pictures and a model that takes them in, a finding on their values out: the model decides whether these matter."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from convscope.doctor.finding import Finding
from convscope.doctor.passes import first_input
from convscope.doctor.score import Score

AFFINE = 0.01  # of a channel's deviation: what may be left over where a first step only scales and shifts
CENTRED = 2.5  # mean at the first layer; dark or bright pictures under another set's statistics reach 2
SCALED = 3.0  # standard deviation there, or the inverse
ONCE = 1.0  # as CENTRED for pictures that were normalised before
TWICE = 1.5  # as SCALED for them: a second time doubles the deviation at least


@dataclass(frozen=True)
class FirstStep:
    """What a model does to its pictures before its first layer with weights: channel by channel, factor x + shift.

    Attributes:
        factor, shift: float64, (1, C, 1, 1).
        mean, std: of all values that reach that layer.
    """

    factor: Tensor
    shift: Tensor
    mean: float
    std: float

    def undone(self, images: Tensor) -> Tensor:
        """Pictures (N, C, H, W) that reach the first layer as `images` are."""
        return ((images.double() - self.shift) / self.factor).to(images)

    def within(self, centred: float, scaled: float) -> bool:
        """Whether mean and standard deviation at the first layer are near enough to 0 and 1."""
        return abs(self.mean) <= centred and 1 / scaled <= self.std <= scaled


def first_step(model: nn.Module, images: Tensor) -> FirstStep | None:
    """How the model scales and shifts its pictures (N, C, H, W) itself; None where it does not, or does more."""
    reached = first_input(model, images)
    if images.ndim != 4 or reached is None or reached.shape != images.shape:
        return None
    given, reached = images.double(), reached.double()
    axes = (0, 2, 3)
    centred = given - given.mean(axes, keepdim=True)
    variance = (centred**2).mean(axes, keepdim=True)
    if not bool((variance > 0).all()):
        return None
    factor = (centred * reached).mean(axes, keepdim=True) / variance
    shift = reached.mean(axes, keepdim=True) - factor * given.mean(axes, keepdim=True)
    leftover = (reached - factor * given - shift).abs().amax(axes, keepdim=True)
    changed = (reached - given).abs().amax(axes, keepdim=True)
    limit = AFFINE * reached.std(axes, correction=0, keepdim=True)
    if bool((limit == 0).any() or (leftover > limit).any() or (changed <= limit).all()):
        return None
    return FirstStep(factor, shift, float(reached.mean()), float(reached.std(correction=0)))


def judge_values(alone: Finding, model: nn.Module, images: Tensor, known: Score | None) -> Finding:
    """The finding on values that came of the pictures alone, held against what the model makes of them.

    What a model normalises itself, or works on, is no problem. A correction that gets more pictures right is proof
    of one, and is said with its number.

    Args:
        alone: from `check_pictures`.
        images: (N, C, H, W), of a type that the model takes.
        known: None where the labels cannot be used.
    """
    step = first_step(model, images)
    if alone.severity == "fine":
        return alone if step is None else _normalised_twice(alone, step, model, images, known)
    seen = alone.seen.removesuffix(".")
    if step is not None and step.within(CENTRED, SCALED):
        return Finding("values", "fine", f"{seen}; the model's first step brings them to {_text(step)}.")
    if known is None:
        return replace(alone, severity="warning")
    beaten = [(better.count, words) for words, x in _corrected(images) if (better := known.beaten(model, x))]
    if beaten:
        count, words = max(beaten)
        wrong = f"{alone.seen} {known.text}; {words}, {count} are."
        return replace(alone, severity="problem", seen=wrong)
    if known.verdict == "works":
        return Finding("values", "fine", f"{seen}; the model works on them as they are: {known.text}.")
    return alone if known.verdict == "fails" else replace(alone, severity="warning")


def _normalised_twice(
    alone: Finding, step: FirstStep, model: nn.Module, images: Tensor, known: Score | None
) -> Finding:
    """Pictures that were normalised, given to a model that begins with a step of that kind."""
    if step.within(ONCE, TWICE):
        return alone
    seen = f"The pictures are normalised, and the model's first step then brings them to {_text(step)}"
    advice = "Give them on the scale that the model normalises itself, or take one of the two normalisations out."
    if known and (once := known.beaten(model, step.undone(images))):
        wrong = f"{seen}, so twice: {known.text}; with that step undone, {once.count} are."
        return Finding("values", "problem", wrong, advice)
    if known and known.verdict == "works":
        return Finding("values", "fine", f"{seen}; the model works on them: {known.text}.")
    return Finding("values", "warning", f"{seen}: they are probably normalised twice.", advice)


def _corrected(images: Tensor) -> list[tuple[str, Tensor]]:
    """The pictures (N, C, H, W) as they may have been meant, with words for it."""
    floats = images if images.is_floating_point() else images.float()
    mean, std = floats.mean((0, 2, 3), keepdim=True), floats.std((0, 2, 3), correction=0, keepdim=True)
    normalised = [("normalised", (floats - mean) / torch.where(std > 0, std, 1.0))]
    return [*normalised, ("divided by 255", floats / 255)] if float(floats.max()) > 1 else normalised


def _text(step: FirstStep) -> str:
    return f"mean {step.mean:.2g} and standard deviation {step.std:.2g}"
