"""A run folder in, a list of checks out: every artefact exists, opens and says what its checkpoint says again."""

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from convscope.config import load_config
from convscope.data import ImageSet
from convscope.errors import ConvscopeError, UsageError
from convscope.evaluate import evaluate
from convscope.runs import Run, artifacts, find_run, load_run
from convscope.runs.checkpoint import load_checkpoint, rebuild_model
from convscope.runs.environment import read_environment
from convscope.runs.own_pictures import own_pictures
from convscope.training import Epoch

COLUMNS = [field.name for field in fields(Epoch)]
LOSS_TOLERANCE = 1e-3  # relative: another machine sums in another order, and the trainer's batches were others
LOSS_ROUNDING = 1e-6  # absolute: some float32 roundings of a loss near nothing


class SkippedError(Exception):
    """A check cannot be made here, through no fault of the run's; the message says why."""


@dataclass(frozen=True)
class Check:
    """One thing looked at: `problem` says what is wrong with it, `skipped` why it could not be looked at here."""

    name: str
    problem: str = ""
    skipped: str = ""

    @property
    def ok(self) -> bool:
        """Whether it was looked at and nothing is wrong."""
        return not self.problem and not self.skipped


@dataclass(frozen=True)
class Verification:
    """All checks of one run folder."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was found wrong; a check that could not be made here is no fault of the run's."""
        return not any(check.problem for check in self.checks)


def verify(folder: Path, data_dir: Path | None = None) -> Verification:
    """Check every artefact of a run folder; goes on after a failure, so that the list is complete.

    Losses and accuracies are computed again from `best.pt`, if the run's data set is on this machine; nothing is
    downloaded. An export is held to the accuracies of its own weights: `metrics.csv` says what those were that it was
    made from, in float32.

    Args:
        data_dir: where the data set lies, and nowhere else.

    Raises:
        ConvscopeError: `folder` is no folder, nor the name of a network that comes with convscope.
    """
    return Verification(tuple(_checks(find_run(folder), data_dir)))


def _checks(folder: Path, data_dir: Path | None) -> Iterator[Check]:
    try:
        for name, problem in artifacts.check_against_manifest(folder).items():
            yield Check(f"{name} is there with the hash on record", problem)
    except ConvscopeError as error:
        yield Check(f"{artifacts.MANIFEST} is there", str(error))
    exported, best = artifacts.is_exported(folder), artifacts.weights_of(folder).name
    for checkpoint in (best,) if exported else (best, artifacts.LATEST):
        yield _check(f"{checkpoint} rebuilds the model by itself", partial(_rebuild, folder / checkpoint))
    yield _check(f"{best} predicts", partial(_predicts, folder))
    yield _check(f"{artifacts.CONFIG} is a valid recipe", partial(_config, folder))
    yield _check(f"{artifacts.METRICS} has one sane row an epoch", partial(_metrics, folder))
    if not exported:
        for picture in artifacts.PICTURES:
            yield _check(f"{picture} opens", partial(_picture, folder / picture))
        yield _check(f"{artifacts.REPORT} needs no other file", partial(_report, folder / artifacts.REPORT))
    pictures = cache(partial(_pictures, folder, data_dir))
    where, validate = (artifacts.RESULTS, _exported_validation) if exported else (artifacts.METRICS, _validation)
    yield _check(f"{where} says what {best} reaches on validation", lambda: validate(*pictures()))
    yield _check(f"{artifacts.RESULTS} says what {best} reaches on the test set", lambda: _test(*pictures()))


def _check(name: str, look: Callable[[], None]) -> Check:
    """Run `look`; what it raises is the problem."""
    try:
        look()
    except SkippedError as reason:
        return Check(name, skipped=str(reason))
    except ConvscopeError as error:
        return Check(name, str(error))
    except (OSError, ValueError, KeyError, MemoryError) as error:  # the usual kinds of damage
        return Check(name, f"it {artifacts.unreadable(error)}")
    except Exception as error:  # whatever else the damage makes a reader raise, or a mistake of ours, as it is
        return Check(name, f"it could not be checked: {type(error).__name__}: {' '.join(str(error).split())}")
    return Check(name)


def _rebuild(path: Path) -> None:
    rebuild_model(load_checkpoint(path))


def _predicts(folder: Path) -> None:
    run = load_run(folder)
    pictures = np.random.default_rng(0).integers(0, 256, (2, *run.input_shape)).astype(np.uint8)
    rows = run.probabilities(pictures)
    if rows.shape != (2, len(run.classes)) or not np.isfinite(rows).all():
        raise ConvscopeError(f"two pictures gave probabilities {rows.shape}, finite: {np.isfinite(rows).all()}")


def _config(folder: Path) -> None:
    saved = load_run(folder).config
    if (found := load_config(folder / artifacts.CONFIG)) != saved:
        changed = [
            name for name in ("recipe", "data", "model", "train") if getattr(found, name) != getattr(saved, name)
        ]
        raise UsageError(f"differs from the checkpoint's configuration in {', '.join(changed)}")


def _metrics(folder: Path) -> None:
    run = load_run(folder)
    rows = run.metrics
    if not rows or list(rows[0]) != COLUMNS:
        raise ConvscopeError(f"expected the columns {','.join(COLUMNS)}, got {','.join(rows[0]) if rows else 'no row'}")
    settings, exported = run.config.train, artifacts.is_exported(folder)
    last = run.results["epochs"] if exported else load_checkpoint(folder / artifacts.LATEST)["epoch"]
    if last > settings.epochs or (last < settings.epochs and not settings.patience):  # patience may stop it early
        name = artifacts.RESULTS if exported else artifacts.LATEST
        raise ConvscopeError(f"{name} is of epoch {last}, the configuration asks for {settings.epochs}")
    if [row["epoch"] for row in rows] != list(range(1, last + 1)):
        raise ConvscopeError(f"expected epochs 1 to {last}, got {len(rows)} rows")
    if unsound := [f"{key} of epoch {i}" for i, row in enumerate(rows, 1) for key in COLUMNS if not _sane(row[key])]:
        raise ConvscopeError(f"{unsound[0]} is no finite number")
    best = run.checkpoint["best_val_accuracy"]
    accuracies = [row["val_accuracy"] for row in rows if row["val_accuracy"] is not None]
    if not exported and best != (max(accuracies) if accuracies else None):
        raise ConvscopeError(f"{artifacts.BEST} says validation accuracy {best}, the rows say {accuracies}")


def _sane(value: float | None) -> bool:
    return value is None or np.isfinite(value)


def _picture(path: Path) -> None:
    try:
        with Image.open(io.BytesIO(path.read_bytes())) as picture:
            picture.load()
    except UnidentifiedImageError:
        raise ConvscopeError("not a picture") from None
    except (SyntaxError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # the system's own
        raise ConvscopeError(f"a broken picture, or half of one ({error})") from None


def _report(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if not text.rstrip().endswith("</html>"):
        raise ConvscopeError("the page is cut off")
    outside = re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)([^"']+)|url\((?!["']?data:)([^)]+)\)""", text)
    if outside:
        raise ConvscopeError(f"it refers to {next(filter(None, outside[0]))}")


def _pictures(folder: Path, data_dir: Path | None) -> tuple[Run, ImageSet | None, ImageSet]:
    """The run, its validation split (None without one) and its test set.

    Raises:
        SkippedError: the data set is not on this machine, or holds other pictures by now.
        ConvscopeError: the run cannot be opened, or does not fit its data set.
    """
    run = load_run(folder)
    read_environment(folder)  # `own_pictures` would make do without it; here a broken one is a fault
    try:
        own = own_pictures(run, data_dir, download=False)
    except ConvscopeError as error:
        raise SkippedError(f"the data set is not at hand ({error})") from None
    try:
        training, validation = own.split
    except UsageError as error:
        raise SkippedError(f"the pictures are no longer those of the training ({error})") from None
    if not own.recorded:
        raise SkippedError(f"{artifacts.ENVIRONMENT} does not say which pictures the training had")
    if changed := [name for name in ("training", "validation", "test") if own.changed(name)]:
        raise SkippedError(f"the {' and '.join(changed)} pictures are no longer those of the training")
    test = own.test
    stored = run.checkpoint["mean"], run.checkpoint["std"]
    same = training.classes == run.classes and np.allclose(training.channel_stats(), stored, rtol=0, atol=1e-6)
    if not same or test.shape != run.input_shape:
        name = artifacts.weights_of(folder).name
        raise ConvscopeError(f"{name} has other classes, mean or deviation than the pictures of {run.config.data.name}")
    return run, validation, test


def _validation(run: Run, validation: ImageSet | None, _: ImageSet) -> None:
    if validation is None:
        if any(row["val_accuracy"] is not None for row in run.metrics):
            raise ConvscopeError("it has validation accuracies, but data.val_fraction=0 held nothing out")
        return
    row = next((row for row in run.metrics if row["epoch"] == run.checkpoint["epoch"]), None)
    if row is None:
        raise ConvscopeError(f"it has no row for epoch {run.checkpoint['epoch']}, whose weights {artifacts.BEST} holds")
    logits = run.logits(validation.images).astype(np.float64)  # (N, K)
    accuracy = float((logits.argmax(axis=1) == validation.labels).mean())
    _compare_accuracy(accuracy, row["val_accuracy"], len(validation), f"epoch {run.checkpoint['epoch']}")
    loss = _cross_entropy(logits, validation.labels)
    if row["val_loss"] is None or not np.isclose(row["val_loss"], loss, LOSS_TOLERANCE, LOSS_ROUNDING):
        raise ConvscopeError(f"epoch {run.checkpoint['epoch']}: loss {row['val_loss']}, recomputed {loss:.6g}")


def _exported_validation(run: Run, validation: ImageSet | None, _: ImageSet) -> None:
    claimed = run.results["val_accuracy"]
    if validation is not None:
        _compare_accuracy(evaluate(run, validation).accuracy, claimed, len(validation), "validation")
    elif claimed is not None:
        raise ConvscopeError(f"it says validation accuracy {claimed}, but data.val_fraction=0 held nothing out")


def _test(run: Run, _: ImageSet | None, test: ImageSet) -> None:
    results = run.results
    found = evaluate(run, test, run.config.train.tta or "test_accuracy_tta" in results)
    _compare_accuracy(found.accuracy, results["test_accuracy"], len(test), "test")
    if found.accuracy_tta is not None:
        _compare_accuracy(found.accuracy_tta, results["test_accuracy_tta"], len(test), "test-time augmentation")
    claimed, best = results["val_accuracy"], run.checkpoint["best_val_accuracy"]
    if claimed != best and not artifacts.is_exported(run.path):
        raise ConvscopeError(f"it says validation accuracy {claimed}, {artifacts.BEST} says {best}")


def _compare_accuracy(accuracy: float, claimed: float | None, pictures: int, what: str) -> None:
    """Hold `claimed` against the accuracy of the weights on so many pictures, one picture aside."""
    # a picture between two classes may fall the other way where sums are rounded otherwise
    if claimed is None or not abs(accuracy - claimed) * pictures < 1.5:
        raise ConvscopeError(f"{what}: accuracy {claimed}, recomputed {accuracy:.6g} on {pictures:,} pictures")


def _cross_entropy(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """The mean over N pictures; logits (N, K), labels (N,)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(axis=1))
    return float((log_sums - shifted[np.arange(len(labels)), labels]).mean())
