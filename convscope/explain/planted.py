"""Heat over pictures and the masks of their objects in; how well the one lies on the other, picture by picture, out."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convscope.errors import UsageError

Heat = NDArray[np.floating[Any]]  # (N, H, W), what is negative counts as none
Masks = NDArray[np.bool_]  # (N, H, W)


def pointing_game(maps: Heat, masks: Masks, seed: int = 0) -> NDArray[np.bool_]:
    """Whether the hottest pixel of each map lies in the mask: a hit or a miss, (N,).

    Of equally hot pixels one is drawn by lot, so that a map of large flat patches gets what it deserves on average,
    neither all of them nor the first in reading order. A map without heat points nowhere: a miss. The paper lets a
    miss by up to 15 pixels pass, as its masks are coarse; here the masks are exact, and so is the game.

    Args:
        maps: (N, H, W), enlarged to the pictures' size, such as `Explanation.heatmaps` gives.
        masks: bool (N, H, W), the pixels of the object.
        seed: of the lot.

    Raises:
        UsageError: the shapes differ, or masks are not bool.

    Source: Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016, section 4.2.
    """
    check_shapes(maps, masks)
    flat = maps.reshape(len(maps), -1)
    top = flat.max(axis=1, keepdims=True)
    lot = np.random.default_rng(seed).random(flat.shape)
    hottest = np.where(flat == top, lot, -1.0).argmax(axis=1)  # (N,)
    hits: NDArray[np.bool_] = masks.reshape(len(masks), -1)[np.arange(len(masks)), hottest] & (top[:, 0] > 0)
    return hits


def energy_inside(maps: Heat, masks: Masks) -> NDArray[np.float64]:
    """The share of each map's positive heat that lies in the mask, (N,), in [0, 1]; 0 for a map without heat.

    Args, errors: as `pointing_game`.

    Source: Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks", CVPR
    Workshops 2020, section 4.3 (the energy-based pointing game).
    """
    check_shapes(maps, masks)
    heat = np.maximum(maps, 0).astype(np.float64)
    total, inside = heat.sum(axis=(1, 2)), np.where(masks, heat, 0).sum(axis=(1, 2))
    share: NDArray[np.float64] = np.divide(inside, total, out=np.zeros(len(heat)), where=total > 0)
    return share


def chance(masks: Masks) -> NDArray[np.float64]:
    """What both games give a map that knows nothing of the picture: the share of it that the mask covers, (N,)."""
    area: NDArray[np.float64] = masks.mean(axis=(1, 2), dtype=np.float64)
    return area


def check_shapes(maps: Heat, masks: Masks) -> None:
    """UsageError unless both are (N, H, W) and the masks bool."""
    if maps.ndim != 3 or maps.shape != masks.shape or masks.dtype != np.bool_ or not maps.size:
        raise UsageError(
            f"expected maps and bool masks of one shape (N, H, W), got {maps.shape} and {masks.dtype} {masks.shape}; "
            "enlarge maps with Explanation.heatmaps((H, W))"
        )
