"""Run: a run folder opened for use; pictures in, logits out, without the training code or the data loaders."""

import csv
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convscope.config import RunConfig, make_config
from convscope.errors import ConvscopeError, UsageError
from convscope.preprocess import preprocess
from convscope.runs.artifacts import METRICS, RESULTS, unreadable, weights_of
from convscope.runs.checkpoint import load_checkpoint, rebuild_model
from convscope.runs.shipped import find_run, is_shipped

Row = dict[str, float | None]


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """A trained network with everything needed to use it.

    Attributes:
        path: the run folder.
        checkpoint: the plain content of `best.pt`, or of the `model.safetensors` that an export has in its place.
        model: rebuilt from it, in eval mode.
    """

    path: Path
    checkpoint: dict[str, Any]
    model: nn.Module

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}: {self.model_name}, {len(self.classes)} classes, input {self.input_shape})"

    @property
    def name(self) -> str:
        """What a command line calls it: its folder, or the name of a network that comes with convscope."""
        return self.path.resolve().name if is_shipped(self.path) else str(self.path)

    @property
    def views(self) -> Path:
        """Where pictures made later go: into the run folder, but never into the installed package."""
        return Path("runs") / f"{self.name}-views" if is_shipped(self.path) else self.path / "views"

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the logits."""
        return tuple(self.checkpoint["classes"])

    def class_number(self, name: str) -> int:
        """A class by its name, in whatever case if that leaves one, or by its number in digits."""
        if name in self.classes:
            return self.classes.index(name)
        if name.isdecimal() and int(name) < len(self.classes):
            return int(name)
        alike = [k for k, own in enumerate(self.classes) if own.casefold() == name.casefold()]
        if len(alike) == 1:
            return alike[0]
        raise UsageError(
            f"unknown class {name!r}; choose from {', '.join(self.classes)} or 0 to {len(self.classes) - 1}"
        )

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one picture."""
        channels, height, width = self.checkpoint["input_shape"]
        return channels, height, width

    @cached_property
    def config(self) -> RunConfig:
        """What the run was asked to do."""
        return make_config(self.checkpoint["config"], source=str(weights_of(self.path)))

    @property
    def model_name(self) -> str:
        """The model's name in the registry."""
        return str(self.checkpoint["model"]["name"])

    @property
    def parameters(self) -> int:
        """How many numbers its weights hold, fixed ones included."""
        return sum(p.numel() for p in self.model.parameters())

    @property
    def metrics(self) -> list[Row]:
        """The rows of `metrics.csv`, one an epoch; None where a cell is empty."""
        return read_metrics(self.path)

    @property
    def results(self) -> dict[str, Any]:
        """What training came to, as `train --json` prints it: `results.json`, with `run` as it is called now."""
        try:
            return dict(json.loads((self.path / RESULTS).read_text(encoding="utf-8"))) | {"run": self.name}
        except (OSError, ValueError, TypeError) as error:
            raise ConvscopeError(f"{self.path / RESULTS} {unreadable(error)}") from None

    def preprocess(self, images: Tensor | NDArray[np.uint8]) -> Tensor:
        """uint8 (N, C, H, W) -> float32, normalised as in training, on the model's device."""
        device = next(self.model.parameters()).device
        if not isinstance(images, Tensor):  # shares the memory of an ordinary array, copies a read-only or turned one
            images = torch.from_numpy(np.require(images, requirements=["C", "W"]))
        return preprocess(images.to(device), self.checkpoint["mean"], self.checkpoint["std"])

    @torch.no_grad()
    def logits(self, images: NDArray[np.uint8], batch_size: int = 64) -> NDArray[np.float32]:
        """Raw pictures, uint8 (N, C, H, W) -> logits, (N, K); batch by batch, so N may be large.

        On a CPU with the channels side by side (NHWC) and in batches that its caches hold, which is faster where
        layers are wide; the logits are equal to rounding.
        """
        outputs = []
        for start in range(0, len(images), batch_size):
            batch = self.preprocess(images[start : start + batch_size])
            layout = torch.channels_last if batch.device.type == "cpu" else torch.contiguous_format
            outputs.append(self.model(batch.contiguous(memory_format=layout)).cpu().numpy())
        return np.concatenate(outputs) if outputs else np.empty((0, len(self.classes)), np.float32)

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Raw pictures, uint8 (N, C, H, W) -> softmax of the logits in float64, (N, K); each row sums to 1."""
        return softmax(self.logits(images).astype(np.float64))


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logits (N, K) -> probabilities (N, K); each row sums to 1."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))  # shifted, so that nothing overflows
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def read_metrics(folder: Path) -> list[Row]:
    """The rows of `metrics.csv` in a run folder; ConvscopeError where it cannot be read."""
    try:
        with (folder / METRICS).open(newline="", encoding="utf-8") as file:
            return [{k: float(v) if v else None for k, v in row.items()} for row in csv.DictReader(file)]
    except (OSError, ValueError, TypeError) as error:
        raise ConvscopeError(f"{folder / METRICS} {unreadable(error)}") from None


def load_run(path: str | Path) -> Run:
    """Open a run: its folder (`best.pt` there, or the `model.safetensors` of an export), or a name.

    Args:
        path: the folder, or, where no such path exists, the name of a network that comes with convscope.

    Raises:
        ConvscopeError: no run folder there and none of this name, or its checkpoint is broken.
    """
    folder = find_run(path)
    checkpoint = load_checkpoint(weights_of(folder))
    return Run(folder, checkpoint, rebuild_model(checkpoint))
