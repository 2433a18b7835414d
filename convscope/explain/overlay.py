"""A picture and a heatmap in; the picture with the heat laid over it out, large enough to read."""

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from convscope.errors import UsageError
from convscope.explain.colors import colorize

Number = TypeVar("Number", bound=np.generic)

_LEGIBLE = 256  # pixels of the longer side


def display_size(height: int, width: int) -> tuple[int, int]:
    """The size at which `overlay` draws: the smallest whole multiple with 256 pixels on the longer side."""
    factor = math.ceil(_LEGIBLE / max(height, width))
    return height * factor, width * factor


def overlay(picture: NDArray[np.uint8], heatmap: NDArray[np.floating], alpha: float = 0.65) -> NDArray[np.uint8]:
    """Lay a heatmap over its picture.

    Opacity is `alpha` times the heat: cold places show the picture as it is, the hottest its colour. The
    picture is enlarged by a whole factor (nearest neighbour, each pixel a square) to 256 pixels on the longer
    side or more. An empty heatmap leaves the picture as it is inside a frame of grey stripes: nothing argued
    for the class.

    Args:
        picture: uint8, (C, H, W), C of 1 or 3.
        heatmap: in [0, 1], (H, W) or a whole multiple of it, such as `heatmaps(display_size(H, W))`, which is
            smoother.
        alpha: opacity at heat 1, from 0 to 1.

    Returns:
        uint8, (H', W', 3): H and W times the same whole number.

    Raises:
        UsageError: the shapes do not fit, or heat or alpha lie outside [0, 1]; NaN counts as outside.
    """
    factor = _factor(picture, heatmap)
    if not (np.all((heatmap >= 0) & (heatmap <= 1)) and 0 <= alpha <= 1):
        raise UsageError(f"heat and alpha lie in [0, 1], got heat {heatmap.min()} to {heatmap.max()} and alpha {alpha}")
    colour = np.broadcast_to(picture.transpose(1, 2, 0), (*picture.shape[1:], 3))
    base = _enlarge(colour, factor)  # (H', W', 3)
    if not heatmap.any():
        return _framed(base)
    heat = _enlarge(heatmap, len(base) // len(heatmap))  # (H', W')
    opacity = alpha * heat[..., None]
    mixed: NDArray[np.uint8] = np.rint(base * (1 - opacity) + colorize(heat) * opacity).astype(np.uint8)
    return mixed


def _factor(picture: NDArray[np.uint8], heatmap: NDArray[np.floating]) -> int:
    """How many times the picture is enlarged; refuses shapes that do not fit."""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[0] not in (1, 3):
        raise UsageError(f"a picture is uint8 (C, H, W) with 1 or 3 channels, got {picture.dtype} {picture.shape}")
    height, width = picture.shape[1:]
    multiple = len(heatmap) // height if heatmap.ndim == 2 else 0
    if multiple == 0 or heatmap.shape != (height * multiple, width * multiple):
        raise UsageError(
            f"the heatmap of a picture {height}×{width} has that size or a whole multiple of it, got {heatmap.shape}"
        )
    least: int = display_size(height, width)[0] // height
    return multiple * math.ceil(least / multiple)


def _enlarge(array: NDArray[Number], factor: int) -> NDArray[Number]:
    """Each cell of (H, W, …) becomes a square of `factor` by `factor`."""
    return array.repeat(factor, axis=0).repeat(factor, axis=1)


def _framed(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) with grey diagonal stripes on its outermost pixels; what is inside stays as it is."""
    height, width = picture.shape[:2]
    border = max(6, max(height, width) // 32)
    rows, columns = np.indices((height, width))
    stripes = np.where((rows + columns) // border % 2, 90, 200).astype(np.uint8)
    to_edge = np.minimum(np.minimum(rows, height - 1 - rows), np.minimum(columns, width - 1 - columns))
    return np.where((to_edge < border)[..., None], stripes[..., None], picture)
