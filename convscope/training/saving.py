"""A Job and its run folder in: what going on after a break needs is written there, and read when it comes to that."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from convscope.config import make_config
from convscope.errors import ConvscopeError, UsageError
from convscope.runs.artifacts import BEST, CONFIG, ENVIRONMENT, LATEST, METRICS, write_json
from convscope.runs.checkpoint import load_checkpoint, save_checkpoint
from convscope.runs.environment import describe_environment
from convscope.runs.run import read_metrics
from convscope.training.fit import Epoch
from convscope.training.job import Job, best_row
from convscope.training.precision import Arithmetic


def begin(job: Job, folder: Path) -> None:
    """Put down how the run begins, and a first checkpoint, so that it can go on whenever it breaks off."""
    record = {
        **describe_environment(job.state.arithmetic.device),
        "arithmetic": asdict(job.state.arithmetic),
        "step_seconds": job.step_seconds,
        "data_dir": job.data_dir,
        "pictures": job.fingerprints(),
    }
    write_json(folder / ENVIRONMENT, record)
    save_checkpoint(folder / LATEST, job.checkpoint([], folder))


def save(job: Job, folder: Path, rows: list[Epoch]) -> None:
    """Write `latest.pt`, and then `best.pt` if it is due; what a kill in between leaves, `take_up` makes good."""
    save_checkpoint(folder / LATEST, job.checkpoint(rows, folder))
    save_best(job, folder, rows)


def save_best(job: Job, folder: Path, rows: list[Epoch]) -> None:
    """Write `best.pt` where the last epoch is the best and nothing was learned since."""
    if rows and not job.state.epoch_step and best_row(rows) == len(rows) - 1:
        save_checkpoint(folder / BEST, job.checkpoint(rows, folder))


def recorded_arithmetic(record: dict[str, Any], folder: Path) -> Arithmetic:
    """How the run in `folder` began to compute, so that it goes on in the same way."""
    try:
        return Arithmetic.recorded(record["arithmetic"])
    except (KeyError, TypeError, ValueError) as error:
        raise ConvscopeError(f"{folder / ENVIRONMENT} does not say how the run computes: {error!r}") from None


def take_up(job: Job, record: dict[str, Any], folder: Path) -> list[Epoch]:
    """Bring `job` to where `latest.pt` in `folder` stands; the epochs done until then."""
    checkpoint = load_checkpoint(folder / LATEST)
    if make_config(checkpoint["config"], source=str(folder / LATEST)) != job.config:
        raise UsageError(f"{folder} cannot go on: since it was begun, {CONFIG} was changed; begin another run")
    if job.fingerprints() != record.get("pictures"):
        raise UsageError(f"{folder} cannot go on: since it was begun, the pictures were changed; begin another run")
    job.state.load_state_dict(checkpoint)
    if not job.state.epoch:
        return []
    try:  # a kill may have come between a row and its checkpoint
        rows = [Epoch.from_row(row) for row in read_metrics(folder)[: job.state.epoch]]
    except (KeyError, TypeError, ValueError) as error:
        raise ConvscopeError(f"{folder / METRICS} is damaged: {error!r}") from None
    if [row.epoch for row in rows] != list(range(1, job.state.epoch + 1)):
        raise ConvscopeError(f"{folder / METRICS} lacks some of the {job.state.epoch} epochs of {LATEST}")
    save_best(job, folder, rows)
    return rows
