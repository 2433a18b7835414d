"""A run and a set of pictures in; what the run says of them out, and which it gets wrong, as far as it has looked."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convscope.runs import Run
from convscope.service.trace.gallery import Source

AT_ONCE = 64
PATIENCE = 0.3  # seconds that one look for mistakes may take


@dataclass(frozen=True, eq=False)
class Mistakes:
    """Those among the first `checked` pictures; `complete` once that is all of them."""

    indices: Sequence[int]
    checked: int
    complete: bool


class Predictions:
    """The predicted class of each picture of a source and its probability, once asked for; safe for threads."""

    def __init__(self, run: Run, source: Source) -> None:
        self._run, self._source = run, source
        self._classes: NDArray[np.int64] = np.full(len(source), -1)
        self._probabilities = np.zeros(len(source))
        self._checked = 0
        self._lock = threading.Lock()

    def of(self, indices: Sequence[int]) -> list[tuple[int, float]]:
        """(class, probability) of each of these pictures."""
        with self._lock:
            self._work(np.asarray(indices, dtype=np.int64))
            return [(int(self._classes[i]), float(self._probabilities[i])) for i in indices]

    def mistakes(self, patience: float = PATIENCE) -> Mistakes:
        """The mistakes found so far, after going on with the search for about so many seconds, in order of place.

        A search that only goes on while somebody asks leaves the processor to others otherwise.
        """
        labels = self._source.labels
        if labels is None:
            return Mistakes((), len(self._source), True)
        until = time.monotonic() + patience
        with self._lock:
            while self._checked < len(labels) and time.monotonic() < until:
                end = min(self._checked + AT_ONCE, len(labels))
                self._work(np.arange(self._checked, end))
                self._checked = end
            wrong = np.flatnonzero(self._classes[: self._checked] != labels[: self._checked])
            return Mistakes(wrong.tolist(), self._checked, self._checked == len(labels))

    def _work(self, indices: NDArray[np.int64]) -> None:
        """Predict those of the pictures that have not been."""
        missing = indices[self._classes[indices] < 0]
        for start in range(0, len(missing), AT_ONCE):
            chosen = missing[start : start + AT_ONCE]
            probabilities = self._run.probabilities(self._source.images[chosen])  # (n, K)
            self._classes[chosen] = probabilities.argmax(axis=1)
            self._probabilities[chosen] = probabilities.max(axis=1)
