"""Heatmaps and a network in; what the network loses and gains as pixels go and come in their order out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from convscope.explain.imputation import impute

Classify = Callable[[Tensor], Tensor]  # images (N, C, H, W) -> probabilities (N, classes), without a graph

STEPS = 16  # points of a curve after the first
ROAD = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)  # shares of the pixels that are removed
DRAWS = 2000  # of the bootstrap


@dataclass(frozen=True, eq=False)
class Curve:
    """How sure the network is of the target, as more and more pixels are changed.

    Attributes:
        shares: (S,), of the pixels.
        values: (N, S), the target's probability for each picture.
    """

    shares: NDArray[np.float64]
    values: NDArray[np.float64]

    @property
    def areas(self) -> NDArray[np.float64]:
        """The mean height of each picture's curve, by trapezoids: (N,), in [0, 1]."""
        heights = (self.values[:, 1:] + self.values[:, :-1]) / 2
        areas: NDArray[np.float64] = heights @ np.diff(self.shares) / (self.shares[-1] - self.shares[0])
        return areas


def deletion(classify: Classify, images: Tensor, targets: Tensor, maps: Tensor, steps: int = STEPS) -> Curve:
    """Replace the hottest pixels first, by the mean colour: a small area means that the map found what mattered.

    Args:
        images: (N, C, H, W), normalised, so that the mean colour is 0.
        targets: int64 (N,).
        maps: (N, H, W), at the pictures' resolution.

    Source: Petsiuk et al., "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018.
    """
    return _replaced(classify, images, torch.zeros_like(images), targets, maps, steps)


def insertion(classify: Classify, images: Tensor, targets: Tensor, maps: Tensor, steps: int = STEPS) -> Curve:
    """Bring the hottest pixels first, into the blurred picture: a large area means that the map found what mattered.

    Args, source: as `deletion`. The blur is Gaussian, its standard deviation an eighth of the shorter side.
    """
    return _replaced(classify, blurred(images), images, targets, maps, steps)


def road(classify: Classify, images: Tensor, targets: Tensor, maps: Tensor, shares: Sequence[float] = ROAD) -> Curve:
    """Remove the hottest pixels first, filling in from around them, so that no hole gives the class away.

    Args: as `deletion`; `shares` of the pixels are removed, one after the other.

    Source: Rong et al., "A Consistent and Efficient Evaluation Strategy for Attribution Methods", ICML 2022 (MoRF).
    """
    place = ranks(maps)  # (N, H, W)
    pixels = place[0].numel()
    values = [_probability(classify, images, targets)]
    values += [_probability(classify, impute(images, place < share * pixels), targets) for share in shares]
    return _curve([0.0, *shares], values)


def average_drop(classify: Classify, images: Tensor, targets: Tensor, heat: Tensor) -> tuple[NDArray[np.float64], ...]:
    """What is lost when the picture is seen through its heatmap: the drop of each picture, and whether it was a rise.

    The drop is max(0, p - p') / p, p the target's probability and p' that of the picture times its heat.

    Args:
        heat: (N, H, W), in [0, 1].

    Returns:
        (drops, rises): float64 (N,), the second 0 or 1.

    Source: Chattopadhay et al., "Grad-CAM++", WACV 2018, section 4.1.
    """
    whole = _probability(classify, images, targets)
    seen = _probability(classify, images * heat[:, None], targets)
    return np.maximum(0, whole - seen) / whole, (seen > whole).astype(np.float64)


def ranks(maps: Tensor, seed: int = 0) -> Tensor:
    """The place of each pixel in its map's order, 0 the hottest: int64 (N, H, W); equals are ordered by lot.

    Without the lot, an empty map would be read from its top left corner.
    """
    flat = maps.flatten(1)
    lot = torch.randperm(flat.shape[1], generator=torch.Generator().manual_seed(seed)).to(flat.device)
    order = lot[flat[:, lot].argsort(dim=1, descending=True, stable=True)]  # (N, HW), pixel numbers, hottest first
    place = torch.empty_like(order)
    place.scatter_(1, order, torch.arange(flat.shape[1], device=flat.device).expand_as(order).contiguous())
    return place.view(maps.shape)


def blurred(images: Tensor) -> Tensor:
    """Without detail: a Gaussian whose standard deviation is an eighth of the shorter side, borders repeated."""
    sigma = min(images.shape[2:]) / 8
    reach = max(1, round(3 * sigma))
    weights = torch.exp(-((torch.arange(-reach, reach + 1) / sigma) ** 2) / 2).to(images)
    weights = weights / weights.sum()
    channels = images.shape[1]
    down = weights.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    x = F.conv2d(F.pad(images, (0, 0, reach, reach), mode="replicate"), down, groups=channels)
    return F.conv2d(F.pad(x, (reach, reach, 0, 0), mode="replicate"), down.transpose(2, 3), groups=channels)


def bootstrap(values: NDArray[np.float64], draws: int = DRAWS, seed: int = 0) -> tuple[float, float, float]:
    """(mean, low, high): the mean of (N,) values with its 95 % interval, by drawing N of them with repetition."""
    rng = np.random.default_rng(seed)
    means = values[rng.integers(len(values), size=(draws, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(values.mean()), float(low), float(high)


def _replaced(classify: Classify, start: Tensor, end: Tensor, targets: Tensor, maps: Tensor, steps: int) -> Curve:
    """From `start` to `end`, the hottest pixels first, in `steps` equal shares."""
    place = ranks(maps)
    pixels = place[0].numel()
    shares = [step / steps for step in range(steps + 1)]
    values = [
        _probability(classify, torch.where((place < share * pixels)[:, None], end, start), targets) for share in shares
    ]
    return _curve(shares, values)


def _probability(classify: Classify, images: Tensor, targets: Tensor) -> NDArray[np.float64]:
    """The target's probability for each picture, (N,)."""
    chosen: NDArray[np.float64] = classify(images).gather(1, targets.view(-1, 1))[:, 0].double().cpu().numpy()
    return chosen


def _curve(shares: list[float], values: list[NDArray[np.float64]]) -> Curve:
    return Curve(np.array(shares), np.stack(values, axis=1))
