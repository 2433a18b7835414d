"""A model and a batch in, the fastest way to compute a step on this machine out: measured, never guessed."""

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from convscope.config import TrainConfig
from convscope.training.precision import Arithmetic, Precision
from convscope.training.torch_engine import TorchEngine

Measured = dict[str, dict[str, float]]  # what was to be chosen -> each candidate -> the seconds a step took

ROUNDS = 5  # timed steps of each candidate, in turn, so that a busy moment of the machine hits all alike
ENOUGH = 10.0  # seconds of timing after which no further round begins
PICTURES = 256  # of a larger batch so many are timed: five short rounds survive a busy moment, one long one does not
NARROW = 16  # kernels
WORTH = 1.1  # a candidate must be so many times faster than the plain one; less is noise


def choose(
    config: TrainConfig, device: str, model: nn.Module, batch: Callable[[], tuple[Tensor, Tensor]]
) -> tuple[Arithmetic, Measured]:
    """Fill in what `config` leaves to ``auto``: first the threads, then precision and memory layout on so many.

    On a busy machine the number of threads matters most, and what is fastest on all of them need not be so on fewer.
    Takes real training steps on copies of `model`, of up to `PICTURES` pictures each; the model itself and all random
    streams stay as they are.

    Args:
        device: where.
        model: what will be trained.
        batch: gives a first batch, float32 (N, C, H, W) and int64 (N,), should one be needed.

    Returns:
        The arithmetic, and by what was to be chosen the seconds a step of each candidate; empty where nothing was open.
    """
    if config.engine == "numpy":
        threads = None if config.threads == "auto" else config.threads
        return Arithmetic("float64" if config.precision == "float64" else "float32", threads=threads), {}
    count = torch.get_num_threads() if config.threads in (None, "auto") else config.threads
    kind = torch.device(device).type
    precisions = _precisions(kind) if config.precision == "auto" else [config.precision]
    candidates = [False] if kind == "cpu" and _narrow(model) else [False, True]
    layouts = candidates if config.channels_last == "auto" else [config.channels_last]
    counts = [int(count), (int(count) + 1) // 2, 1] if config.threads == "auto" and kind == "cpu" else [int(count)]
    plain = Arithmetic(precisions[0], layouts[0], int(count), device)
    way, by_threads = _fastest([replace(plain, threads=n) for n in dict.fromkeys(counts)], config, model, batch)
    ways = [replace(way, precision=precision, channels_last=layout) for precision in precisions for layout in layouts]
    way, by_kind = _fastest(ways, config, model, batch)
    measured = {"threads": by_threads, "precision and layout": by_kind}
    return way, {what: seconds for what, seconds in measured.items() if seconds}


def _narrow(model: nn.Module) -> bool:
    """Whether a convolution has too few kernels for channels last on a CPU.

    PyTorch 2.13 corrupts the process's memory in the backward pass of such a layer, on two threads and with AVX-512:
    seen with 2, 4 and 8 kernels, never with 16 and more.
    """
    return any(p.ndim == 4 and len(p) < NARROW for p in model.parameters())


def _precisions(kind: str) -> list[Precision]:
    """What `auto` may choose from, the plain one first."""
    if kind == "cuda":
        return ["float32", "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"]
    return ["float32", "bfloat16"] if kind == "cpu" else ["float32"]


def _fastest(
    ways: list[Arithmetic], config: TrainConfig, model: nn.Module, batch: Callable[[], tuple[Tensor, Tensor]]
) -> tuple[Arithmetic, dict[str, float]]:
    """The way whose step is clearly the fastest, else the first, and the median seconds of each."""
    if len(ways) == 1:
        return ways[0], {}
    images, labels = (part[:PICTURES] for part in batch())
    engines = {way: TorchEngine(copy.deepcopy(model), config, way) for way in ways}
    taken: dict[Arithmetic, list[float]] = {way: [] for way in ways}
    begun = time.perf_counter()
    for done in range(ROUNDS + 1):
        if done > 1 and time.perf_counter() - begun > ENOUGH:
            break
        for way, engine in engines.items():
            with way.on_threads():
                started = time.perf_counter()
                engine.step(images, labels, lr=0.0, seed=0)  # gives numbers back, so it waits for the device
                taken[way].append(time.perf_counter() - started)
    medians = {way: statistics.median(times[1:]) for way, times in taken.items()}  # the first one warms up
    best = min(ways, key=medians.__getitem__)
    chosen = best if medians[best] * WORTH < medians[ways[0]] else ways[0]
    return chosen, {str(way): seconds for way, seconds in medians.items()}
