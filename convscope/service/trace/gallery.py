"""A run in; the pictures that the page offers out: the run's own test set, and what the package holds or makes."""

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convscope.data import ImageSet, load
from convscope.pictures import encode_png, prepare
from convscope.runs import Run
from convscope.runs.own_pictures import are_at_hand, own_pictures
from convscope.service.problems import Problem
from convscope.service.trace.uploads import Uploads

TEST = "test"
SCENES = 240  # of `shapes`, of which a fifth is the test part


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as the model sees it: uint8, (C, H, W), and its class where that is known."""

    ref: str
    pixels: NDArray[np.uint8]
    label: int | None

    @property
    def png(self) -> bytes:
        """The content of a PNG file of it."""
        return encode_png(self.pixels)


@dataclass(frozen=True, eq=False)
class Source:
    """A set of pictures, prepared: uint8, (N, C, H, W); `labels` are indices into the run's classes, or None."""

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.images)

    def picture(self, index: int) -> Picture:
        """One of them; a 404 beyond the last."""
        if index >= len(self):
            raise Problem(404, "no_picture", f"{self.name} has {len(self)} pictures, 0 to {len(self) - 1}; got {index}")
        return Picture(
            f"{self.name}:{index}", self.images[index], None if self.labels is None else int(self.labels[index])
        )


class Gallery:
    """The sources of one run, each loaded when it is first looked into; safe for threads.

    Attributes:
        names: what is offered: `test` where the files of the run's data set are on this machine, then what needs none.
    """

    def __init__(self, run: Run, uploads: Uploads) -> None:
        self._run, self._uploads = run, uploads
        self._load: dict[str, Callable[[], ImageSet]] = {TEST: self._own_test} if are_at_hand(run) else {}
        self._load |= {"digits": lambda: load("digits")[1], "shapes": lambda: load("shapes", n=SCENES)[1]}
        self._loaded: dict[str, Source] = {}
        self._locks = {name: threading.Lock() for name in self._load}  # the test set may take seconds, shapes not

    @property
    def names(self) -> Sequence[str]:
        return tuple(self._load)

    def loaded(self, name: str) -> Source | None:
        """A source that was looked into before."""
        return self._loaded.get(name)

    def source(self, name: str) -> Source:
        """The source of that name; a 404 that lists the choices where there is none."""
        if name not in self._load:
            reason = " (its data set is not on this machine)" if name == TEST else ""
            choices = ", ".join(self._load)
            raise Problem(404, "unknown_source", f"no source {name!r:.40}{reason}; choose from {choices}")
        with self._locks[name]:
            if name not in self._loaded:
                self._loaded[name] = self._prepared(name, self._load[name]())
            return self._loaded[name]

    def picture(self, ref: str) -> Picture:
        """The picture that a reference means: ``source:index``, or ``up:hash`` for an uploaded one.

        Raises:
            Problem: 422 for another form; 404 for a picture that is not there, or no longer.
        """
        if re.fullmatch(r"up:[0-9a-f]{16}", ref):
            return Picture(ref, self._uploads.get(ref, self._run.checkpoint["picture"]), None)
        found = re.fullmatch(r"([a-z]{1,16}):([0-9]{1,9})", ref)
        if found is None:
            raise Problem(
                422, "bad_picture", f"got picture {ref!r:.60}; expected test:42, digits:3, shapes:7 or up:hash"
            )
        return self.source(found[1]).picture(int(found[2]))

    def _own_test(self) -> ImageSet:
        return own_pictures(self._run, download=False).test

    def _prepared(self, name: str, pictures: ImageSet) -> Source:
        """The pictures as the run's checkpoint wants them; labelled where their classes are the run's."""
        labels = pictures.labels if pictures.classes == self._run.classes else None
        if pictures.shape == self._run.input_shape:
            return Source(name, pictures.images.copy(), labels)  # a copy, or the training pictures stay in memory too
        how = self._run.checkpoint["picture"]
        return Source(name, np.stack([prepare(encode_png(image), how) for image in pictures.images]), labels)
