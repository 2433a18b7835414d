"""A run in; the same recipe trained on permuted labels, and how like the real network's maps its maps are, out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convscope.audit.maps import MethodMaps
from convscope.audit.sanity import PRICE, Likeness, compare
from convscope.audit.subject import Subject
from convscope.data import ImageSet
from convscope.errors import ConvscopeError
from convscope.runs import Run
from convscope.runs.environment import read_environment
from convscope.runs.own_pictures import last_place, placed
from convscope.training import Epoch, fit
from convscope.training.job import prepare
from convscope.training.progress import Progress

SAMPLE = 5000  # training pictures that are asked for by heart


@dataclass(frozen=True, eq=False)
class RandomLabels:
    """The second check of Adebayo et al. 2018.

    Attributes:
        epochs: as many as the recipe has.
        learned: the share of the permuted labels that the network names right in the end, in eval mode, without
            augmentation: how much it learned by heart.
        chance: what the most frequent class alone would reach.
        methods: a row each, with one stage.
    """

    epochs: int
    learned: float
    chance: float
    methods: tuple[Likeness, ...]


def permuted(pictures: ImageSet, seed: int = 0) -> ImageSet:
    """The same pictures under each other's labels: the classes stay as frequent, and nothing is left to learn."""
    labels = np.random.default_rng(seed).permutation(pictures.labels)
    return ImageSet(pictures.images, labels, pictures.classes, pictures.masks)


def train_on_random_labels(
    run: Run, subject: Subject, maps: Sequence[MethodMaps], data_dir: Path | None = None, progress: bool = False
) -> RandomLabels:
    """Train the run's recipe once more on permuted labels, then compare maps of test pictures.

    Raises:
        DataError: the training pictures are not at hand.
    """
    try:
        record = read_environment(run.path)
    except ConvscopeError:
        record = {}
    where = data_dir or last_place(record)
    job = prepare(run.config, where, source=placed(run.config.data, where), relabel=permuted)
    epochs, steps = run.config.train.epochs, job.batches.steps_per_epoch
    rows: list[Epoch] = []
    with job.state.arithmetic.on_threads(), Progress(epochs, steps, enabled=progress) as shown:
        for step in fit(job.state, job.batches):
            shown.show(step)
            if isinstance(step, Epoch):
                rows.append(step)
    job.state.state_dict()  # the NumPy engine writes its weights back into the model here
    model = job.state.model.eval().float().to(subject.images.device)
    count = min(len(job.training), SAMPLE)
    sample = job.training.take(np.random.default_rng(0).permutation(len(job.training))[:count])
    logits = Run(run.path, run.checkpoint, model).logits(sample.images)
    right = int((logits.argmax(axis=1) == sample.labels).sum())
    found, problems = compare(subject, model, maps, PRICE)
    methods = tuple(Likeness(m.name, (found.get(m.name),), problems.get(m.name, "")) for m in maps)
    chance = float(np.bincount(sample.labels).max() / count)
    return RandomLabels(len(rows), right / count, chance, methods)
