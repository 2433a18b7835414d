"""What scenes are made of: forms as signed distances, background textures, palettes; arrays in, arrays out."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating[Any]]  # float32, (N, H, W), or broadcastable to it
Form = Callable[[Field, Field], Field]  # right, down in units of the radius -> distance to the edge, inside negative
Texture = Callable[[Field, Field, np.random.Generator], Field]  # down, right in 0..1 -> 0..1


def disc(u: Field, v: Field) -> Field:
    """A filled circle."""
    return np.hypot(u, v) - 0.92


def square(u: Field, v: Field) -> Field:
    """Four equal sides."""
    return np.maximum(np.abs(u), np.abs(v)) - 0.8


def triangle(u: Field, v: Field) -> Field:
    """Three equal sides: the farthest outside of three half-planes."""
    slope = math.sqrt(0.75)
    return np.maximum(np.maximum(slope * u + v / 2, v / 2 - slope * u), -v) - 0.56


def star(u: Field, v: Field) -> Field:
    """Five points: every tenth of the turn is folded onto one edge from a tip to a notch."""
    tip, notch, sector = 1.1, 0.48, 2 * math.pi / 5
    angle = np.abs(np.mod(np.arctan2(u, -v), sector) - sector / 2) - sector / 2  # 0 at a tip, -36° at a notch
    radius = np.hypot(u, v)
    along, across = notch * math.cos(sector / 2) - tip, notch * math.sin(sector / 2)
    length = math.hypot(along, across)
    edge = (radius * np.cos(angle) - tip) * across + radius * np.sin(angle) * along
    return np.asarray(edge / length, dtype=np.float32)


def ring(u: Field, v: Field) -> Field:
    """A circle with a hole."""
    return np.abs(np.hypot(u, v) - 0.74) - 0.24


def cross(u: Field, v: Field) -> Field:
    """Two bars over each other."""
    a, b = np.abs(u), np.abs(v)
    return np.asarray(np.maximum(np.minimum(a, b) - 0.31, np.maximum(a, b) - 0.98))


def heart(u: Field, v: Field) -> Field:
    """A square on its tip with a disc on each upper side, the notch between them cut deeper."""
    side = 0.58
    u, v = u + 0.2, v + 0.2
    discs = np.minimum(np.hypot(u - side, v), np.hypot(u, v - side)) - side
    notch = 0.36 - np.hypot(u - 0.78, v - 0.78)
    return np.asarray(np.maximum(np.minimum(discs, np.maximum(np.abs(u), np.abs(v)) - side), notch))


def crescent(u: Field, v: Field) -> Field:
    """A disc that another has bitten into."""
    bite = 0.78 - np.hypot(u - 0.5, v)
    return np.asarray(np.maximum(np.hypot(u, v) - 1.0, bite))


def pill(u: Field, v: Field) -> Field:
    """A neutral form: a short bar with round ends."""
    return np.hypot(np.maximum(np.abs(u) - 0.55, 0), v) - 0.42


def stick(u: Field, v: Field) -> Field:
    """A neutral form: a thin line with round ends."""
    return np.hypot(np.maximum(np.abs(u) - 1.2, 0), v) - 0.2


def beads(u: Field, v: Field) -> Field:
    """A neutral form: two small balls that touch."""
    return np.hypot(np.abs(u) - 0.48, v) - 0.52


FORMS: dict[str, Form] = {
    "disc": disc,
    "square": square,
    "triangle": triangle,
    "star": star,
    "ring": ring,
    "cross": cross,
    "heart": heart,
    "crescent": crescent,
}
NEUTRAL: tuple[Form, ...] = (pill, stick, beads)


def _along(y: Field, x: Field, rng: np.random.Generator) -> Field:
    """The place along a direction drawn for each picture."""
    angle = rng.uniform(0, np.pi, (len(y), 1, 1)).astype(np.float32)
    return np.cos(angle) * x + np.sin(angle) * y


def _wave(place: Field, rng: np.random.Generator, low: float, high: float) -> Field:
    """A sine of `low` to `high` periods a picture and any phase, 0..1."""
    count = (len(place), 1, 1)
    frequency, phase = rng.uniform(low, high, count), rng.random(count)
    return np.asarray(0.5 + 0.5 * np.sin(2 * np.pi * (frequency * place + phase)), dtype=np.float32)


def fade(y: Field, x: Field, rng: np.random.Generator) -> Field:
    """One tone runs into the other."""
    return np.clip(_along(y, x, rng), 0, 1)


def stripes(y: Field, x: Field, rng: np.random.Generator) -> Field:
    """Soft parallel stripes."""
    return np.asarray(np.clip(2 * _wave(_along(y, x, rng), rng, 3, 7) - 0.5, 0, 1))


def waves(y: Field, x: Field, rng: np.random.Generator) -> Field:
    """Stripes that swing."""
    swing = 0.06 * np.sin(4 * np.pi * x + rng.uniform(0, 6, (len(y), 1, 1)).astype(np.float32))
    return _wave(y + swing, rng, 3, 6)


def weave(y: Field, x: Field, rng: np.random.Generator) -> Field:
    """Two sets of stripes across each other, like cloth."""
    return (_wave(y + 0 * x, rng, 4, 8) + _wave(x + 0 * y, rng, 4, 8)) / 2


def dots(y: Field, x: Field, rng: np.random.Generator) -> Field:
    """A grid of soft dots."""
    frequency = rng.uniform(4, 7, (len(y), 1, 1)).astype(np.float32)
    phase = rng.uniform(0, 2 * np.pi, (2, len(y), 1, 1)).astype(np.float32)
    turns = 2 * np.pi * frequency
    return np.asarray(np.clip(np.sin(turns * y + phase[0]) * np.sin(turns * x + phase[1]) * 2, 0, 1))


def clouds(y: Field, x: Field, rng: np.random.Generator) -> Field:
    """Three slow waves in three directions."""
    return sum((_wave(_along(y, x, rng), rng, 0.7, 2.5) for _ in range(3)), 0 * (y + x)) / 3


TEXTURES: tuple[Texture, ...] = (fade, stripes, waves, weave, dots, clouds)

# a row a palette: two near tones for the background, then four colours that stand out from both
_HEX = (
    "2b2d5b 3d3a76 ffb88c ff6f91 ffd97d 9be3de",  # dusk
    "f4e6cc ead4ad d1495b 2e6f95 d98e04 3b8b7a",  # sand
    "0f4c5c 17687b fb8b24 f4f1de ff6b4a 9fd8f0",  # sea
    "d3eabb bcdd9f e4572e 6a4c93 c77700 29335c",  # meadow
    "e3eaf1 cfd9e5 3d5a80 ee6c4d 4f8a72 b0476a",  # mist
    "4a2545 60315a f7b267 f78a74 84dcc6 f4e4ba",  # plum
    "b5def5 9fd0ee e63946 7a1f5c 1d4e89 f77f00",  # sky
    "f8dcd6 f2c9c1 6d597a 355070 d1435b 1f8a70",  # rose
    "37424f 475667 ffd166 06d6a0 ff5d7d e0fbfc",  # slate
    "2f4a3d 3c5c4b e8e4d6 f2cc5c f79256 a3e0cc",  # moss
)
PALETTES: Field = np.array(
    [[[int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)] for colour in row.split()] for row in _HEX],
    dtype=np.float32,
)  # (palettes, 6, 3)
