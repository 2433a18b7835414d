"""START HERE. One run on one page: load the pictures, build the network, fit it, keep everything in a run folder."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from convscope.config import RunConfig, differences, load_config, override
from convscope.data import ImageSet, hold_out, load_configured
from convscope.data.augment import build_augment
from convscope.data.batches import Batches, seeded
from convscope.errors import ConvscopeError, StoppedError, UsageError
from convscope.evaluate import evaluate, summary
from convscope.models import build_model
from convscope.pictures import DEFAULT_CROP, Crop
from convscope.runs import Run, load_run
from convscope.runs.artifacts import BEST, CONFIG, ENVIRONMENT, LATEST, MANIFEST, METRICS, write_csv, write_json
from convscope.runs.checkpoint import FORMAT, load_checkpoint, save_checkpoint
from convscope.runs.claim import claimed, free_folder, held
from convscope.runs.environment import describe_environment
from convscope.runs.finish import finish
from convscope.training import Arithmetic, Epoch, TrainState, fit
from convscope.training.choose import choose
from convscope.training.device import choose_device
from convscope.training.interrupt import StopSignals
from convscope.training.progress import Progress

Augment = Callable[..., torch.Tensor]
SAVE_EVERY = 60.0  # seconds between two savings within one epoch


def train(
    recipe: str | Path | RunConfig,
    *,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    augment: Augment | None = None,
    progress: bool = False,
    **overrides: Any,
) -> Run:
    """Train what `recipe` describes and return the finished run.

    Args:
        recipe: a shipped recipe's name, a YAML file, or a configuration.
        out: the run folder to make; by default ``runs/<recipe>-<date>-<time>``.
        data_dir: where the data set lies, and nowhere else.
        augment: any callable on a batch of uint8 pictures (N, C, H, W), after the recipe's own augmentation.
        progress: show it on standard error.
        **overrides: configuration keys, dots written as two underscores: ``train__epochs=5``.

    Raises:
        UsageError: a wrong configuration, or `out` already holds something.
        DataError: the data set is missing or broken.
        StoppedError: by Ctrl-C or SIGTERM; everything is saved, `resume` goes on.
    """
    config = recipe if isinstance(recipe, RunConfig) else load_config(recipe)
    config = override(config, {key.replace("__", "."): value for key, value in overrides.items()})
    folder = free_folder(out, config)
    job = prepare(config, data_dir, augment)
    with job.state.arithmetic.on_threads(), claimed(folder, config):
        return carry_out(job, folder, [], progress)


def resume(
    folder: str | Path,
    config: RunConfig | None = None,
    *,
    data_dir: str | Path | None = None,
    augment: Augment | None = None,
    progress: bool = False,
) -> Run:
    """Go on with a training that broke off, in place: on a CPU it gives, bit for bit, what an unbroken one gives.

    A finished run comes back as it is. Of the arguments of `train`, `data_dir` and `augment` must be the same again.

    Args:
        folder: the run folder.
        config: what the run is believed to be, if it is to be checked.

    Raises:
        UsageError: `config` is not the run's own, or another training is at work in the folder.
        ConvscopeError: no run folder, or it is damaged.
        StoppedError: again.
    """
    folder = Path(folder)
    if not (folder / CONFIG).is_file():
        raise ConvscopeError(f"no run in {folder} to go on with; `convscope train RECIPE --out {folder}` makes one")
    own = load_config(folder / CONFIG)
    if config is not None and (other := differences(own, config)):
        raise UsageError(f"{folder} was begun with {other}; leave the recipe out, or begin another run")
    if (folder / MANIFEST).exists():
        if progress:
            print(f"{folder} is finished; nothing is left to do", file=sys.stderr)
        return load_run(folder)
    with held(folder):
        begun = (folder / LATEST).exists()  # or it was killed before its first step
        job = prepare(own, data_dir, augment, recorded_arithmetic(folder) if begun else None)
        rows = take_up(job, folder) if begun else []
        if progress:
            print(f"going on in epoch {len(rows) + 1} after step {job.state.step}", file=sys.stderr)
        with job.state.arithmetic.on_threads():
            return carry_out(job, folder, rows, progress)


@dataclass(frozen=True, eq=False)
class Job:
    """A training about to happen: its pictures, its network, and how long a step took where that was measured."""

    config: RunConfig
    training: ImageSet
    validation: ImageSet | None
    test: ImageSet
    batches: Batches
    state: TrainState
    device: str
    step_seconds: dict[str, float]

    def checkpoint(self, rows: list[Epoch], folder: Path) -> dict[str, Any]:
        """Everything that goes on from here, or rebuilds the model by itself."""
        best = rows[best_row(rows)].val_accuracy if rows else None
        return {
            "format": FORMAT,
            "model": {"name": self.config.model.name, "options": self.config.model.options},
            **self.state.state_dict(),
            "epoch": self.state.epoch,
            "step": self.state.step,
            "best_val_accuracy": best,
            "classes": list(self.training.classes),
            "input_shape": list(self.training.shape),
            "mean": list(self.batches.mean),
            "std": list(self.batches.std),
            "picture": picture_settings(self.training, self.config.data.crop),
            "config": self.config.model_dump(mode="json"),
            "run_dir": str(folder),
        }


def prepare(
    config: RunConfig,
    data_dir: str | Path | None = None,
    augment: Augment | None = None,
    arithmetic: Arithmetic | None = None,
) -> Job:
    """Load the pictures, build the network and settle how to compute, if `arithmetic` does not."""
    settings = config.train
    if settings.patience and not config.data.val_fraction:
        raise UsageError("train.patience waits for a better validation, but data.val_fraction=0 holds nothing out")
    device = "cpu" if settings.engine == "numpy" else choose_device(settings.device)
    pictures, test = load_configured(config.data, data_dir)
    training, validation = hold_out(pictures, config)
    mean, std = training.channel_stats()
    batches = Batches(
        training,
        validation,
        mean=mean,
        std=std,
        batch_size=settings.batch_size,
        seed=settings.seed,
        augment=build_augment(config.data.augment, training.shape[1:], mean, augment),
        device=device,
    )
    with seeded(settings.seed):
        model = build_model(config.model.name, training.shape, len(training.classes), **config.model.options)
    model.to(device)
    step_seconds: dict[str, float] = {}
    if arithmetic is None:
        arithmetic, step_seconds = choose(settings, model, lambda: next(batches.train(0)))
    state = TrainState(model, settings, training.shape, len(training.classes), arithmetic)
    return Job(config, training, validation, test, batches, state, device, step_seconds)


def carry_out(job: Job, folder: Path, rows: list[Epoch], progress: bool) -> Run:
    """Train from where `job` stands until the end, keeping everything in `folder`; `rows` are the epochs done."""
    settings, state = job.config.train, job.state
    if not (folder / LATEST).exists():
        how = {"arithmetic": asdict(state.arithmetic), "step_seconds": job.step_seconds}
        write_json(folder / ENVIRONMENT, describe_environment(job.device) | how)
        save_checkpoint(folder / LATEST, job.checkpoint(rows, folder))
    saved = time.monotonic()
    shown = Progress(settings.epochs, job.batches.steps_per_epoch, state.step, enabled=progress)
    with shown, StopSignals() as stop:
        for record in () if out_of_patience(rows, settings.patience) else fit(state, job.batches):
            shown.show(record)
            if isinstance(record, Epoch):
                rows.append(record)
                write_csv(folder / METRICS, [asdict(row) for row in rows])
                if best_row(rows) == len(rows) - 1:
                    save_checkpoint(folder / BEST, job.checkpoint(rows, folder))
            if isinstance(record, Epoch) or stop.signum or time.monotonic() - saved > SAVE_EVERY:
                save_checkpoint(folder / LATEST, job.checkpoint(rows, folder))
                saved = time.monotonic()
            if stop.signum:
                place = f"epoch {min(state.epoch + 1, settings.epochs)} after step {state.step}"
                raise StoppedError(f"stopped in {place}; `convscope train --resume {folder}` goes on", stop.signum)
            if out_of_patience(rows, settings.patience):
                break

    run = load_run(folder)  # from the checkpoint alone, as every later command will
    evaluation = evaluate(run, job.test)
    results = summary(run, evaluation)
    counts = len(job.training), len(job.validation or ())
    tested = job.test.images, job.test.labels, evaluation.probabilities, evaluation.confusion
    for note in finish(run, results, *tested, *counts):
        if progress:
            print(f"note: {note.text}", file=sys.stderr)
    return run


def recorded_arithmetic(folder: Path) -> Arithmetic:
    """How the run in `folder` began to compute, so that it goes on in the same way."""
    try:
        return Arithmetic(**json.loads((folder / ENVIRONMENT).read_text(encoding="utf-8"))["arithmetic"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConvscopeError(f"{folder / ENVIRONMENT} does not say how the run computes: {error!r}") from None


def take_up(job: Job, folder: Path) -> list[Epoch]:
    """Bring `job` to where `latest.pt` in `folder` stands; the epochs done until then."""
    checkpoint = load_checkpoint(folder / LATEST)
    own = job.checkpoint([], folder)
    for key in ("config", "classes", "input_shape", "mean", "std"):
        if checkpoint[key] != own[key]:
            what = f"{CONFIG} was changed" if key == "config" else f"the pictures are others ({key})"
            raise UsageError(f"{folder} cannot go on: since it was begun, {what}; begin another run")
    job.state.load_state_dict(checkpoint)
    if not job.state.epoch:
        return []
    rows = load_run(folder).metrics[: job.state.epoch]  # it may have been killed between a row and its checkpoint
    if [row["epoch"] for row in rows] != list(range(1, job.state.epoch + 1)):
        raise ConvscopeError(f"{folder / METRICS} lacks some of the {job.state.epoch} epochs of {LATEST}")
    return [Epoch.from_row(row) for row in rows]


def best_row(rows: list[Epoch]) -> int:
    """Which epoch validated best: by accuracy, then loss; the first of equals, the last where nothing is held out."""
    scores = [(row.val_accuracy, -(row.val_loss or 0.0)) for row in rows if row.val_accuracy is not None]
    return scores.index(max(scores)) if scores else len(rows) - 1


def out_of_patience(rows: list[Epoch], patience: int | None) -> bool:
    """Whether the last `patience` epochs were all no better than one before them."""
    return patience is not None and len(rows) - 1 - best_row(rows) >= patience


def picture_settings(pictures: ImageSet, crop: Crop | None) -> dict[str, Any]:
    """How a picture file must be prepared for this network: size (height, width), mode and crop."""
    channels, height, width = pictures.shape
    return {"size": [height, width], "mode": "L" if channels == 1 else "RGB", "crop": crop or DEFAULT_CROP}
