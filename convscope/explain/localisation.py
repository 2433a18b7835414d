"""A model and pictures with the masks of their objects in; how well each method's heat lies on the object out."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convscope.errors import UsageError
from convscope.explain.capture import pictures_at_once
from convscope.explain.controls import CONTROLS
from convscope.explain.explainer import explain
from convscope.explain.faithfulness import bootstrap
from convscope.explain.planted import Heat, Masks, chance, check_shapes, energy_inside, pointing_game
from convscope.registry import METHODS


class Interval(NamedTuple):
    """A mean over pictures with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Located:
    """How well one kind of map finds the object.

    Attributes:
        name: a method in `METHODS`, or a control in `CONTROLS`.
        pictures: on how many.
        pointing: how often the hottest pixel lies in the mask; None where the model cannot have the method.
        energy: the share of the heat that lies in the mask; None likewise.
        empty: the share of pictures in which nothing argued for the class, misses of both games.
        refused: why the model cannot have the method, else None.
    """

    name: str
    pictures: int
    pointing: Interval | None
    energy: Interval | None
    empty: float
    refused: str | None = None


@dataclass(frozen=True)
class Localisation:
    """How well maps find the objects of some pictures.

    Attributes:
        pictures: how many.
        chance: the mean share of a picture that is object: what a map gets that knows nothing.
        methods: in the order asked for.
        controls: maps that know the picture but not the network.
    """

    pictures: int
    chance: Interval
    methods: tuple[Located, ...]
    controls: tuple[Located, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; an interval is `mean`, `low`, `high`."""
        values = asdict(self)
        values["chance"] = self.chance._asdict()
        for group in ("methods", "controls"):
            for entry in values[group]:
                for game in ("pointing", "energy"):
                    entry[game] = Interval(*entry[game])._asdict() if entry[game] else None
        return values


def localise(
    model: nn.Module,
    images: Tensor,
    targets: NDArray[np.int64],
    masks: Masks,
    methods: Iterable[str] = tuple(METHODS),
    progress: Callable[[str], None] | None = None,
) -> Localisation:
    """Play the pointing game and measure the energy inside the mask, for every method and every control.

    Each map is about the picture's true class, enlarged to the picture as `Explanation.heatmaps` does it.

    Args:
        model, images: as for `explain`.
        targets: int64 (N,), the true classes.
        masks: bool (N, H, W), the pixels of their objects.
        methods: names in `METHODS`.
        progress: called with each method's name before its maps are made.

    Raises:
        UsageError: as `explain`, or masks that do not fit; a method that the model cannot have is no error.
    """
    names = [name for name in methods if METHODS[name]]  # an unknown one is refused before anything is computed
    check_shapes(images[:, 0].detach().cpu().numpy(), masks)
    found = dict[str, Heat | str]()
    for name in names:
        if progress:
            progress(name)
        try:
            found[name] = heat_of(model, images, targets, name)
        except UsageError as error:
            found[name] = str(error)
    controls = {name: control(images).cpu().numpy() for name, control in CONTROLS.items()}
    return localisation(found, controls, masks)


def localisation(methods: Mapping[str, Heat | str], controls: Mapping[str, Heat], masks: Masks) -> Localisation:
    """The same of maps that are there already; some may be of the first pictures only.

    Args:
        methods, controls: name -> maps, (n, H, W), of the first n pictures; or why the model cannot have the method.
        masks: bool (N, H, W).
    """
    rows, others = (tuple(_located(name, heat, masks) for name, heat in maps.items()) for maps in (methods, controls))
    return Localisation(len(masks), _interval(chance(masks)), rows, others)


def heat_of(model: nn.Module, images: Tensor, targets: NDArray[np.int64], method: str) -> NDArray[np.float32]:
    """The heatmaps of `targets`, (N, H, W) in [0, 1], so many pictures at once as memory should hold."""
    size = images.shape[2], images.shape[3]
    parts = torch.split(torch.arange(len(images)), pictures_at_once(images))
    found = [explain(model, images[part], targets[part.numpy()], method=method).heatmaps(size) for part in parts]
    return np.concatenate(found)


def _located(name: str, heat: Heat | str, masks: Masks) -> Located:
    if isinstance(heat, str):
        return Located(name, 0, None, None, 0.0, heat)
    masks = masks[: len(heat)]
    pointing, energy = pointing_game(heat, masks).astype(np.float64), energy_inside(heat, masks)
    empty = float((heat.max(axis=(1, 2)) <= 0).mean())
    return Located(name, len(heat), _interval(pointing), _interval(energy), empty)


def _interval(values: NDArray[np.float64]) -> Interval:
    return Interval(*bootstrap(values))
