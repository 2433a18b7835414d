"""Nothing in, a verdict out: does a small network learn on this machine, from the first byte to the last step?"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convscope.errors import StoppedError
from convscope.train import train

THRESHOLD = 0.9  # of the test pictures; four balanced classes, so guessing gives 0.25


@dataclass(frozen=True)
class Smoke:
    """What the check found.

    Attributes:
        losses: mean training loss of each epoch.
        test_accuracy: on test pictures that training never saw.
        seconds: of the whole check.
    """

    losses: tuple[float, ...]
    test_accuracy: float
    seconds: float
    threshold: float = THRESHOLD

    @property
    def ok(self) -> bool:
        """The loss fell over the epochs and the accuracy passes the threshold."""
        return self.losses[-1] < self.losses[0] / 2 and self.test_accuracy >= self.threshold


@contextmanager
def without_resume() -> Iterator[None]:
    """A training that a signal stops inside says so without advice: its folder is gone."""
    try:
        yield
    except StoppedError as stopped:
        raise StoppedError("the smoke check was stopped; run it again", stopped.signum) from None


def smoke(**overrides: Any) -> Smoke:
    """Train on 512 balanced synthetic pictures for five epochs, through the same `train` as everything else.

    The run folder is temporary and deleted. `overrides` are configuration keys, as in `train`.
    """
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, without_resume():
        run = train("synthetic", out=Path(folder) / "smoke", **overrides)
        losses = tuple(row["train_loss"] or 0.0 for row in run.metrics)
        accuracy = run.results["test_accuracy"]
    return Smoke(losses, accuracy, time.perf_counter() - started)
