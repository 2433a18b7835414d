"""A Job and its run folder in: what going on after a break needs is written there, and read when it comes to that."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from convscope.config import RunConfig, make_config
from convscope.errors import ConvscopeError, UsageError
from convscope.runs.artifacts import BEST, CONFIG, ENVIRONMENT, LATEST, METRICS, write_json
from convscope.runs.checkpoint import load_checkpoint, save_checkpoint
from convscope.runs.environment import describe_environment, read_environment
from convscope.runs.own_pictures import last_place, placed
from convscope.runs.run import read_metrics
from convscope.training.fit import Epoch
from convscope.training.job import Augment, Job, best_row, prepare
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


def take_up(
    folder: Path, config: RunConfig, data_dir: str | Path | None, augment: Augment | None
) -> tuple[Job, list[Epoch]]:
    """The training in `folder` where `latest.pt` stands, and the epochs done until then.

    Args:
        config: the run's own.
        data_dir: where the data set lies by now; by default where it lay.
        augment: as given when the run began.

    Raises:
        UsageError: the configuration or the pictures are others by now.
        ConvscopeError: a file is missing or damaged.
    """
    stands = (folder / LATEST).exists()
    record = read_environment(folder) if stands or (folder / ENVIRONMENT).exists() else {}
    where = Path(data_dir) if data_dir else last_place(record)
    if stands:
        job = prepare(config, where, augment, recorded_arithmetic(record, folder), placed(config.data, where))
        return job, _go_to_latest(job, record, folder)
    for name in (METRICS, BEST):
        if (folder / name).exists():
            raise ConvscopeError(
                f"{folder} cannot go on: {name} shows that epochs were done, but {LATEST}, which says where it stood, "
                "is missing; put it back, or begin another run"
            )
    job = prepare(config, where, augment, source=placed(config.data, where))  # killed before its first checkpoint
    begin(job, folder)
    return job, []


def recorded_arithmetic(record: dict[str, Any], folder: Path) -> Arithmetic:
    """How the run in `folder` began to compute, so that it goes on in the same way."""
    try:
        return Arithmetic.recorded(record["arithmetic"])
    except (KeyError, TypeError, ValueError) as error:
        raise ConvscopeError(f"{folder / ENVIRONMENT} does not say how the run computes: {error!r}") from None


def _go_to_latest(job: Job, record: dict[str, Any], folder: Path) -> list[Epoch]:
    """Bring `job` to where `latest.pt` stands; the epochs done until then."""
    checkpoint = load_checkpoint(folder / LATEST)
    if make_config(checkpoint["config"], source=str(folder / LATEST)) != job.config:
        raise UsageError(f"{folder} cannot go on: since it was begun, {CONFIG} was changed; begin another run")
    if job.fingerprints() != record.get("pictures"):
        raise UsageError(
            f"{folder} cannot go on: since it was begun, the pictures were changed; give the folder that has them as "
            "they were with --data-dir, or begin another run"
        )
    if job.data_dir != record.get("data_dir"):  # the right pictures in another place, where later commands look too
        write_json(folder / ENVIRONMENT, record | {"data_dir": job.data_dir})
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
