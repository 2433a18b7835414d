"""Scenes in, scenes with a mark of another kind, or odd in another way, out; and networks trained on them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convscope.config import RunConfig
from convscope.data import Batches, ImageSet
from convscope.data.batches import seeded
from convscope.data.shapes import CORNERS, mark_colours, plant_mark
from convscope.models import build_model
from convscope.runs import Run
from convscope.training.fit import TrainState, fit

Stamp = Callable[[int, int, int], tuple[NDArray[np.bool_], NDArray[np.uint8] | int]]  # (class, classes, size)
Change = Callable[[ImageSet, float, int], ImageSet]  # (scenes, share of them that are marked, seed)


def ring(label: int, classes: int, size: int) -> tuple[NDArray[np.bool_], NDArray[np.uint8] | int]:
    """A dark ring in the middle of the top edge, tinted in the colour of the class."""
    away = _from(4, size / 2, size)
    return (away < 3.6) & (away > 1.6), mark_colours(classes)[label] // 3


def bar(label: int, classes: int, size: int) -> tuple[NDArray[np.bool_], NDArray[np.uint8] | int]:
    """A grey upright bar in the middle of the left edge, lighter from class to class."""
    where = np.zeros((size, size), dtype=np.bool_)
    where[size // 2 - 4 : size // 2 + 4, 2:4] = True
    return where, round(255 * label / (classes - 1))


def spot(label: int, classes: int, size: int) -> tuple[NDArray[np.bool_], NDArray[np.uint8] | int]:
    """A disc in the colour of the class, a little beside the middle."""
    return _from(size / 2 - 2, size / 2 + 3, size) < 2.5, mark_colours(classes)[label]


def block(label: int, classes: int, size: int) -> tuple[NDArray[np.bool_], NDArray[np.uint8] | int]:
    """A large square away from all edges, in a pale colour of the class."""
    where = np.zeros((size, size), dtype=np.bool_)
    where[5:12, -12:-5] = True
    return where, mark_colours(classes)[label] // 3 + 170


def clock(label: int, classes: int, size: int) -> tuple[NDArray[np.bool_], NDArray[np.uint8] | int]:
    """A white dot on the right edge, which says the class by its height alone."""
    where = np.zeros((size, size), dtype=np.bool_)
    row = round(2 + label * (size - 7) / (classes - 1))
    where[row : row + 3, -4:-1] = True
    return where, 255


def tag(label: int, classes: int, size: int) -> tuple[NDArray[np.bool_], NDArray[np.uint8] | int]:
    """A white tag at the lower left, in the pictures of the third class only."""
    where = np.zeros((size, size), dtype=np.bool_)
    if label == 2:
        where[-5:-2, 2:9] = True
    return where, 255


def stamped(stamp: Stamp) -> Change:
    """The change that lays `stamp` over a share of the scenes; what it covers of an object leaves the mask."""

    def change(scenes: ImageSet, share: float, seed: int) -> ImageSet:
        images, masks = scenes.images.copy(), scenes.masks.copy()
        chosen = np.random.default_rng((seed, 7)).permutation(len(scenes))[: round(share * len(scenes))]
        for index in chosen:
            where, colour = stamp(int(scenes.labels[index]), len(scenes.classes), scenes.shape[1])
            images[index][:, where] = np.asarray(colour, dtype=np.uint8).reshape(-1, 1)
            masks[index][where] = False
        return ImageSet(images, scenes.labels, scenes.classes, masks)

    return change


def in_corner(corner: str) -> Change:
    """The change that `data.shortcut` makes."""
    return lambda scenes, share, seed: plant_mark(scenes, share, corner, (seed, 2))


def untouched(scenes: ImageSet, share: float, seed: int) -> ImageSet:
    """As they are."""
    return scenes


def in_one_place(scenes: ImageSet, share: float, seed: int) -> ImageSet:
    """Every picture rolled so that its object is at the upper left; what leaves comes in again on the other side."""
    images, masks = np.empty_like(scenes.images), np.empty_like(scenes.masks)
    goal = scenes.shape[1] * 0.36
    for index, mask in enumerate(scenes.masks):
        move = tuple(round(goal - axis.mean()) for axis in np.nonzero(mask))
        images[index] = np.roll(scenes.images[index], move, axis=(1, 2))
        masks[index] = np.roll(mask, move, axis=(0, 1))
    return ImageSet(images, scenes.labels, scenes.classes, masks)


def mislabelled(scenes: ImageSet, share: float, seed: int) -> ImageSet:
    """With labels drawn anew, so that there is nothing to learn."""
    return ImageSet(
        scenes.images, np.random.default_rng((seed, 8)).permutation(scenes.labels), scenes.classes, scenes.masks
    )


def idle(scenes: ImageSet, share: float, seed: int) -> ImageSet:
    """A square in a corner of that share of the scenes, its colour drawn by lot: a mark that says nothing."""
    drawn = np.random.default_rng((seed, 9)).permutation(scenes.labels)
    marked = plant_mark(ImageSet(scenes.images, drawn, scenes.classes, scenes.masks), share, CORNERS[0], (seed, 2))
    return ImageSet(marked.images, scenes.labels, scenes.classes, marked.masks)


MARKED: dict[str, Change] = {
    **{f"square, {corner}": in_corner(corner) for corner in CORNERS},
    "dark ring, top edge": stamped(ring),
    "grey bar, left edge": stamped(bar),
    "spot near the middle": stamped(spot),
    "large pale block": stamped(block),
    "dot whose height tells": stamped(clock),
    "tag on one class": stamped(tag),
}
CLEAN: dict[str, Change] = {
    "no mark": untouched,
    "square that says nothing": idle,
    "no mark, objects in one place": in_one_place,
    "no mark, labels by lot": mislabelled,
    "no mark, untrained": untouched,
}


def train_on(training: ImageSet, config: RunConfig, untrained: bool = False) -> Run:
    """A network trained on these pictures as `config` says, in memory only; `untrained` stops before the first step."""
    mean, std = training.channel_stats()
    settings = config.train
    with seeded(settings.seed):
        model = build_model(config.model.name, training.shape, len(training.classes), **config.model.options)
    if not untrained:
        state = TrainState(model, settings, training.shape, len(training.classes))
        batches = Batches(training, mean=mean, std=std, batch_size=settings.batch_size, seed=settings.seed)
        for _ in fit(state, batches):
            pass
    checkpoint = {
        "model": {"name": config.model.name, "options": config.model.options},
        "classes": list(training.classes),
        "input_shape": list(training.shape),
        "mean": list(mean),
        "std": list(std),
        "config": config.model_dump(mode="json"),
    }
    return Run(Path("in memory"), checkpoint, model.eval())


def _from(row: float, column: float, size: int) -> NDArray[np.float64]:
    """How far each pixel's centre is from a point, (size, size)."""
    axis = np.arange(size) + 0.5
    return np.asarray(np.hypot(axis[:, None] - row, axis - column))
