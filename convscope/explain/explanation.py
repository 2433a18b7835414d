"""What a method found goes in, as it found it: signed maps and what they are about; heatmaps come out."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from convscope.errors import UsageError

Evidence = Literal["positive", "none"]


@dataclass(frozen=True, eq=False)
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

    def __len__(self) -> int:
        return len(self.maps)

    @property
    def predictions(self) -> NDArray[np.int64]:
        """(N,), the class with the largest logit, the first of equals."""
        predictions: NDArray[np.int64] = self.logits.argmax(axis=1)
        return predictions

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """(N,), the softmax probability of each picture's target class."""
        logits = self.logits.astype(np.float64)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))  # shifted, exp cannot overflow
        chosen = exponentials[np.arange(len(self)), self.targets]
        probabilities: NDArray[np.float32] = (chosen / exponentials.sum(axis=1)).astype(np.float32)
        return probabilities

    def heatmaps(self, size: tuple[int, int]) -> NDArray[np.float32]:
        """The evidence for the class, drawn over the pictures: float32, (N, H, W), in [0, 1].

        Negative values become zero (equation 2's ReLU); the map is resized to `size` bilinearly, a value
        standing for the centre of its cell (`align_corners=False`); and each map is divided by its own
        maximum, so heat compares places within a picture, not pictures. A map without evidence stays zero
        everywhere.

        Args:
            size: (H, W), usually the picture's.

        Raises:
            UsageError: `size` is not two positive integers.
        """
        if len(size) != 2 or not all(isinstance(length, int) and length > 0 for length in size):
            raise UsageError(f"size must be (height, width), two positive integers, got {size!r}")
        positive = torch.from_numpy(np.maximum(self.maps, 0)[:, None])  # (N, 1, h, w)
        resized = F.interpolate(positive, size=tuple(size), mode="bilinear", align_corners=False)[:, 0]
        peak = resized.amax(dim=(1, 2), keepdim=True)  # (N, 1, 1)
        heatmaps: NDArray[np.float32] = (resized / torch.where(peak > 0, peak, 1.0)).numpy()
        return heatmaps
