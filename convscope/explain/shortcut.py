"""Heat over many pictures and the masks of their objects in; a fixed place that takes heat instead of them out.

A network that has learned a mark rather than the object looks at the mark's place in picture after picture. So the
heat outside the objects is averaged over many pictures, place by place. Heat spills over an object's edge, so each
pixel is first held against the mean of all pixels as far from an object's edge. What is left in the square window that
has most of it is the evidence, as a share of all heat: near zero where heat follows the objects or wanders, and small
where borders are a little warmer than the middle.

It is decided over all pictures together, and over each class alone: a mark may be in the pictures of one class only, as
the photographer's tag was in the horse pictures of Lapuschkin et al., "Unmasking Clever Hans predictors and assessing
what machines really learn", 2019.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convscope.errors import UsageError
from convscope.explain.planted import Heat, Masks, check_shapes

# Shares of all heat at which an alarm is raised, over all pictures and over those of one class, which are fewer. With
# other seeds than those of tests and results, 15 networks without a telling mark stayed below 0.041 and 0.21.
THRESHOLD, CLASS_THRESHOLD = 0.08, 0.3
FEW = 32  # pictures that are too few to judge a class by
FEW_THERE, UNCOVERED = 16, 0.3  # number and share of the pictures in which a place must be uncovered to be judged
WINDOWS = 4  # a window's side is the shorter side of the picture over this
GRAIN = 32  # distances are measured in steps of the shorter side over this
REACH = 8  # such steps from an object's edge, beyond which all is equally far

Surplus = NDArray[np.float64]  # (H, W), share of the heat that each pixel takes beyond what needs no mark


@dataclass(frozen=True, eq=False)
class Place:
    """The window outside the objects with the largest surplus of heat.

    Attributes:
        strength: that surplus, as a share of all heat.
        box: (top, left, height, width) of the window, in pixels.
        where: in words, such as "bottom-right corner".
        looked: the share of the pictures whose hottest pixel lies in the window and outside the object.
        pictures: how many there were.
        surplus: (H, W), the mean share of heat that each pixel takes beyond what needs no mark.
    """

    strength: float
    box: tuple[int, int, int, int]
    where: str
    looked: float
    pictures: int
    surplus: Surplus


@dataclass(frozen=True, eq=False)
class Shortcut:
    """What a network seems to have learned instead of the object.

    Attributes:
        place: where.
        classes: the names of the classes whose pictures it is in; empty: of all of them together.
    """

    place: Place
    classes: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """One sentence for a person."""
        of = f" of {_listed(self.classes)}" if self.classes else ""
        return (
            f"The network looks at the {self.place.where}, outside the object, in {_percent(self.place.looked)} of its "
            f"training pictures{of}: it has probably learned a mark there instead of the object."
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        place = self.place
        return {
            "sentence": self.sentence,
            "where": place.where,
            "box": dict(zip(("top", "left", "height", "width"), place.box, strict=True)),
            "strength": place.strength,
            "looked": place.looked,
            "pictures": place.pictures,
            "classes": list(self.classes),
        }


@dataclass(frozen=True, eq=False)
class Search:
    """Where the heat outside the objects gathers most: over all pictures, and over those of each class.

    Attributes:
        overall: the strongest place of all pictures together.
        by_class: the strongest place of each class by name, of those with pictures enough.
    """

    overall: Place
    by_class: dict[str, Place]

    @property
    def shortcut(self) -> Shortcut | None:
        """The verdict: a shortcut where a surplus reaches its threshold, else None."""
        if self.overall.strength >= THRESHOLD:
            return Shortcut(self.overall)
        alarming = {name: place for name, place in self.by_class.items() if place.strength >= CLASS_THRESHOLD}
        if not alarming:
            return None
        strongest = max(alarming.values(), key=lambda place: place.strength)
        same = tuple(name for name, place in alarming.items() if place.where == strongest.where)
        return Shortcut(strongest, same)


def find_shortcut(heat: Heat, masks: Masks, labels: NDArray[np.int64], classes: Sequence[str]) -> Shortcut | None:
    """A fixed place outside the objects that takes more heat than anything but a mark explains, or None.

    The pictures must be such as the network was trained on: where a mark is missing, nobody looks at it. Nothing but
    heat, masks and classes is used. A place that objects cover in most pictures is not judged, so objects that are
    always in one place raise no alarm.

    Args, errors: as `search`.
    """
    return search(heat, masks, labels, classes).shortcut


def search(heat: Heat, masks: Masks, labels: NDArray[np.int64], classes: Sequence[str]) -> Search:
    """Measure what `find_shortcut` decides by.

    Args:
        heat: (N, H, W), what argues for each picture's own class; what is negative counts as none.
        masks: bool (N, H, W), the pixels of the objects.
        labels: int64 (N,), the pictures' classes.
        classes: their names.

    Raises:
        UsageError: shapes that do not fit together, or fewer than `FEW` pictures.
    """
    check_shapes(heat, masks)
    if len(labels) != len(masks) or len(masks) < FEW:
        raise UsageError(f"expected {FEW} pictures or more and a label for each, got {len(masks)} and {len(labels)}")
    rings = distances(masks)
    beyond = beyond_distance(heat, rings)
    by_class = {
        name: _strongest(beyond[labels == number], rings[labels == number], heat[labels == number])
        for number, name in enumerate(classes)
        if (labels == number).sum() >= FEW
    }
    return Search(_strongest(beyond, rings, heat), by_class)


def distances(masks: Masks) -> NDArray[np.int64]:
    """How far each pixel is from its picture's object, in steps, 0 inside, `REACH` for all beyond; (N, H, W).

    Counted as a king moves on a chessboard; a step is the shorter side over `GRAIN`, at least a pixel.
    """
    step = max(1, min(masks.shape[1:]) // GRAIN)
    rings = np.where(masks, 0, REACH)
    grown = masks
    for distance in range(1, REACH):
        grown = _grown(grown, step)
        rings[grown & (rings == REACH)] = distance
    return rings


def beyond_distance(heat: Heat, rings: NDArray[np.int64]) -> NDArray[np.float64]:
    """The share of its picture's heat that each pixel has, less the mean of all pixels as far away; 0 inside objects.

    A picture without heat counts as one whose heat is nowhere.
    """
    positive = np.maximum(heat, 0).astype(np.float64)
    total = positive.sum(axis=(1, 2), keepdims=True)
    share = positive / np.where(total > 0, total, 1.0)
    counts = np.bincount(rings.ravel(), minlength=REACH + 1)
    expected = np.bincount(rings.ravel(), share.ravel(), minlength=REACH + 1) / np.maximum(counts, 1)
    return np.where(rings > 0, share - expected[rings], 0.0)


def _strongest(beyond: NDArray[np.float64], rings: NDArray[np.int64], heat: Heat) -> Place:
    """The window with the largest surplus over these pictures, all arrays (N, H, W)."""
    surplus = _mean_outside(beyond, rings)
    side = max(1, min(surplus.shape) // WINDOWS)
    sums = _windows(surplus, side)
    top, left = (int(place) for place in np.unravel_index(sums.argmax(), sums.shape))
    hottest = _hottest(heat)
    rows, columns = np.divmod(hottest, surplus.shape[1])
    inside = (rows >= top) & (rows < top + side) & (columns >= left) & (columns < left + side)
    outside = rings.reshape(len(rings), -1)[np.arange(len(rings)), hottest] > 0
    return Place(
        strength=float(sums[top, left]),
        box=(top, left, side, side),
        where=_in_words(surplus, (slice(top, top + side), slice(left, left + side))),
        looked=float((inside & outside).mean()),
        pictures=len(heat),
        surplus=surplus,
    )


def _mean_outside(values: NDArray[np.float64], rings: NDArray[np.int64]) -> Surplus:
    """The mean of each pixel over the pictures whose object leaves it uncovered, 0 where those are few; (H, W)."""
    free = (rings > 0).sum(axis=0)
    enough = free >= max(FEW_THERE, UNCOVERED * len(values))
    return np.where(enough, values.sum(axis=0) / np.maximum(free, 1), 0.0)


def _windows(surplus: Surplus, side: int) -> Surplus:
    """The sum over every window of `side` by `side` pixels, by its upper left corner; (H - side + 1, W - side + 1)."""
    total = np.pad(surplus, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    return np.asarray(total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side])


def _hottest(heat: Heat) -> NDArray[np.int64]:
    """The number of the hottest pixel of each map, (N,); of an empty one, of a pixel by lot."""
    flat = heat.reshape(len(heat), -1)
    lot = np.random.default_rng(0).random(flat.shape)
    return np.asarray(np.where(flat == flat.max(axis=1, keepdims=True), lot, -1.0).argmax(axis=1))


def _grown(masks: Masks, step: int) -> Masks:
    """`masks` and all pixels within `step` of them, across corners too."""
    height, width = masks.shape[1:]
    tall = np.pad(masks, ((0, 0), (step, step), (0, 0)))
    grown = np.logical_or.reduce([tall[:, shift : shift + height] for shift in range(2 * step + 1)])
    wide = np.pad(grown, ((0, 0), (0, 0), (step, step)))
    return np.asarray(np.logical_or.reduce([wide[:, :, shift : shift + width] for shift in range(2 * step + 1)]))


def _in_words(surplus: Surplus, window: tuple[slice, slice]) -> str:
    """Where in the picture the surplus of the window is centred."""
    weights = np.maximum(surplus[window], 0)
    total = weights.sum() or 1.0
    names = []
    for axis, (part, side) in enumerate(zip(window, surplus.shape, strict=True)):
        along = np.arange(part.start, part.stop) + 0.5
        centre = float((weights.sum(axis=1 - axis) * along).sum() / total / side)
        names.append(0 if centre < 0.3 else 2 if centre > 0.7 else 1)
    row, column = ("top", "", "bottom")[names[0]], ("left", "", "right")[names[1]]
    if row and column:
        return f"{row}-{column} corner"
    return f"middle of the {row or column} edge" if row or column else "middle of the picture"


def _listed(names: Sequence[str]) -> str:
    """One, two and three as "one, two and three"."""
    return " and ".join([*filter(None, [", ".join(names[:-1])]), names[-1]])


def _percent(share: float) -> str:
    """0.912 as 91 %; what is not all is never rounded to 100 %, nor what is not nothing to 0 %."""
    whole = round(100 * share)
    return f"{min(99, max(1, whole)) if 0 < share < 1 else whole}\N{NO-BREAK SPACE}%"
