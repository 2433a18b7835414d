"""A run and labelled pictures in, an Evaluation out: accuracy, confusion matrix, the table class by class."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convscope.data import ImageSet
from convscope.errors import UsageError
from convscope.runs import Run
from convscope.runs.artifacts import METRICS


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How a network did on N pictures of K classes.

    Attributes:
        probabilities: float64, (N, K), softmax of the logits.
        labels: int64, (N,), the truth.
        classes: their names.
    """

    probabilities: NDArray[np.float64]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    @property
    def predictions(self) -> NDArray[np.int64]:
        """The most probable class of each picture, (N,)."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @property
    def accuracy(self) -> float:
        """The share of pictures whose most probable class is the true one."""
        return float((self.predictions == self.labels).mean())

    @property
    def confusion(self) -> NDArray[np.int64]:
        """(K, K): entry [t, p] counts pictures of class t that were predicted as p."""
        k = len(self.classes)
        return np.bincount(self.labels * k + self.predictions, minlength=k * k).reshape(k, k)

    def most_confused(self, n: int = 5) -> list[tuple[str, str, int]]:
        """The `n` most frequent mistakes as (true class, predicted class, how often), most frequent first."""
        wrong = self.confusion * (1 - np.eye(len(self.classes), dtype=np.int64))
        order = np.argsort(-wrong, axis=None, kind="stable")[:n]
        pairs = [divmod(int(i), len(self.classes)) for i in order]
        return [(self.classes[t], self.classes[p], int(wrong[t, p])) for t, p in pairs if wrong[t, p]]


def summary(run: Run, evaluation: Evaluation) -> dict[str, Any]:
    """What `train --json` and `evaluate --json` print: accuracies as fractions, seconds of training without set-up."""
    rows = run.metrics if (run.path / METRICS).exists() else []  # a checkpoint alone is enough to evaluate
    seconds = sum(row["seconds"] or 0.0 for row in rows)
    images = sum((row["images_per_second"] or 0.0) * (row["seconds"] or 0.0) for row in rows)
    return {
        "run": str(run.path),
        "dataset": run.config.data.name,
        "model": run.model_name,
        "parameters": run.parameters,
        "epochs": len(rows) or run.checkpoint["epoch"],
        "val_accuracy": run.checkpoint["best_val_accuracy"],
        "test_accuracy": evaluation.accuracy,
        "train_seconds": seconds if rows else None,
        "images_per_second": images / seconds if seconds else None,
    }


def evaluate(run: Run, pictures: ImageSet) -> Evaluation:
    """Run the trained network over `pictures`, in eval mode, pictures only normalised.

    Raises:
        UsageError: the pictures are of another shape, or have other classes, than the run was trained on.
    """
    if pictures.shape != run.input_shape:
        raise UsageError(f"{run.path} was trained on pictures {run.input_shape} (C, H, W); these are {pictures.shape}")
    if pictures.classes != run.classes:
        raise UsageError(
            f"{run.path} was trained on the classes {', '.join(run.classes)}; these are {', '.join(pictures.classes)}"
        )
    return Evaluation(run.probabilities(pictures.images), pictures.labels, pictures.classes)
