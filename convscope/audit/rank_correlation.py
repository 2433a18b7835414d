"""Two stacks of maps in, Spearman's rank correlation of each pair out."""

import numpy as np
from numpy.typing import NDArray

Maps = NDArray[np.float32] | NDArray[np.float64]


def spearman(first: Maps, second: Maps) -> NDArray[np.float64]:
    """Pearson's correlation of the ranks of each pair of maps, (N, h, w) and (N, h, w); (N,) in [-1, 1].

    Equal values share the mean of their ranks. Of a pair whose first map is the same everywhere, and so has no order,
    there is nothing to say: NaN. Where only the second is, nothing is left of the first's order: 0.
    """
    if first.shape != second.shape:
        raise ValueError(f"expected two stacks of maps of one shape, got {first.shape} and {second.shape}")
    a, b = (_centred(np.stack([ranks(m.reshape(-1)) for m in maps])) for maps in (first, second))
    lengths = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    product = lengths[0] * lengths[1]
    found = np.divide((a * b).sum(axis=1), product, out=np.zeros(len(a)), where=product > 0)
    return np.where(lengths[0] > 0, found, np.nan)


def ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """The rank of each of (M,) values from 1, the smallest; equals share the mean of theirs."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    found: NDArray[np.float64] = (last - (counts - 1) / 2)[which]
    return found


def _centred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    centred: NDArray[np.float64] = values - values.mean(axis=1, keepdims=True)
    return centred
