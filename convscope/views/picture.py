"""A run and what a user asked for in; the picture and the class that a view is about out."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convscope.errors import UsageError
from convscope.evaluate import check_fit
from convscope.pictures import prepare
from convscope.runs import Run
from convscope.runs.own_pictures import own_pictures


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture as the network sees it.

    Attributes:
        pixels: uint8, (C, H, W).
        name: what to call it.
        true: the number of its class, where known.
        file: where it came from, unless from the test set.
        changed: whether that test set is another than the training's; None for a file, or where nobody knows.
    """

    pixels: NDArray[np.uint8]
    name: str
    true: int | None = None
    file: Path | None = None
    changed: bool | None = None


def choose_picture(run: Run, image: Path | None, index: int | None, data_dir: Path | None) -> Picture:
    """The picture file `image`, prepared for the network, or picture `index` of the run's test set.

    Raises:
        UsageError: neither or both given, no such index, or a test set that does not fit the network.
        DataError: the file is no picture, or the data set is not at hand.
    """
    if image is not None and index is None:
        return Picture(prepare(image, run.checkpoint["picture"]), image.stem, file=image)
    if index is None or image is not None:
        raise UsageError("give one picture: either --image FILE or --index N (of the test set)")
    own = own_pictures(run, data_dir)
    test = own.test
    check_fit(run, test)
    if not 0 <= index < len(test):
        raise UsageError(f"--index {index}: the test set has pictures 0 to {len(test) - 1}")
    return Picture(test.images[index], f"test-{index}", int(test.labels[index]), changed=own.warn("test"))


def choose_target(run: Run, target: str | None) -> int | None:
    """A class as `Run.class_number` finds it; None stays None (the predicted class)."""
    return None if target is None else run.class_number(target)
