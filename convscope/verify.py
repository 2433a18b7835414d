"""A run folder in, a list of checks out: every artefact exists, opens, has the right shapes and the hash on record."""

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from convscope.config import load_config
from convscope.errors import ConvscopeError, UsageError
from convscope.runs import artifacts, load_run
from convscope.runs.checkpoint import load_checkpoint, rebuild_model
from convscope.training import Epoch

COLUMNS = [field.name for field in fields(Epoch)]


@dataclass(frozen=True)
class Check:
    """One thing looked at; `problem` is empty where it is as it should be."""

    name: str
    problem: str

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problem


@dataclass(frozen=True)
class Verification:
    """All checks of one run folder."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether all are."""
        return all(check.ok for check in self.checks)


def verify(folder: Path) -> Verification:
    """Check every artefact of a run folder; goes on after a failure, so that the list is complete.

    Raises:
        ConvscopeError: `folder` is no folder.
    """
    if not folder.is_dir():
        raise ConvscopeError(f"no run folder {folder}; `convscope train RECIPE --out {folder}` makes one")
    return Verification(tuple(_checks(folder)))


def _checks(folder: Path) -> Iterator[Check]:
    try:
        for name, problem in artifacts.check_against_manifest(folder).items():
            yield Check(f"{name} is there with the hash on record", problem)
    except ConvscopeError as error:
        yield Check(f"{artifacts.MANIFEST} is there", str(error))
    for checkpoint in (artifacts.BEST, artifacts.LATEST):
        yield _check(f"{checkpoint} rebuilds the model by itself", partial(_rebuild, folder / checkpoint))
    yield _check(f"{artifacts.BEST} predicts", partial(_predicts, folder))
    yield _check(f"{artifacts.CONFIG} is a valid recipe", partial(_config, folder))
    yield _check(f"{artifacts.METRICS} has one sane row an epoch", partial(_metrics, folder))
    for picture in artifacts.PICTURES:
        yield _check(f"{picture} opens", partial(_picture, folder / picture))
    yield _check(f"{artifacts.REPORT} needs no other file", partial(_report, folder / artifacts.REPORT))


def _check(name: str, look: Callable[[], None]) -> Check:
    """Run `look`; what it raises is the problem."""
    try:
        look()
    except ConvscopeError as error:
        return Check(name, str(error))
    except Exception as error:  # whatever the damage makes a reader raise belongs into the list
        return Check(name, f"{type(error).__name__}: {error}")
    return Check(name, "")


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
    settings = run.config.train
    last = min(len(rows), settings.epochs) if settings.patience else settings.epochs  # it may have stopped early
    if [row["epoch"] for row in rows] != list(range(1, last + 1)):
        raise ConvscopeError(f"expected epochs 1 to {settings.epochs}, got {len(rows)} rows")
    best = run.checkpoint["best_val_accuracy"]
    accuracies = [row["val_accuracy"] for row in rows if row["val_accuracy"] is not None]
    if best != (max(accuracies) if accuracies else None):
        raise ConvscopeError(f"best.pt says validation accuracy {best}, the rows say {accuracies}")


def _picture(path: Path) -> None:
    try:
        with Image.open(io.BytesIO(path.read_bytes())) as picture:
            picture.load()
    except UnidentifiedImageError:
        raise ConvscopeError("not a picture") from None


def _report(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if not text.rstrip().endswith("</html>"):
        raise ConvscopeError("the page is cut off")
    outside = re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)([^"']+)|url\((?!["']?data:)([^)]+)\)""", text)
    if outside:
        raise ConvscopeError(f"it refers to {next(filter(None, outside[0]))}")
