"""A run and picture files in, labels with probabilities out; imports neither the training code nor the data loaders."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

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


def predict(run: Run, images: Sequence[Path | str], top: int = 3) -> list[Prediction]:
    """Label picture files of any size; each is prepared as the checkpoint says the training pictures were.

    Args:
        top: how many classes to report for each picture, at most all.

    Raises:
        DataError: a file is missing or no picture; it is named and nothing is predicted.
    """
    paths = [Path(image) for image in images]
    if not paths:
        return []
    pictures = np.stack([prepare(path, run.checkpoint["picture"]) for path in paths])
    return [
        Prediction(str(path), tuple(Choice(run.classes[k], int(k), float(row[k])) for k in best))
        for path, row in zip(paths, run.probabilities(pictures), strict=True)
        for best in [np.argsort(-row, kind="stable")[:top]]
    ]
