"""A run and picture files in, labels with probabilities out; imports neither the training code nor the data loaders."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convscope.errors import ConvscopeError, DataError
from convscope.pictures import prepare
from convscope.runs import Run


@dataclass(frozen=True)
class Choice:
    """One class that the network considered; `probability` is in [0, 1]."""

    label: str
    index: int
    probability: float


@dataclass(frozen=True)
class Prediction:
    """What the network says of one picture; `top` begins with the most probable class."""

    image: str
    top: tuple[Choice, ...]

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.top[0].label

    @property
    def probability(self) -> float:
        """Its probability."""
        return self.top[0].probability


@dataclass(frozen=True)
class Unreadable:
    """A file that could not be labelled, and why, in one line that names it."""

    image: str
    error: str


def predict(run: Run, images: Sequence[Path | str], top: int = 3) -> list[Prediction]:
    """Label picture files of any size; each is prepared as the checkpoint says the training pictures were.

    Args:
        top: how many classes to report for each picture, at most all.

    Raises:
        DataError: a file is missing or no picture; it is named.
        ConvscopeError: the network's weights are broken, so that it answers with NaN.
    """
    answers = []
    for answer in predict_each(run, images, top):
        if isinstance(answer, Unreadable):
            raise DataError(answer.error)
        answers.append(answer)
    return answers


def predict_each(run: Run, images: Sequence[Path | str], top: int = 3) -> Iterator[Prediction | Unreadable]:
    """As `predict`, one answer after the other; a file that is missing or no picture is answered by the reason."""
    for path in map(Path, images):
        try:
            picture = prepare(path, run.checkpoint["picture"])
        except DataError as error:
            yield Unreadable(str(path), str(error))
            continue
        row = run.probabilities(picture[None])[0]
        if not np.isfinite(row).all():
            raise ConvscopeError(f"the network in {run.name} gives no numbers (NaN); `convscope doctor {run.name}`")
        yield Prediction(str(path), choices(run.classes, row, top))


def choices(classes: Sequence[str], row: NDArray[np.float64], top: int) -> tuple[Choice, ...]:
    """The `top` most probable classes of one picture, at most all, from its probabilities (K,)."""
    best = np.argsort(-row, kind="stable")[:top]
    return tuple(Choice(classes[k], int(k), float(row[k])) for k in best)
