"""Runs in; the models that the service answers with out, each by its name, swapped as a whole."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convscope.errors import ConvscopeError, UsageError
from convscope.runs import Run, find_run, load_run
from convscope.runs.artifacts import weights_of
from convscope.service.problems import Problem

WARM_UP = 5.0  # seconds


@dataclass(frozen=True, eq=False)
class Served:
    """A run under the name that clients call it by; `sha256` is that of its weights file."""

    name: str
    sha256: str
    run: Run


class Models:
    """What is served, by name; the first is the default. One that is not loaded (yet) has a name and no run."""

    def __init__(self, served: Sequence[Served] = (), names: Sequence[str] = ()) -> None:
        self._served: dict[str, Served | None] = {**dict.fromkeys(names), **{one.name: one for one in served}}

    @property
    def names(self) -> tuple[str, ...]:
        """Every model, the default first."""
        return tuple(self._served)

    @property
    def missing(self) -> tuple[str, ...]:
        """Those that cannot answer (yet)."""
        return tuple(name for name, served in self._served.items() if served is None)

    @property
    def ready(self) -> tuple[Served, ...]:
        """Those that can."""
        return tuple(served for served in self._served.values() if served is not None)

    def get(self, name: str | None = None) -> Served:
        """The model of that name, None for the default; a 404 that lists the choices if there is none."""
        if name is None:
            name = self.names[0]
        if name not in self._served:
            raise Problem(404, "unknown_model", f"unknown model {name!r:.100}; choose from {', '.join(self.names)}")
        served = self._served[name]
        if served is None:
            raise Problem(503, "not_ready", f"the model {name} is not ready")
        return served

    def put(self, served: Served) -> None:
        """Answer with this one from the next request on; what has begun keeps the one that it began with."""
        self._served[served.name] = served


def find_sources(runs: Sequence[str]) -> dict[str, Path]:
    """The folder of each run, by the name that clients will call it by: the folder's own.

    Raises:
        ConvscopeError: there is no such folder.
        UsageError: two folders have the same name.
    """
    sources: dict[str, Path] = {}
    for run in runs:
        folder = find_run(run)
        name = folder.resolve().name
        if name in sources:
            raise UsageError(f"{folder} and {sources[name]} would both be served as {name!r}; rename one")
        sources[name] = folder
    return sources


def load_served(name: str, folder: Path, batch: int = 1) -> Served:
    """Open a run and let it answer, so that the first client waits for nothing and a broken one never answers.

    It answers batches of every size that there will be up to `batch`, for PyTorch prepares each anew, which takes time
    and memory (for `cifar10-94` 0.2 s and 2 MB); but not for longer than `WARM_UP` seconds.

    Raises:
        ConvscopeError: the checkpoint is broken, changed while it was read, or its network answers NaN; one line.
    """
    before = sha256_of(folder)
    run = load_run(folder)
    if sha256_of(folder) != before:
        raise ConvscopeError(f"{weights_of(folder)} was being written; nothing was loaded")
    began = time.monotonic()
    try:
        for size in sorted({padded(count) for count in range(1, batch + 1)}):
            answer = run.probabilities(np.zeros((size, *run.input_shape), np.uint8))
            if time.monotonic() > began + WARM_UP:
                break
    except (RuntimeError, ValueError) as error:  # weights that load and do not compute
        raise ConvscopeError(f"the network in {run.name} cannot answer: {' '.join(str(error).split())}") from None
    if answer.shape != (size, len(run.classes)) or not np.isfinite(answer).all():
        raise ConvscopeError(f"the network in {run.name} gives no numbers (NaN); `convscope doctor {run.name}`")
    return Served(name, before, run)


def padded(count: int) -> int:
    """The size of the batch in which so many pictures are computed: the next of 1 to 8, 10, 12, 14, 16, 20, 24, …"""
    step = max(1, (1 << (count - 1).bit_length()) // 8)
    return -(-count // step) * step


def sha256_of(folder: Path) -> str:
    """That of the file with the weights, as a manifest says it."""
    path = weights_of(folder)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConvscopeError(f"{path} cannot be read ({error.strerror})") from None
