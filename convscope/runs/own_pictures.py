"""A run in, the pictures of its data set as they are now out, and whether they are still those of its training."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from convscope.config import DataConfig, RunConfig
from convscope.data import ImageSet, hold_out, is_at_hand, load_at_hand, load_configured
from convscope.errors import ConvscopeError, UsageError
from convscope.runs.environment import read_environment
from convscope.runs.run import Run

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class OwnPictures:
    """What a run's data set holds now.

    Attributes:
        run: what the run is called.
        config: of the run.
        recorded: the fingerprint of each set when the training began; empty where that is not on record.
        pictures: all that are not for the test, before subset and validation split.
        test: those that are.
    """

    run: str
    config: RunConfig
    recorded: Mapping[str, str]
    pictures: ImageSet
    test: ImageSet

    @cached_property
    def split(self) -> tuple[ImageSet, ImageSet | None]:
        """(training, validation); UsageError where there are too few pictures left for it."""
        return hold_out(self.pictures, self.config)

    def changed(self, name: str) -> bool | None:
        """Whether the `training`, `validation` or `test` pictures are others by now; None where nobody knows."""
        if not self.recorded:
            return None
        try:
            pictures = self.test if name == "test" else self.split[name == "validation"]
        except UsageError:
            return True
        return (pictures and pictures.fingerprint()) != self.recorded.get(name)

    def warn(self, name: str) -> bool | None:
        """As `changed`, with a line in the log if they are."""
        if changed := self.changed(name):
            log.warning("warning: the %s pictures are not those of %s's training: they have changed", name, self.run)
        return changed


def own_pictures(run: Run, data_dir: Path | None = None, *, download: bool = True) -> OwnPictures:
    """Load the pictures of a run's data set from `data_dir`, by default from where the training found them.

    Args:
        download: fetch what is missing; otherwise that is a DataError.

    Raises:
        DataError, UsageError: as `load_configured`.
    """
    record = _record(run)
    where = data_dir or last_place(record)
    load = load_configured if download else load_at_hand
    pictures, test = load(placed(run.config.data, where), where)
    recorded = record.get("pictures")
    return OwnPictures(run.name, run.config, recorded if isinstance(recorded, dict) else {}, pictures, test)


def are_at_hand(run: Run, data_dir: Path | None = None) -> bool:
    """Whether `own_pictures` would find the files of the run's data set without a download; opens none."""
    where = data_dir or last_place(_record(run))
    return is_at_hand(placed(run.config.data, where), where)


def _record(run: Run) -> Mapping[str, Any]:
    """The run's `environment.json`, empty where there is none: a checkpoint alone is enough to use a run."""
    try:
        return read_environment(run.path)
    except ConvscopeError:
        return {}


def last_place(record: Mapping[str, Any]) -> Path | None:
    """The ``--data-dir`` on record, if such a folder is on this machine."""
    found = record.get("data_dir")
    return Path(found) if isinstance(found, str) and Path(found).is_dir() else None


def placed(data: DataConfig, data_dir: Path | None) -> DataConfig:
    """`data`, to be read from `data_dir`: that is the pictures' own folder where it holds none of the name `path`.

    For a run alone, whose fingerprints tell another folder; a new training must find what it was told.
    """
    if data_dir is None or data.path is None or (data_dir / data.path).is_dir():
        return data
    return data.model_copy(update={"path": None})
