"""A first batch in, the classic mistakes in it out, each with what to do; training raises the first of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from convscope.errors import UsageError

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Mistake:
    """Something a network cannot learn from: it is `about` values, layout or labels."""

    about: str
    seen: str
    advice: str


def check_batch(images: Tensor, labels: Tensor, in_shape: Shape, num_classes: int) -> None:
    """Look once at what training is about to eat.

    Args:
        images: should be normalised floats, (N, C, H, W), with C, H, W as in `in_shape`.
        labels: should be int64, (N,), in 0..num_classes-1.

    Raises:
        UsageError: (a ValueError) byte or unnormalised pictures, channels last, NaN, float, one-hot or
            out-of-range labels.
    """
    for mistake in mistakes(images, labels, in_shape, num_classes):
        raise UsageError(f"{mistake.seen}; {mistake.advice}")


def mistakes(images: Tensor, labels: Tensor, in_shape: Shape, num_classes: int | None) -> Iterator[Mistake]:
    """What is wrong with a batch: dtype, layout and values of the pictures, then the labels.

    Args:
        images, labels, in_shape, num_classes: as for `check_batch`; None allows any label from 0 up.
    """
    yield from _in_pictures(images, in_shape)
    yield from _in_labels(labels, len(images), num_classes)


def _in_pictures(images: Tensor, in_shape: Shape) -> Iterator[Mistake]:
    """The mistakes in `images`; values are looked at only where they are floats."""
    shape = tuple(images.shape)
    if not images.is_floating_point():
        yield Mistake(
            "values",
            f"the pictures are {images.dtype}",
            "a network learns from normalised floats: (x / 255 - mean) / std",
        )
    if images.ndim == 4 and shape[1:] != in_shape and (shape[3], *shape[1:3]) == in_shape:
        yield Mistake(
            "layout",
            f"the pictures are channels-last {shape}",
            f"the model expects (N, C, H, W) with {in_shape}: use images.permute(0, 3, 1, 2)",
        )
    elif shape[1:] != in_shape:
        yield Mistake("layout", f"the pictures are {shape}", f"the model expects (N, C, H, W) with {in_shape}")
    if not images.is_floating_point():
        return
    low, high = float(images.min()), float(images.max())
    if not torch.isfinite(images).all():
        yield Mistake(
            "values", "the pictures contain NaN or infinity", "look for a division by a zero standard deviation"
        )
    elif low >= 0 and high > 0:
        yield Mistake(
            "values",
            f"the pictures are not normalised: values from {low:.3g} to {high:.3g}, as if still on "
            f"{'[0, 255]' if high > 1 else '[0, 1]'}",
            "subtract the training mean and divide by the training standard deviation",
        )


def _in_labels(labels: Tensor, pictures: int, num_classes: int | None) -> Iterator[Mistake]:
    """The first mistake in the labels of so many pictures."""
    if _is_one_hot(labels, pictures):
        yield Mistake(
            "labels", f"the labels are one-hot {tuple(labels.shape)}", "pass class numbers: labels.argmax(dim=1)"
        )
        return
    if labels.dtype != torch.int64:
        yield Mistake("labels", f"the labels are {labels.dtype}", "cross-entropy expects int64 class numbers")
        return
    if tuple(labels.shape) != (pictures,):
        yield Mistake(
            "labels", f"the labels have shape {tuple(labels.shape)}", f"expected one a picture, ({pictures},)"
        )
        return
    first, last = int(labels.min()), int(labels.max())
    if first < 0 or (num_classes is not None and last >= num_classes):
        expected = (
            f"a model with {num_classes} classes expects 0 to {num_classes - 1}" if num_classes else "expected 0 up"
        )
        yield Mistake("labels", f"the labels run from {first} to {last}", expected)


def _is_one_hot(labels: Tensor, pictures: int) -> bool:
    """Whether each row has one 1 among zeros, (N, K)."""
    if labels.ndim != 2 or len(labels) != pictures or labels.shape[1] < 2:
        return False
    return bool((((labels == 0) | (labels == 1)).all(dim=1) & (labels.sum(dim=1) == 1)).all())
