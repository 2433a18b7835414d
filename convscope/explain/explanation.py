"""What a method found goes in, as it found it: signed maps and what they are about; heatmaps come out."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from convscope.errors import UsageError

Evidence = Literal["positive", "none"]


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """For each of N pictures, the places of a layer that argue for the target class (+) or against it (-).

    Attributes:
        maps: float32, (N, h, w): the method's raw signed values at the layer's resolution. Nothing is
            squared, scaled or cut off; for Grad-CAM, the ReLU of equation 2 (Selvaraju et al. 2017) waits for
            `heatmaps`.
        targets: int64, (N,), the class each map is about.
        layer: the dotted name of the layer explained; `name#2` is the second call of a module that runs
            repeatedly.
        method: a name in the registry `METHODS`.
        evidence: for each picture, `"positive"` if any value of its map is above zero, else `"none"`: nothing
            in that layer argued for the class and the heatmap is empty. Values that rounding alone could
            explain are zero already (`cam.weighted_sum`), so no threshold is needed here.
        logits: float32, (N, classes), of the same pass.
    """

    maps: NDArray[np.float32]
    targets: NDArray[np.int64]
    layer: str
    method: str
    evidence: tuple[Evidence, ...]
    logits: NDArray[np.float32]

    def __repr__(self) -> str:
        return f"Explanation({self.method} at {self.layer}: maps {self.maps.shape}, targets {self.targets.tolist()})"

    def heatmaps(self, size: int | tuple[int, int]) -> NDArray[np.float32]:
        """The evidence for the class, drawn over the pictures: float32, (N, H, W), in [0, 1].

        Negative values become zero (equation 2's ReLU); the map is resized to `size` bilinearly, a value
        standing for the centre of its cell (`align_corners=False`) and, where the map shrinks, spread over
        the cells that it covers, so that no evidence falls between the samples; and each map is divided by
        its own maximum, so heat compares places within a picture, not pictures. A map without evidence stays
        zero everywhere, and only that does.

        Args:
            size: (H, W), usually the picture's, or one integer for both.

        Raises:
            UsageError: `size` is neither a positive integer nor two.
        """
        positive = torch.from_numpy(np.maximum(self.maps, 0)[:, None])  # (N, 1, h, w)
        top = positive.amax(dim=(1, 2, 3), keepdim=True)  # scaled first, or resizing could lose the tiniest values
        positive = positive / torch.where(top > 0, top, 1.0)
        resized = F.interpolate(positive, size=_pair(size), mode="bilinear", align_corners=False, antialias=True)[:, 0]
        peak = resized.amax(dim=(1, 2), keepdim=True)  # (N, 1, 1)
        heatmaps: NDArray[np.float32] = (resized / torch.where(peak > 0, peak, 1.0)).numpy()
        return heatmaps


def _pair(size: object) -> tuple[int, int]:
    """(H, W) from one positive integer or two, NumPy's included."""
    given = tuple(size) if isinstance(size, Iterable) else (size, size)
    lengths = [int(n) for n in given if isinstance(n, int | np.integer) and not isinstance(n, bool) and n > 0]
    if len(given) != 2 or len(lengths) != 2:
        raise UsageError(f"size must be a positive integer, or (height, width), two of them, got {size!r}")
    return lengths[0], lengths[1]
