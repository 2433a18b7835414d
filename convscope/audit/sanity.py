"""A subject and its maps in; what is left of each map once the network has forgotten what it learned, out.

Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018: a map that stays the same when the weights are random
shows the picture, not what the network learned of it. The weights are made random from the head downward, layer by
layer on a private copy, and each time Spearman's rank correlation with the original map is taken. For the second check
a network is trained on permuted labels, in `random_labels`.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from convscope.audit.contest import Interval
from convscope.audit.maps import MethodMaps, Tell, maps_of, strength
from convscope.audit.rank_correlation import spearman
from convscope.audit.subject import Subject
from convscope.errors import ConvscopeError
from convscope.explain.capture import EvalCopy, pictures_at_once

THRESHOLD = 0.5  # a rank correlation of 0.5 means that a quarter of the order's variance is still the old one
STAGES = 5
PICTURES, FEWEST = 32, 8
PRICE = 1024  # passes that a method may take at one stage
DEAR = 32  # passes a picture; dearer methods are looked at only when all weights are random


@dataclass(frozen=True, eq=False)
class Likeness:
    """How like its old maps a method's maps are, as the network changes.

    Attributes:
        method: its name.
        correlations: for each stage (n,), the rank correlation with the original for each picture; NaN for a picture
            without an original; None for a stage that was left out, or where the method could not be had.
        problem: why it could not be had at the end; empty if it could.
    """

    method: str
    correlations: tuple[NDArray[np.float64] | None, ...]
    problem: str = ""

    @property
    def end(self) -> Interval | None:
        """The mean at the last stage; None where there is none."""
        last = self.correlations[-1]
        last = None if last is None else last[np.isfinite(last)]
        return Interval.of(last) if last is not None and len(last) else None

    @property
    def passed(self) -> bool | None:
        """Whether less than `THRESHOLD` of the likeness is left, of either sign; None: not checked."""
        return None if self.end is None else abs(self.end.mean) < THRESHOLD

    @property
    def means(self) -> list[float | None]:
        """The mean at each stage."""
        found = [None if c is None or not np.isfinite(c).any() else float(np.nanmean(c)) for c in self.correlations]
        return found

    @property
    def pictures(self) -> int:
        """How many of them have an original to compare with."""
        last = self.correlations[-1]
        return 0 if last is None else int(np.isfinite(last).sum())


@dataclass(frozen=True, eq=False)
class Cascade:
    """The first check.

    Attributes:
        stages: down to which layer the weights are random, stage by stage, the last one: all.
        methods: a row each.
    """

    stages: tuple[str, ...]
    methods: tuple[Likeness, ...]


def randomise(subject: Subject, maps: Sequence[MethodMaps], seed: int = 0, tell: Tell = lambda _: None) -> Cascade:
    """Make the weights random from the head downward, on a private copy, and compare maps on the way.

    The values of each weight tensor are shuffled, so that only their places are random; BatchNorm's running statistics
    behind them are measured anew on the subject's pictures, or the activations of a random network would run off. The
    class explained stays the one predicted before.
    """
    model = copy.deepcopy(subject.model)
    groups = weight_groups(model)
    ends = np.unique(np.linspace(0, len(groups), min(STAGES, len(groups)) + 1).round().astype(int))[1:]
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, list[NDArray[np.float64] | None]] = {m.name: [] for m in maps}
    problems: dict[str, str] = {}
    stages, done = [], 0
    for number, end in enumerate(ends):
        for group in reversed(groups[len(groups) - end : len(groups) - done]):
            for module in group:
                shuffle(model.get_submodule(module), generator)
        done = int(end)
        changed = [name for group in groups[len(groups) - done :] for name in group]
        measure_statistics(model, changed, subject)
        stages.append(groups[len(groups) - done][0])
        wanted = [m for m in maps if m.passes <= DEAR or number == len(ends) - 1]
        tell(f"random weights down to {stages[-1]}")
        likeness, problems = compare(subject, model, wanted, PRICE)
        for m in maps:
            found[m.name].append(likeness.get(m.name))
    rows = tuple(Likeness(name, tuple(values), problems.get(name, "")) for name, values in found.items())
    return Cascade(tuple(stages), rows)


def compare(
    subject: Subject, model: nn.Module, maps: Sequence[MethodMaps], price: int
) -> tuple[dict[str, NDArray[np.float64]], dict[str, str]]:
    """The rank correlation of each method's maps of `model` with the originals, (n,); and why some have none."""
    # of random weights only the order of the places is asked
    copy, found, problems = EvalCopy(model, refine=False), dict[str, NDArray[np.float64]](), dict[str, str]()
    counts = {m.name: min(len(m), PICTURES, max(FEWEST, price // m.passes)) for m in maps}
    step = pictures_at_once(subject.images)
    parts: dict[str, list[NDArray[np.float64]]] = {m.name: [] for m in maps}
    for start in range(0, max(counts.values(), default=0), step):
        batches: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}  # methods at a layer share a pass, as in `maps`
        for m in maps:
            stop = min(start + step, counts[m.name])
            if stop <= start or m.name in problems:
                continue
            batch = batches.setdefault(stop, (subject.images[start:stop], subject.targets[start:stop]))
            try:
                now = strength(maps_of(copy, m, *batch), m.of_input)
            except ConvscopeError as error:
                problems[m.name] = str(error)
                continue
            parts[m.name].append(spearman(m.shown[start:stop], now))
    found = {name: np.concatenate(values) for name, values in parts.items() if values and name not in problems}
    return found, problems


def weight_groups(model: nn.Module) -> list[list[str]]:
    """Modules with a weight of more than one axis, in their order, each with the norms that follow it."""
    groups: list[list[str]] = []
    for name, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        if any(parameter.ndim > 1 for parameter in own):
            groups.append([name])
        elif own and groups:
            groups[-1].append(name)
    return groups


@torch.no_grad()
def shuffle(module: nn.Module, generator: torch.Generator) -> None:
    """Put the values of each of its own parameters into random places."""
    for parameter in module.parameters(recurse=False):
        flat = parameter.flatten()
        parameter.copy_(flat[torch.randperm(len(flat), generator=generator)].view_as(parameter))


@torch.no_grad()
def measure_statistics(model: nn.Module, names: Sequence[str], subject: Subject) -> None:
    """Take the running statistics of the BatchNorm layers among `names` from one batch of the subject's pictures."""
    norms = [m for m in map(model.get_submodule, names) if isinstance(m, _BatchNorm) and m.track_running_stats]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches, here of one
        norm.train()
    try:
        model(subject.images[: pictures_at_once(subject.images)])
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.eval()
