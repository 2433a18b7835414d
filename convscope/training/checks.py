"""A first batch in, nothing or a ValueError out that names the classic mistake in it."""

import torch
from torch import Tensor

from convscope.errors import UsageError


def check_batch(images: Tensor, labels: Tensor, in_shape: tuple[int, int, int], num_classes: int) -> None:
    """Look once at what training is about to eat.

    Args:
        images: should be normalised floats, (N, C, H, W), with C, H, W as in `in_shape`.
        labels: should be int64, (N,), in 0..num_classes-1.

    Raises:
        UsageError: (a ValueError) byte or unnormalised pictures, channels last, NaN, float, one-hot or
            out-of-range labels.
    """
    if not images.is_floating_point():
        raise UsageError(
            f"the pictures are {images.dtype}; a network learns from normalised floats: (x / 255 - mean) / std"
        )
    if tuple(images.shape[1:]) != in_shape:
        if images.ndim == 4 and (images.shape[3], *images.shape[1:3]) == in_shape:
            raise UsageError(
                f"the pictures are channels-last {tuple(images.shape)}; the model expects (N, C, H, W) with "
                f"{in_shape}: use images.permute(0, 3, 1, 2)"
            )
        raise UsageError(f"the pictures are {tuple(images.shape)}; the model expects (N, C, H, W) with {in_shape}")
    low, high = float(images.min()), float(images.max())
    if not torch.isfinite(images).all():
        raise UsageError("the pictures contain NaN or infinity; look for a division by a zero standard deviation")
    if low >= 0 and high > 0:
        scale = "[0, 255]" if high > 1 else "[0, 1]"
        raise UsageError(
            f"the pictures are not normalised: values from {low:.3g} to {high:.3g}, as if still on {scale}; "
            "subtract the training mean and divide by the training standard deviation"
        )
    if labels.dtype != torch.int64:
        raise UsageError(f"the labels are {labels.dtype}; cross-entropy expects int64 class numbers")
    if labels.shape != images.shape[:1]:
        raise UsageError(f"the labels have shape {tuple(labels.shape)}; expected one a picture, ({len(images)},)")
    first, last = int(labels.min()), int(labels.max())
    if first < 0 or last >= num_classes:
        raise UsageError(
            f"the labels run from {first} to {last}; a model with {num_classes} classes expects 0 to {num_classes - 1}"
        )
