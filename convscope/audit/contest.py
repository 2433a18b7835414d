"""Maps of a method and of the controls in; how much of the prediction each finds, and who beats whom, out.

Every number is a mean over pictures with its 95 % interval by bootstrap; a method and a control are compared picture by
picture, because pictures differ far more than maps do.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from convscope.audit.subject import Subject
from convscope.explain import Explanation
from convscope.explain.faithfulness import Classify, Curve, average_drop, blurred, bootstrap, deletion, insertion, road

STEPS = 5  # of deletion and insertion; their first and last points are the same for all maps
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the pixels that ROAD removes
CURVES = ("deletion", "insertion", "ROAD")  # on which verdicts rest
BETTER = {"deletion": -1, "insertion": 1, "ROAD": -1, "average drop": -1, "increase": 1}  # less, or more, is better

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Values) -> "Interval":
        """By bootstrap over (n,) values."""
        return cls(*bootstrap(values))


@dataclass(frozen=True, eq=False)
class Entry:
    """What the measures say of one kind of map.

    Attributes:
        name: of the method or control.
        curves: by the names in `CURVES`, each (n, S).
        values: by the names in `BETTER`, each (n,), one number a picture: of a curve its area.
    """

    name: str
    curves: Mapping[str, Curve]
    values: Mapping[str, Values]

    def __len__(self) -> int:
        return len(self.values["ROAD"])

    def intervals(self) -> dict[str, Interval]:
        """The mean of each measure."""
        return {measure: Interval.of(values) for measure, values in self.values.items()}

    def gains(self, control: "Entry") -> dict[str, Interval]:
        """By how much each measure favours this map over the control's, on the same pictures; above 0 it does."""
        return {
            measure: Interval.of(sign * (self.values[measure] - control.values[measure][: len(self)]))
            for measure, sign in BETTER.items()
        }


def enter(subject: Subject, found: Explanation, classify: Classify) -> Entry:
    """Measure the maps of one method or control on the pictures that it has.

    Maps are ranked with their sign, what argues against the class last, at the pictures' resolution.

    Args:
        classify: images -> probabilities; `Remembering` spares the passes that all maps share.
    """
    count = len(found.maps)
    images, targets = subject.images[:count], subject.targets[:count]
    maps = enlarged(torch.from_numpy(found.maps), subject.size)
    heat = torch.from_numpy(found.heatmaps(subject.size))
    curves = {
        "deletion": deletion(classify, images, targets, maps, STEPS),
        "insertion": insertion(classify, images, targets, maps, STEPS),
        "ROAD": road(classify, images, targets, maps, SHARES),
    }
    drops, rises = average_drop(classify, images, targets, heat)
    values = {name: curve.areas for name, curve in curves.items()}
    return Entry(found.method, curves, values | {"average drop": drops, "increase": rises})


def enlarged(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Signed maps (n, h, w) at the pictures' resolution, as `Explanation.heatmaps` enlarges; (n, H, W)."""
    if maps.shape[1:] == size:
        return maps
    return F.interpolate(maps[:, None], size=size, mode="bilinear", align_corners=False, antialias=True)[:, 0]


class Remembering:
    """`classify` that knows the answers for whole, mean-coloured and blurred pictures, where all curves start or end.

    Args:
        classify: images -> probabilities, each picture by itself.
        images: the pictures, (N, C, H, W).
    """

    def __init__(self, classify: Classify, images: Tensor) -> None:
        self.classify = classify
        self.known = [(part, classify(part)) for part in (images, torch.zeros_like(images), blurred(images))]

    def __call__(self, images: Tensor) -> Tensor:
        for part, answer in self.known:
            if torch.equal(images, part[: len(images)]):
                return answer[: len(images)]
        return self.classify(images)
