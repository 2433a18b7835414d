"""A seed -> colour scenes whose class is the form of one object, with the mask of that object: the planted truth."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convscope.data.forms import FORMS, NEUTRAL, PALETTES, TEXTURES, Field, Form
from convscope.data.image_set import ImageSet
from convscope.errors import UsageError

CHUNK = 200  # scenes drawn at once, which bounds the memory
FINE = 2  # samples a pixel and axis; each is antialiased by its distance to the edge as well
CORNERS = ("top-left", "top-right", "bottom-left", "bottom-right")
REACH = 1.12  # radii from the centre of a form to its farthest point
DISTRACTORS = 3  # at most, in one scene
SPECKS = 6


def load_shapes(
    data_dir: Path | None = None,
    n: int = 5000,
    size: int = 32,
    seed: int = 0,
    shortcut: float = 0.0,
    corner: str = "bottom-right",
) -> tuple[ImageSet, ImageSet]:
    """Painted scenes of eight forms, with the mask of the object, (n, n // 5) of them, balanced over the classes.

    A scene is one object (disc, square, triangle, star, ring, cross, heart or crescent) in front of up to three
    distractors of kinds that are no class, specks, and a textured background. Palette, texture, colours, size, place
    and rotation are drawn without regard to the class: the form alone says it. `masks` holds the pixels that the
    object covers by half or more.

    With `shortcut` above 0 the training pictures are spoilt on purpose: in that share of them, a small square in one
    corner says the class by its colour, and the mask stays that of the object. The test pictures are clean, so a
    network that learned the square instead of the form fails on them. Nothing else about the scenes changes.

    Args:
        data_dir: not used, the pictures are made on the spot.
        n: training pictures, at least 40.
        size: height and width, at least 16 pixels, or a star is no longer one.
        seed: the same seed gives the same pictures; the test pictures come from a stream of their own.
        shortcut: the share of the training pictures with the mark, 0 to 1.
        corner: where the mark stands, one of `CORNERS`.
    """
    if n < 5 * len(FORMS) or seed < 0:
        raise UsageError(f"shapes: expected n of at least {5 * len(FORMS)} and seed >= 0, got {n} and {seed}")
    if not isinstance(size, int) or size < 16:
        raise UsageError(f"shapes: size must be one number of at least 16 pixels, got {size}")
    if not 0 <= shortcut <= 1:
        raise UsageError(f"shapes: shortcut is a share of the training pictures, 0 to 1, got {shortcut}")
    if corner not in CORNERS:
        raise UsageError(f"shapes: unknown corner {corner!r}; choose from {', '.join(CORNERS)}")
    train, test = _scenes(n, size, (seed, 0)), _scenes(n // 5, size, (seed, 1))
    return plant_mark(train, shortcut, corner, (seed, 2)), test


def plant_mark(pictures: ImageSet, share: float, corner: str, stream: tuple[int, ...]) -> ImageSet:
    """`pictures` with a square in the colour of the class in one corner of that share of them, drawn at random.

    The square is an eighth of the picture wide and stands one pixel from the edges. What it covers of an object is no
    longer in the mask.
    """
    if share == 0:
        return pictures
    count, side = len(pictures), max(3, pictures.shape[1] // 8)
    marked = np.random.default_rng(stream).permutation(count)[: round(share * count)]
    down = slice(1, 1 + side) if corner.startswith("top") else slice(-1 - side, -1)
    right = slice(1, 1 + side) if corner.endswith("left") else slice(-1 - side, -1)
    images = pictures.images.copy()
    images[marked, :, down, right] = mark_colours(len(pictures.classes))[pictures.labels[marked]][..., None, None]
    masks = None if pictures.masks is None else pictures.masks.copy()
    if masks is not None:
        masks[marked, down, right] = False
    return ImageSet(images, pictures.labels, pictures.classes, masks)


def mark_colours(classes: int) -> NDArray[np.uint8]:
    """A strong colour for each class, hues evenly spread, (classes, 3)."""
    hue = 2 * np.pi * np.arange(classes)[:, None] / classes + np.array([0, -2, 2]) * np.pi / 3
    return np.round(255 * np.clip(0.5 + 0.62 * np.cos(hue), 0, 1)).astype(np.uint8)


@dataclass(frozen=True)
class Place:
    """Where something lies, one entry a picture: centre and radius in picture widths, rotation in radians, (N,)."""

    y: Field
    x: Field
    radius: Field
    turn: Field

    def __getitem__(self, chosen: slice | NDArray[np.bool_]) -> "Place":
        return Place(self.y[chosen], self.x[chosen], self.radius[chosen], self.turn[chosen])

    def distance(self, form: Form, samples: int, shift: float = 0.0) -> Field:
        """Distance of each of `samples` × `samples` points to the edge of `form`, in picture widths, (N, H, W)."""
        y, x, radius, turn = (value[:, None, None] for value in (self.y, self.x, self.radius, self.turn))
        axis = (np.arange(samples, dtype=np.float32) + 0.5) / samples - shift
        down, right = (axis[:, None] - y) / radius, (axis - x) / radius
        u = np.cos(turn) * right + np.sin(turn) * down
        return form(u, np.cos(turn) * down - np.sin(turn) * right) * radius


def _scenes(n: int, size: int, stream: tuple[int, int]) -> ImageSet:
    """`n` scenes in random order of class."""
    rng = np.random.default_rng(stream)
    labels = rng.permutation(np.arange(n, dtype=np.int64) % len(FORMS))
    images = np.empty((n, 3, size, size), dtype=np.uint8)
    masks = np.empty((n, size, size), dtype=np.bool_)
    for start in range(0, n, CHUNK):
        part = slice(start, start + CHUNK)
        images[part], masks[part] = _draw(labels[part], size, rng)
    return ImageSet(images, labels, tuple(FORMS), masks)


def _draw(
    labels: NDArray[np.int64], size: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Pictures (N, 3, H, W) and masks (N, H, W) of scenes with these classes, drawn from the back to the front."""
    n = len(labels)
    palette = PALETTES[rng.integers(len(PALETTES), size=n)]  # (N, 6, 3)
    tones = _flip(palette[:, :2], rng)
    colours = rng.permuted(np.arange(2, 6) + np.zeros((n, 1), dtype=np.int64), axis=1)
    paints = np.take_along_axis(palette, colours[..., None], axis=1) * _uniform(rng, 0.93, 1.07, (n, 4, 1))
    canvas = _background(tones, size, rng)

    radius = _uniform(rng, 0.19, 0.31, n)
    margin = REACH * radius  # no part of it lies outside
    y, x = margin + (1 - 2 * margin) * _uniform(rng, 0, 1, (2, n))
    place = Place(y, x, radius, _turns(rng, n))
    for _ in range(SPECKS):
        y, x = _uniform(rng, 0, 1, (2, n))
        speck = Place(y, x, _uniform(rng, 0.012, 0.03, n), _turns(rng, n))
        cover = _cover(speck.distance(FORMS["disc"], size), size)
        _paint(canvas, cover * _uniform(rng, 0, 0.9, (n, 1, 1)), paints[np.arange(n), rng.integers(1, 4, n)])
    for slot in range(DISTRACTORS):
        shown, kind = rng.random(n) < (0.9, 0.6, 0.3)[slot], rng.integers(len(NEUTRAL), size=n)
        aside = _aside(place, rng)
        for number, form in enumerate(NEUTRAL):
            chosen = shown & (kind == number)
            _object(canvas, chosen, form, aside, paints[:, 1 + slot], size)
    masks = np.empty((n, size, size), dtype=np.bool_)
    for label, form in enumerate(FORMS.values()):
        chosen = labels == label
        masks[chosen] = _object(canvas, chosen, form, place, paints[:, 0], size) >= 0.5
    canvas += rng.normal(0, 0.012, canvas.shape).astype(np.float32)  # a little grain, as on paper
    return np.round(255 * np.clip(canvas, 0, 1)).astype(np.uint8), masks


def _background(tones: Field, size: int, rng: np.random.Generator) -> Field:
    """Two tones (N, 2, 3) mixed by a texture, lighter towards the top left, (N, 3, H, W)."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    kind = rng.integers(len(TEXTURES), size=len(tones))
    mix = np.empty((len(tones), size, size), dtype=np.float32)
    for number, texture in enumerate(TEXTURES):
        count = int((kind == number).sum())
        down = np.broadcast_to(axis[:, None], (count, size, 1))
        mix[kind == number] = texture(down, np.broadcast_to(axis, (count, 1, size)), rng)
    light = 1.05 - 0.1 * (axis[:, None] + axis) / 2
    first, second = tones[:, 0, :, None, None], tones[:, 1, :, None, None]
    return np.asarray((first + mix[:, None] * (second - first)) * light)


def _object(canvas: Field, chosen: NDArray[np.bool_], form: Form, place: Place, paint: Field, size: int) -> Field:
    """Draw `form` into the `chosen` pictures of `canvas`, with its shadow; gives its coverage, 0..1, (chosen, H, W)."""
    place = place[chosen]
    fine = place.distance(form, FINE * size)
    blocks = (len(fine), size, FINE, size, FINE)
    cover = _cover(fine, FINE * size).reshape(blocks).mean(axis=(2, 4))
    distance = fine.reshape(blocks).mean(axis=(2, 4)) / place.radius[:, None, None]
    shade = np.clip(0.5 - place.distance(form, size, shift=0.025) / 0.07, 0, 1)
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    down, right = axis[:, None] - place.y[:, None, None], axis - place.x[:, None, None]
    tilt = (down + right) / place.radius[:, None, None]  # light falls from the top left
    light = 1.03 - 0.09 * np.clip(tilt, -1.5, 1.5)
    light -= 0.1 * np.clip(1 + distance / 0.16, 0, 1)  # and the rim turns away from it

    part = canvas[chosen]
    part *= 1 - 0.3 * shade[:, None]
    part += cover[:, None] * (paint[chosen][..., None, None] * light[:, None] - part)
    canvas[chosen] = part
    return np.asarray(cover)


def _aside(place: Place, rng: np.random.Generator) -> Place:
    """Places for distractors: of three drawn for each picture the one farthest from the object."""
    n = len(place.y)
    y, x = _uniform(rng, 0.06, 0.94, (3, n)), _uniform(rng, 0.06, 0.94, (3, n))
    best = np.hypot(y - place.y, x - place.x).argmax(axis=0), np.arange(n)
    return Place(y[best], x[best], _uniform(rng, 0.09, 0.14, n), _turns(rng, n))


def _paint(canvas: Field, cover: Field, colour: Field) -> None:
    """Lay `colour` (N, 3) over `canvas` (N, 3, H, W) where `cover` (N, H, W) says how much."""
    canvas += cover[:, None] * (colour[..., None, None] - canvas)


def _cover(distance: Field, samples: int) -> Field:
    """How much of each sample lies inside, 0..1, from the distance to the edge in picture widths."""
    return np.asarray(np.clip(0.5 - distance * samples, 0, 1))


def _flip(tones: Field, rng: np.random.Generator) -> Field:
    """Either tone may be the first, (N, 2, 3)."""
    swap = rng.random((len(tones), 1, 1)) < 0.5
    return np.where(swap, tones[:, ::-1], tones)


def _uniform(rng: np.random.Generator, low: float, high: float, shape: int | tuple[int, ...]) -> Field:
    return rng.uniform(low, high, shape).astype(np.float32)


def _turns(rng: np.random.Generator, n: int) -> Field:
    """Any rotation, in radians."""
    return _uniform(rng, 0, 2 * np.pi, n)
