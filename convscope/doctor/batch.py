"""A batch in, findings on its layout, values and labels out, built upon the checks that training makes itself."""

from typing import cast

import torch
from torch import Tensor, nn

from convscope.doctor.finding import Finding, sentence
from convscope.training.checks import Mistake, Shape, mistakes

LOUD = 10.0  # standard deviation of pictures that should have 1
QUIET = 0.05


def check_pictures(images: Tensor, in_shape: Shape, dtype: torch.dtype) -> tuple[Finding, Finding]:
    """Findings on layout and values: what training would refuse to eat, and what it would swallow all the same.

    Args:
        images: should be normalised floats, (N, C, H, W).
        in_shape: (C, H, W) as the model wants it, from `expected_shape`.
        dtype: of the model's weights.
    """
    any_labels = torch.zeros(len(images), dtype=torch.int64)  # theirs are looked at once the logits are counted
    wrong = {mistake.about: _problem(mistake) for mistake in mistakes(images, any_labels, in_shape, None)}
    shape = tuple(images.shape)
    if images.ndim != 4 and "layout" not in wrong:
        advice = (
            "A convolution takes four axes, (N, C, H, W): grey pictures want images[:, None], one alone images[None]."
        )
        wrong["layout"] = Finding("layout", "problem", f"The pictures are {shape}.", advice)
    layout = wrong.get("layout") or Finding("layout", "fine", f"The pictures are (N, C, H, W): {shape}.")
    return layout, wrong.get("values") or _values(images, dtype)


def check_labels(images: Tensor, labels: Tensor, in_shape: Shape, num_classes: int | None) -> Finding:
    """A finding on the labels of these pictures; without a number of classes, any from 0 up will do."""
    for mistake in mistakes(images, labels, in_shape, num_classes):
        if mistake.about == "labels":
            return _problem(mistake)
    return Finding("labels", "fine", f"The labels are int64, of {len(set(labels.tolist()))} classes.")


def _problem(mistake: Mistake) -> Finding:
    return Finding(mistake.about, "problem", sentence(mistake.seen), sentence(mistake.advice))


def _values(images: Tensor, dtype: torch.dtype) -> Finding:
    """Finite floats with values on both sides of zero: are they of the weights' precision, and on their scale?"""
    mean, std = float(images.double().mean()), float(images.double().std(correction=0))
    seen = f"The pictures' values have mean {mean:.3g} and standard deviation {std:.3g}"
    if images.dtype != dtype:
        wrong = f"The pictures are {images.dtype}, the model's weights {dtype}."
        return Finding("values", "problem", wrong, f"Pass images.to({dtype}); NumPy makes float64 where nobody asks.")
    if std == 0:
        return Finding("values", "problem", f"Every pixel of every picture is {mean:.3g}.", "See how they were loaded.")
    if std > LOUD:
        advice = "Divide by 255 first; then subtract the training mean and divide by the training standard deviation."
        return Finding("values", "problem", f"{seen}, as if still on [0, 255].", advice)
    if std < QUIET:
        advice = "See whether they were divided by 255 twice, or by a standard deviation that belongs to bytes."
        return Finding("values", "warning", f"{seen}; normalised pictures have about 0 and 1.", advice)
    return Finding("values", "fine", f"{seen}.")


def expected_shape(model: nn.Module, images: Tensor) -> Shape:
    """(C, H, W) that the model wants: what it says, else its first convolution's channels at the pictures' own size."""
    match getattr(model, "in_shape", None):
        case [int(channels), int(height), int(width)]:
            return channels, height, width
    found = (getattr(module, "in_channels", None) for module in model.modules())
    convolved = next((number for number in found if isinstance(number, int)), None)
    if convolved is None or images.ndim != 4:
        return cast(Shape, tuple(images.shape[1:]))
    last = images.shape[1] != convolved == images.shape[3]
    height, width = images.shape[1:3] if last else images.shape[2:]
    return convolved, height, width
