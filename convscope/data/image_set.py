"""ImageSet: the one form in which every data set arrives, raw bytes and labels, before torch is involved."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convscope.errors import UsageError


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Pictures with their labels.

    Attributes:
        images: uint8, (N, C, H, W), C is 1 (grey) or 3 (red, green, blue).
        labels: int64, (N,), each an index into `classes`.
        classes: the names of the classes.
        masks: bool, (N, H, W), the pixels that are the evidence for the label; None where nobody knows them.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    masks: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.dtype != np.uint8:
            raise ValueError(f"images must be uint8 (N, C, H, W), got {self.images.dtype} {self.images.shape}")
        if self.images.shape[1] not in (1, 3):
            raise ValueError(f"images must have 1 or 3 channels, got shape {self.images.shape} (N, C, H, W)")
        if self.labels.shape != (len(self.images),) or self.labels.dtype != np.int64:
            raise ValueError(f"labels must be int64 ({len(self.images)},), got {self.labels.dtype} {self.labels.shape}")
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < len(self.classes):
            raise ValueError(
                f"labels must lie in 0..{len(self.classes) - 1}, got {self.labels.min()}..{self.labels.max()}"
            )
        mask_shape = (len(self.images), *self.images.shape[2:])
        if self.masks is not None and (self.masks.shape != mask_shape or self.masks.dtype != np.bool_):
            raise ValueError(f"masks must be bool {mask_shape}, got {self.masks.dtype} {self.masks.shape}")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one picture."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def take(self, indices: NDArray[np.int64]) -> "ImageSet":
        """The pictures at `indices`, in that order."""
        masks = None if self.masks is None else self.masks[indices]
        return ImageSet(self.images[indices], self.labels[indices], self.classes, masks)

    def subset(self, n: int, seed: int) -> "ImageSet":
        """`n` pictures drawn without replacement, as balanced over the classes as the set allows.

        Each class gets the same number, give or take one; where a class has too few, the others make up for
        it.
        The pictures keep the order in which the set holds them. UsageError if the set has fewer than `n`.
        """
        return self.take(np.sort(balanced_choice(self.labels, len(self.classes), n, seed)))

    def split(self, n: int, seed: int) -> "tuple[ImageSet, ImageSet]":
        """(rest, held out): `n` pictures, balanced over the classes, are held out; both keep their order."""
        held = np.sort(balanced_choice(self.labels, len(self.classes), n, seed))
        rest = np.setdiff1d(np.arange(len(self)), held)
        return self.take(rest), self.take(held)

    def channel_stats(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and (biased) standard deviation of each channel over all pixels, on the scale [0, 1].

        Exact: computed from a histogram of the 256 byte values. A constant channel has standard deviation 0.
        """
        values = np.arange(256) / 255
        means, stds = [], []
        for channel in range(self.images.shape[1]):
            counts = np.zeros(256, dtype=np.int64)
            for first in range(0, len(self), 1000):  # bincount makes int64 of its input: eight times the memory
                counts += np.bincount(self.images[first : first + 1000, channel].reshape(-1), minlength=256)
            weights = counts / max(counts.sum(), 1)
            mean = float(weights @ values)
            means.append(mean)
            stds.append(float(np.sqrt(weights @ (values - mean) ** 2)))
        return tuple(means), tuple(stds)


def balanced_choice(labels: NDArray[np.int64], classes: int, n: int, seed: int) -> NDArray[np.int64]:
    """Indices of `n` entries of `labels`, as evenly spread over the classes as possible; random, unsorted."""
    if not 0 < n <= len(labels):
        raise UsageError(f"cannot take {n} pictures from a set of {len(labels)}; choose 1 to {len(labels)}")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    rank = np.empty(len(labels), dtype=np.int64)  # the picture's place among those of its class
    for label in range(classes):
        members = order[labels[order] == label]
        rank[members] = np.arange(len(members))
    # every class's first picture before any class's second; ties in random order, so no class is favoured
    return order[np.argsort(rank[order], kind="stable")][:n]
