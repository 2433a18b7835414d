"""START HERE. One run on one page: load the pictures, build the network, fit it, keep everything in a run folder."""

import re
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from convscope.config import RunConfig, load_config, override
from convscope.data import ImageSet, hold_out, load_configured
from convscope.data.augment import build_augment
from convscope.data.batches import Batches, seeded
from convscope.errors import UsageError
from convscope.evaluate import evaluate, summary
from convscope.models import build_model
from convscope.pictures import DEFAULT_CROP, Crop
from convscope.runs import Run, load_run
from convscope.runs.artifacts import (
    BEST,
    CONFIG,
    ENVIRONMENT,
    LATEST,
    METRICS,
    write_csv,
    write_json,
)
from convscope.runs.checkpoint import FORMAT, save_checkpoint
from convscope.runs.environment import describe_environment
from convscope.runs.finish import finish
from convscope.training import Epoch, TrainState, fit
from convscope.training.progress import Progress


def train(
    recipe: str | Path | RunConfig,
    *,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    augment: Callable[..., torch.Tensor] | None = None,
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
    """
    config = recipe if isinstance(recipe, RunConfig) else load_config(recipe)
    config = override(config, {key.replace("__", "."): value for key, value in overrides.items()})
    settings = config.train
    folder = free_folder(out, config)
    device = choose_device(settings.device)
    if settings.threads:
        torch.set_num_threads(settings.threads)

    pictures, test = load_configured(config.data, data_dir)
    training, validation = hold_out(pictures, config)
    mean, std = training.channel_stats()
    with seeded(settings.seed):
        model = build_model(config.model.name, training.shape, len(training.classes), **config.model.options)
    state = TrainState(model.to(device), settings, training.shape, len(training.classes))
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

    claim(folder, config)
    write_json(folder / ENVIRONMENT, describe_environment(device))
    rows: list[dict[str, float | None]] = []
    best: tuple[float, float] | None = None
    with Progress(settings.epochs, batches.steps_per_epoch, enabled=progress) as shown:
        for record in fit(state, batches):
            shown.show(record)
            if not isinstance(record, Epoch):
                continue
            rows.append(asdict(record))
            write_csv(folder / METRICS, rows)
            score = (record.val_accuracy or 0.0, -(record.val_loss or 0.0))
            is_best = validation is None or best is None or score > best
            best = score if is_best else best
            checkpoint = {
                "format": FORMAT,
                "model": {"name": config.model.name, "options": config.model.options},
                **state.state_dict(),
                "epoch": state.epoch,
                "step": state.step,
                "best_val_accuracy": best[0] if validation and best else None,
                "classes": list(training.classes),
                "input_shape": list(training.shape),
                "mean": list(mean),
                "std": list(std),
                "picture": picture_settings(training, config.data.crop),
                "config": config.model_dump(mode="json"),
                "run_dir": str(folder),
            }
            if is_best:
                save_checkpoint(folder / BEST, checkpoint)
            save_checkpoint(folder / LATEST, checkpoint)

    run = load_run(folder)  # from the checkpoint alone, as every later command will
    evaluation = evaluate(run, test)
    results = summary(run, evaluation)
    counts = len(training), len(validation or ())
    tested = test.images, test.labels, evaluation.probabilities, evaluation.confusion
    for note in finish(run, results, *tested, *counts):
        if progress:
            print(f"note: {note.text}", file=sys.stderr)
    return run


def free_folder(out: str | Path | None, config: RunConfig) -> Path:
    """The folder for a new run; UsageError if something already stands there."""
    recipe = re.sub(r"[^\w.-]+", "-", config.recipe).strip(".-")
    folder = Path(out) if out else Path("runs") / f"{recipe}-{datetime.now():%Y%m%d-%H%M%S}"
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; choose another --out")
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; choose another --out, or remove it")
    return folder


def claim(folder: Path, config: RunConfig) -> None:
    """Make the run folder this run's own by creating `config.yaml` in it, which only one process can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / CONFIG).open("x", encoding="utf-8") as file:
            file.write(config.as_yaml())
    except FileExistsError:
        raise UsageError(f"{folder} has just been taken by another training; choose another --out") from None
    except OSError as error:
        raise UsageError(f"cannot write into {folder}: {error.strerror}; choose another --out") from None


def choose_device(name: str) -> str:
    """`auto` is CUDA where there is one, else the CPU; UsageError for a device that this machine lacks."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        raise UsageError(f"unknown train.device {name!r}; choose auto, cpu, cuda, cuda:N or mps")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"train.device {name!r} cannot be used here ({reason}); choose auto or cpu") from None
    return name


def picture_settings(pictures: ImageSet, crop: Crop | None) -> dict[str, Any]:
    """How a picture file must be prepared for this network: size (height, width), mode and crop."""
    channels, height, width = pictures.shape
    return {"size": [height, width], "mode": "L" if channels == 1 else "RGB", "crop": crop or DEFAULT_CROP}
