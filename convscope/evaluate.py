"""A run and labelled pictures in, an Evaluation out: accuracy, confusion matrix, the table class by class."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convscope.data import ImageSet
from convscope.errors import DataError, UsageError
from convscope.runs import Run
from convscope.runs.artifacts import METRICS
from convscope.runs.own_pictures import own_pictures
from convscope.runs.run import softmax
from convscope.tta import WEIGHTS, six_views


@dataclass(frozen=True)
class ClassRow:
    """How one class fared: `recall` and `precision` are fractions, None where there is nothing to divide by."""

    name: str
    pictures: int
    recall: float | None
    precision: float | None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How a network did on N pictures of K classes.

    Attributes:
        probabilities: float64, (N, K), softmax of the logits.
        labels: int64, (N,), the truth.
        classes: their names.
        tta_probabilities: float64, (N, K), softmax of the mean logits of six views; None where nobody asked for it.
    """

    probabilities: NDArray[np.float64]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    tta_probabilities: NDArray[np.float64] | None = None

    @property
    def predictions(self) -> NDArray[np.int64]:
        """The most probable class of each picture, (N,)."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @property
    def accuracy(self) -> float:
        """The share of pictures whose most probable class is the true one."""
        return float((self.predictions == self.labels).mean())

    @property
    def accuracy_tta(self) -> float | None:
        """The same share with test-time augmentation; None where nobody asked for it."""
        if self.tta_probabilities is None:
            return None
        return float((self.tta_probabilities.argmax(axis=1) == self.labels).mean())

    @property
    def per_class(self) -> list[ClassRow]:
        """A row a class: of its pictures, the share recognised; of those taken for it, the share that are of it."""
        right, pictures, taken = (np.diag(self.confusion), *(self.confusion.sum(axis=axis) for axis in (1, 0)))
        return [
            ClassRow(name, int(n), int(r) / int(n) if n else None, int(r) / int(t) if t else None)
            for name, r, n, t in zip(self.classes, right, pictures, taken, strict=True)
        ]

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
    """What `train --json` prints, and `evaluate --json` first: accuracies as fractions, seconds without set-up.

    `test_accuracy_tta` is there only where the evaluation has it.
    """
    rows = run.metrics if (run.path / METRICS).exists() else []  # a checkpoint alone is enough to evaluate
    seconds = sum(row["seconds"] or 0.0 for row in rows)
    images = sum((row["images_per_second"] or 0.0) * (row["seconds"] or 0.0) for row in rows)
    return {
        "run": run.name,
        "dataset": run.config.data.name,
        "model": run.model_name,
        "parameters": run.parameters,
        "epochs": len(rows) or run.checkpoint["epoch"],
        "val_accuracy": run.checkpoint["best_val_accuracy"],
        "test_accuracy": evaluation.accuracy,
        **({} if evaluation.accuracy_tta is None else {"test_accuracy_tta": evaluation.accuracy_tta}),
        "train_seconds": seconds if rows else None,
        "images_per_second": images / seconds if seconds else None,
    }


def evaluate(run: Run, pictures: ImageSet, tta: bool = False) -> Evaluation:
    """Run the trained network over `pictures`, in eval mode, pictures only normalised.

    Args:
        tta: also with test-time augmentation: the logits are averaged over six views of each picture, see
            `convscope.tta`, in six times the time. Three of them are mirror images, so not for digits or letters.

    Raises:
        UsageError: the pictures are of another shape, or have other classes, than the run was trained on.
    """
    check_fit(run, pictures)
    views = six_views(pictures.images) if tta else [pictures.images]  # the picture itself comes first
    logits = [run.logits(view).astype(np.float64) for view in views]  # each (N, K)
    averaged = softmax(np.average(logits, axis=0, weights=WEIGHTS)) if tta else None
    return Evaluation(softmax(logits[0]), pictures.labels, pictures.classes, averaged)


def evaluate_held_out(run: Run, data_dir: Path | None = None, tta: bool = False) -> tuple[Evaluation, bool | None]:
    """Run the network over its own test set; also whether that is another than the training's, None: nobody knows.

    With test-time augmentation too where `tta` asks for it, or the run's configuration.

    Other test pictures are evaluated with a warning, as long as the network learned from none of them. That is not
    known where the pictures to learn from changed too: a split that was drawn is then drawn anew, for example.

    Raises:
        DataError: the data set is not at hand, or both parts of it have changed since the training.
        UsageError: as `evaluate`.
    """
    own = own_pictures(run, data_dir)
    check_fit(run, own.test)
    if own.changed("test") and (own.changed("training") or own.changed("validation")):
        raise DataError(
            f"the pictures of {run.name} have changed since its training, so its test set may hold some that it "
            "learned from; give the folder that has them as they were with --data-dir, or train again"
        )
    return evaluate(run, own.test, tta or run.config.train.tta), own.warn("test")


def check_fit(run: Run, pictures: ImageSet) -> None:
    """UsageError where `pictures` do not fit the run."""
    if pictures.shape != run.input_shape:
        raise UsageError(f"{run.name} was trained on pictures {run.input_shape} (C, H, W); these are {pictures.shape}")
    if pictures.classes != run.classes:
        raise UsageError(
            f"{run.name} was trained on the classes {', '.join(run.classes)}; these are {', '.join(pictures.classes)}"
        )
