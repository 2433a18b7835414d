"""A configuration in, a Job out: pictures loaded, network built, the way to compute settled; ready to `fit`."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscope.config import DataConfig, RunConfig
from convscope.data import ImageSet, hold_out, load_configured
from convscope.data.augment import build_augment
from convscope.data.batches import Batches, derive_seed, seeded
from convscope.errors import UsageError
from convscope.layers import Whitening
from convscope.models import build_model
from convscope.pictures import DEFAULT_CROP, Crop
from convscope.preprocess import preprocess
from convscope.runs.checkpoint import FORMAT
from convscope.training.choose import Measured, choose
from convscope.training.device import choose_device
from convscope.training.fit import Epoch, TrainState
from convscope.training.precision import Arithmetic
from convscope.training.sizes import check_sizes, epoch_sizes

Augment = Callable[..., Tensor]
SEEN = 2**22  # pixels that fixed first layers are computed from, 4,096 pictures of 32×32


@dataclass(frozen=True, eq=False)
class Job:
    """A training about to happen.

    Attributes:
        config: what it is.
        data_dir: where its pictures lie, if that was said.
        training, validation, test: its pictures.
        batches, state: what `fit` takes.
        step_seconds: how long a step took in each way to compute it that was measured; see `choose`.
    """

    config: RunConfig
    data_dir: str | None
    training: ImageSet
    validation: ImageSet | None
    test: ImageSet
    batches: Batches
    state: TrainState
    step_seconds: Measured

    def fingerprints(self) -> dict[str, str]:
        """Which pictures these are."""
        sets = {"training": self.training, "validation": self.validation, "test": self.test}
        return {name: pictures.fingerprint() for name, pictures in sets.items() if pictures}

    def place(self, rows: list[Epoch]) -> str:
        """Where the training stands, in words; `rows` are the epochs done."""
        epoch, step, epochs = self.state.epoch, self.state.step, self.config.train.epochs
        if epoch == epochs or out_of_patience(rows, self.config.train.patience):
            return f"after epoch {epoch}, its last"
        if epoch and not self.state.epoch_step:
            return f"after epoch {epoch} of {epochs}"
        return f"in epoch {epoch + 1}, after step {step} of {epochs * self.batches.steps_per_epoch}"

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
    source: DataConfig | None = None,
    relabel: Callable[[ImageSet], ImageSet] | None = None,
) -> Job:
    """Load the pictures, build the network and settle how to compute, if `arithmetic` does not.

    `source` says where the pictures are by now, if not where `config` does; `relabel` changes those to learn from, for
    a control experiment.
    """
    settings = config.train
    if settings.patience and settings.sizes:
        raise UsageError("train.patience cannot wait while train.sizes makes pictures grow; set one of them to null")
    if settings.patience and not config.data.val_fraction:
        raise UsageError("train.patience waits for a better validation, but data.val_fraction=0 holds nothing out")
    device = (
        arithmetic.device if arithmetic else choose_device("cpu" if settings.engine == "numpy" else settings.device)
    )
    pictures, test = load_configured(source or config.data, data_dir)
    training, validation = hold_out(pictures, config)
    training = relabel(training) if relabel else training
    mean, std = training.channel_stats()
    batches = Batches(
        training,
        validation,
        mean=mean,
        std=std,
        batch_size=settings.batch_size,
        seed=settings.seed,
        augment=build_augment(config.data.augment, training.shape[1:], mean, augment),
        mirror_in_turn=config.data.augment.flip == "alternating",
        sizes=epoch_sizes(settings, training.shape[1:]),
        device=device,
    )
    with seeded(settings.seed):
        model = build_model(config.model.name, training.shape, len(training.classes), **config.model.options)
    check_sizes(model, batches)
    for layer in model.modules():
        if isinstance(layer, Whitening):
            layer.fit(preprocess(torch.from_numpy(training.images[some(training, settings.seed)]), mean, std))
    step_seconds: Measured = {}
    if arithmetic is None:
        arithmetic, step_seconds = choose(settings, device, model, lambda: next(batches.train(0)))
    state = TrainState(model, settings, training.shape, len(training.classes), arithmetic)
    where = None if data_dir is None else str(Path(data_dir).resolve())
    return Job(config, where, training, validation, test, batches, state, step_seconds)


def some(pictures: ImageSet, seed: int) -> NDArray[np.int64]:
    """The indices of some pictures that stand for all, drawn from `seed`: as many as have `SEEN` pixels together."""
    count = max(1, min(len(pictures), SEEN // math.prod(pictures.shape[1:])))
    return np.sort(np.random.default_rng(derive_seed("some", seed)).permutation(len(pictures))[:count])


def picture_settings(pictures: ImageSet, crop: Crop | None) -> dict[str, Any]:
    """How a picture file must be prepared for this network: size (height, width), mode and crop."""
    channels, height, width = pictures.shape
    return {"size": [height, width], "mode": "L" if channels == 1 else "RGB", "crop": crop or DEFAULT_CROP}


def best_row(rows: list[Epoch]) -> int:
    """Which epoch validated best: by accuracy, then loss; the first of equals, the last where nothing is held out."""
    scores = [(row.val_accuracy, -(row.val_loss or 0.0)) for row in rows if row.val_accuracy is not None]
    return scores.index(max(scores)) if scores else len(rows) - 1


def out_of_patience(rows: list[Epoch], patience: int | None) -> bool:
    """Whether the last `patience` epochs were all no better than one before them."""
    return patience is not None and len(rows) - 1 - best_row(rows) >= patience
