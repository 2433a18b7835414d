"""A job ready to fit in, how fast it trains and varies its pictures beside the plain way to do the same, out."""

import copy
import statistics
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from benchmarks.plain_loop import OneByOne, plain_loop, varied
from benchmarks.step_bound import Stage
from benchmarks.timing import Calls, medians
from convscope.data.batches import mirrored
from convscope.training import fit
from convscope.training.job import Job

Loop = Generator[int, None, None]
OURS = "convscope"
WORKERS = (0, 2)  # of the plain loop's DataLoader; the faster counts


def own_loop(job: Job, epoch: int) -> Loop:
    """Train by `fit`, in that epoch again and again, without its validation; yields the pictures of each step."""
    state, steps = job.state, job.batches.steps_per_epoch
    while True:
        state.epoch, state.step = epoch, epoch * steps
        state.epoch_step = state.correct = state.seen = 0
        state.loss_sum = state.seconds = 0.0
        records = fit(state, job.batches)
        for _ in range(steps):
            yield next(records).images


def loops(job: Job, stage: Stage, extra: float, steps: int, rounds: int) -> dict[str, Any]:
    """`images_per_second` of `fit` and of the plain loops at that stage, and `ratio`, ours over the best of theirs.

    Args:
        stage: with pictures of full size, since a plain loop has no others.
        extra: seconds added to each step of ours: what setting up an epoch takes, over its steps.
        steps: timed in a row.
        rounds: of such blocks, the loops taking turns.
    """
    train, augment = job.config.train, job.config.data.augment
    pictures = OneByOne(job.training, augment, job.batches.mean, job.batches.std)
    plain = copy.deepcopy(job.state.model).to(torch.float32, memory_format=torch.contiguous_format)
    arguments = stage.batch[0], train.label_smoothing, train.epochs
    theirs = {f"plain loop, {n} workers": plain_loop(plain, pictures, *arguments, n) for n in WORKERS}
    rates = _take_turns({OURS: own_loop(job, stage.epoch)} | theirs, {OURS: extra}, steps, rounds)
    return {"images_per_second": rates, "ratio": rates[OURS] / max(rates[name] for name in theirs)}


def augmentation(job: Job, stage: Stage, rounds: int) -> dict[str, Any]:
    """`microseconds` a picture of whole batches and of one picture at a time, and what the others come to of ours.

    Twice: `transforms` alone, bytes to bytes, also ours on batches of one; and `ready`, pictures chosen, varied,
    normalised, as Batches and as a Dataset give them.
    """
    batches, augment = job.batches, job.config.data.augment
    images = torch.tensor(job.training.images[: stage.batch[0]])  # uint8 (N, C, H, W)
    single = OneByOne(job.training, augment, batches.mean, batches.std)
    count, whole = len(images), len(job.training)

    def make(_: int) -> Calls:
        generator = torch.Generator().manual_seed(0)
        ready: Calls = {
            "ready, whole batches": lambda: _exhaust(batches.train(stage.epoch)),
            "ready, one picture at a time": lambda: [single[index] for index in range(count)],
        }
        if (augment_batch := batches.augment) is None:
            return ready

        def ours(images: Tensor, generator: torch.Generator) -> Tensor:
            if augment.flip == "alternating":  # which is up to `Batches`, and is not to be left out here
                images = mirrored(images, torch.arange(len(images)) % 2 == 0)
            return augment_batch(images, generator)

        return ready | {
            "transforms, whole batches": lambda: ours(images, generator),
            "transforms, one picture at a time": lambda: [varied(image, augment, single.mean) for image in images],
            "transforms, ours on batches of one": lambda: [ours(image[None], generator) for image in images],
        }

    seconds = medians(make, rounds)
    pictures = {name: whole if name == "ready, whole batches" else count for name in seconds}
    each = {name: 1e6 * taken / pictures[name] for name, taken in seconds.items()}
    return {
        "microseconds": each,
        "ratio": {name: taken / each[f"{name.partition(',')[0]}, whole batches"] for name, taken in each.items()},
    }


def _exhaust(batches: Iterator[Any]) -> None:
    for _ in batches:
        pass


def _take_turns(loops: dict[str, Loop], extra: dict[str, float], steps: int, rounds: int) -> dict[str, float]:
    """Median pictures a second of each loop, over blocks of `steps` steps after one that does not count.

    A DataLoader's workers fill their queue behind a loop that stands still; as long as a step takes longer than making
    a batch it is full whenever a block begins and when it ends, so no block gets a batch for nothing.
    """
    rates: dict[str, list[float]] = {name: [] for name in loops}
    with ExitStack() as stack:
        for loop in loops.values():
            stack.callback(loop.close)  # which ends the workers of its DataLoader
        for _ in range(rounds):
            for name, loop in loops.items():
                next(loop)
                started = time.perf_counter()
                pictures = sum(next(loop) for _ in range(steps))
                seconds = time.perf_counter() - started + steps * extra.get(name, 0.0)
                rates[name].append(pictures / seconds)
    return {name: statistics.median(of) for name, of in rates.items()}
