"""A run and pictures with the masks of their objects in; whether it looks at the objects, or at a mark, out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from convscope.data import ImageSet
from convscope.errors import UsageError
from convscope.evaluate import check_fit
from convscope.explain.localisation import Localisation, heat_of, localise
from convscope.explain.planted import Masks
from convscope.explain.shortcut import CLASS_THRESHOLD, THRESHOLD, Search, Shortcut, search
from convscope.registry import METHODS
from convscope.runs import Run

# Whose heat the search for marks goes by. Class activation maps smear a mark over all cells
# that see it; this method gives its place twice their share (benchmarks/bench_shortcut.py).
METHOD = "input-x-gradient"
MOST = 512  # pictures that are looked at


@dataclass(frozen=True, eq=False)
class ShortcutCheck:
    """Whether a network looks at a mark instead of the objects.

    Attributes:
        method: whose heat that was.
        pictures: how many were looked at.
        search: where heat gathers outside the objects.
    """

    method: str
    pictures: int
    search: Search

    @property
    def shortcut(self) -> Shortcut | None:
        """What was found, None where nothing was."""
        return self.search.shortcut

    @property
    def sentence(self) -> str:
        """The verdict for a person: what it found, or how far from an alarm it was."""
        if self.shortcut:
            return self.shortcut.sentence
        place = self.search.overall
        return (
            f"No mark found: outside the objects, no place takes more than {100 * max(0.0, place.strength):.1f} % of "
            f"the heat beyond what its distance from them explains; the alarm is at {100 * THRESHOLD:.0f} %."
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "sentence": self.sentence,
            "method": self.method,
            "pictures": self.pictures,
            "strength": self.search.overall.strength,
            "threshold": THRESHOLD,
            "strength_by_class": {name: place.strength for name, place in self.search.by_class.items()},
            "class_threshold": CLASS_THRESHOLD,
            "shortcut": self.shortcut.as_dict() if self.shortcut else None,
        }


def check_shortcut(run: Run, images: ImageSet, method: str = METHOD) -> ShortcutCheck:
    """Look for a mark that the network has learned instead of the objects.

    Args:
        images: pictures with masks such as the network was trained on, best its own training pictures: a mark that is
            missing draws no look. At most `MOST`, balanced over the classes, are looked at.
        method: a name in `METHODS`.

    Raises:
        UsageError: the pictures have no masks, are too few, or do not fit the run.
    """
    check_fit(run, images)
    masks_of(images)
    if len(images) > MOST:
        images = images.subset(MOST, seed=0)
    heat = heat_of(run.model, run.preprocess(images.images), images.labels, method)
    return ShortcutCheck(method, len(images), search(heat, masks_of(images), images.labels, images.classes))


def check_localisation(
    run: Run, images: ImageSet, methods: Iterable[str] = tuple(METHODS), progress: Callable[[str], None] | None = None
) -> Localisation:
    """Hold every method's heat, and the controls, against the masks of the objects: see `localise`.

    Args:
        images: pictures with masks that the network was not trained on.
        methods, progress: as for `localise`.

    Raises:
        UsageError: the pictures have no masks, or do not fit the run.
    """
    check_fit(run, images)
    return localise(run.model, run.preprocess(images.images), images.labels, masks_of(images), methods, progress)


def masks_of(images: ImageSet) -> Masks:
    """The masks of a set that has them; UsageError where nobody knows where the objects are."""
    if images.masks is None or not len(images):
        raise UsageError(f"{images!r} says not where its objects are; planted truth needs masks, as `shapes` has them")
    return images.masks
