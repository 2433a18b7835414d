"""ImageSet: the one form in which every data set arrives, raw bytes and labels, before torch is involved."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convscope.errors import UsageError


@dataclass(frozen=True, eq=False, repr=False)
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

    def __repr__(self) -> str:
        masks = "" if self.masks is None else ", with masks"
        return f"ImageSet({len(self)} pictures {self.shape}, {len(self.classes)} classes{masks})"

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

    def split(self, n: int, seed: int, *, balanced: bool = False) -> "tuple[ImageSet, ImageSet]":
        """(rest, held out): `n` pictures, each class by its share of the set, are held out; both keep their order.

        Every class keeps at least one picture in the rest, as long as the rest has room for one of each.
        `balanced` holds out the same number of each class instead, as `subset` draws them.
        UsageError if the set has fewer than `n`.
        """
        choice = balanced_choice if balanced else stratified_choice
        held = np.sort(choice(self.labels, len(self.classes), n, seed))
        rest = np.setdiff1d(np.arange(len(self)), held)
        return self.take(rest), self.take(held)

    def fingerprint(self) -> str:
        """SHA-256 over shape, class names, labels and pixels: the same for the same pictures in the same order."""
        digest = hashlib.sha256(repr((self.images.shape, self.classes)).encode())
        digest.update(np.ascontiguousarray(self.labels).data)
        digest.update(np.ascontiguousarray(self.images).data)
        return digest.hexdigest()

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
    _check_count(n, len(labels))
    order, rank = _shuffled(labels, classes, np.random.default_rng(seed))
    # every class's first picture before any class's second; ties in random order, so no class is favoured
    return order[np.argsort(rank[order], kind="stable")][:n]


def stratified_choice(labels: NDArray[np.int64], classes: int, n: int, seed: int) -> NDArray[np.int64]:
    """Sorted indices of `n` random entries of `labels`, each class in proportion to how often it occurs.

    Shares are rounded by the largest remainder (Hamilton's method), ties at random. All but one entry of a
    class can be chosen; its last only where every class is down to its last.
    """
    total = len(labels)
    _check_count(n, total)
    rng = np.random.default_rng(seed)
    _, rank = _shuffled(labels, classes, rng)
    counts = np.bincount(labels, minlength=classes)
    spare = np.maximum(counts - 1, 0)
    chosen = np.minimum(n * counts // total, spare)  # (classes,)
    tie_break = rng.permutation(classes)
    while chosen.sum() < n:  # at most twice for each class
        limit = spare if (chosen < spare).any() else counts
        missing = n * counts - total * chosen  # of each class's share, in 1 / total of an entry
        missing[chosen >= limit] = np.iinfo(np.int64).min
        chosen[np.lexsort((tie_break, missing))[-1]] += 1
    return np.flatnonzero(rank < chosen[labels])


def _check_count(n: int, total: int) -> None:
    if not 0 < n <= total:
        raise UsageError(f"cannot take {n} pictures from a set of {total}; choose 1 to {total}")


def _shuffled(
    labels: NDArray[np.int64], classes: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A random order of all entries, and each entry's place in it among those of its class."""
    order = rng.permutation(len(labels))
    rank = np.empty(len(labels), dtype=np.int64)
    for label in range(classes):
        members = order[labels[order] == label]
        rank[members] = np.arange(len(members))
    return order, rank
