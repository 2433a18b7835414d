"""A seed -> small colour pictures of stripes, rings and checks, for the check that learning works."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convscope.data.image_set import ImageSet
from convscope.errors import UsageError

Field = NDArray[np.float64]  # (N, H, W), or broadcastable to it
Pattern = Callable[[Field, Field, np.random.Generator], Field]


def load_synthetic(
    data_dir: Path | None = None, n: int = 512, classes: int = 4, size: int = 32, seed: int = 0
) -> tuple[ImageSet, ImageSet]:
    """Pictures whose class is the pattern, and nothing else, (n, n // 2) of them, balanced over the classes.

    Phase or centre, scale, tilt, the two colours and the noise are drawn anew for each picture. So the
    average picture of every class is about the same even grey, and weighing single pixels tells little of the
    class: one has to look at neighbouring pixels together.

    Args:
        data_dir: not used, the pictures are made on the spot.
        n: training pictures.
        classes: 2 to 6, the first so many of `PATTERNS`.
        size: height and width, at least 16, or the finest patterns would fall between the pixels.
        seed: the same seed gives the same pictures; the test pictures come from a stream of their own.
    """
    if not 2 <= classes <= len(PATTERNS):
        raise UsageError(f"synthetic: classes must lie in 2..{len(PATTERNS)}, got {classes}")
    if not isinstance(size, int) or size < 16:
        raise UsageError(f"synthetic: size must be one number of at least 16 pixels, got {size}")
    if n < 2 * classes or seed < 0:
        raise UsageError(f"synthetic: expected n of at least {2 * classes} and seed >= 0, got {n} and {seed}")
    return _draw(n, classes, size, (seed, 0)), _draw(n // 2, classes, size, (seed, 1))


def _draw(n: int, classes: int, size: int, stream: tuple[int, int]) -> ImageSet:
    """`n` pictures in random order of class."""
    rng = np.random.default_rng(stream)
    labels = rng.permutation(np.arange(n, dtype=np.int64) % classes)
    patterns = list(PATTERNS.values())
    images = np.empty((n, 3, size, size), dtype=np.uint8)
    for label in range(classes):
        members = labels == label
        images[members] = _pictures(patterns[label], int(members.sum()), size, rng)
    return ImageSet(images, labels, tuple(PATTERNS)[:classes])


def _pictures(pattern: Pattern, n: int, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """`n` pictures of one pattern, (n, 3, size, size): it mixes two colours; soft light, some noise."""
    axis = (np.arange(size) + 0.5) / size - 0.5  # -0.5..0.5
    tilt = rng.normal(0, np.deg2rad(7), (n, 1, 1))
    y = np.cos(tilt) * axis[:, None] + np.sin(tilt) * axis  # (n, H, W)
    x = np.cos(tilt) * axis - np.sin(tilt) * axis[:, None]
    wave = pattern(y, x, rng)  # (n, H, W), -1..1
    mix = (0.5 + 0.5 * np.tanh(2 * wave))[:, None]  # 0..1: flatter tops than a sine's, and soft edges
    dark, light = _colours(n, rng)  # (n, 3, 1, 1)
    angle = rng.uniform(0, 2 * np.pi, (n, 1, 1))
    shade = 1 + 0.25 * (np.cos(angle) * axis + np.sin(angle) * axis[:, None])[:, None]
    noise = rng.normal(0, 0.04, (n, 3, size, size))
    value = (mix * dark + (1 - mix) * light) * shade + noise
    return np.round(255 * np.clip(value, 0, 1)).astype(np.uint8)


def _colours(n: int, rng: np.random.Generator) -> tuple[Field, Field]:
    """A dark and a light colour of any two hues for each picture, (n, 3, 1, 1) each."""
    hue = rng.uniform(0, 2 * np.pi, (2, n, 1)) + np.array([0, 2, 4]) * np.pi / 3  # red, green, blue
    level = np.stack([rng.uniform(0.2, 0.35, (n, 1)), rng.uniform(0.65, 0.8, (n, 1))])
    dark, light = (level * (1 + 0.35 * np.cos(hue)))[..., None, None]
    return dark, light


def _turns(position: Field, rng: np.random.Generator, low: float = 3.0, high: float = 5.0) -> Field:
    """Angle in radians of a wave along `position`: `low` to `high` periods across the picture, any phase."""
    count = len(position)
    return 2 * np.pi * (rng.uniform(low, high, (count, 1, 1)) * position + rng.random((count, 1, 1)))


def _from_centre(y: Field, x: Field, rng: np.random.Generator) -> tuple[Field, Field]:
    """(y, x) seen from a random point in the middle half of the picture."""
    shift = rng.uniform(-0.25, 0.25, (2, len(y), 1, 1))
    return y - shift[0], x - shift[1]


def horizontal(y: Field, x: Field, rng: np.random.Generator) -> Field:
    """Horizontal stripes."""
    return np.sin(_turns(y, rng))


def vertical(y: Field, x: Field, rng: np.random.Generator) -> Field:
    """Vertical stripes."""
    return np.sin(_turns(x, rng))


def rings(y: Field, x: Field, rng: np.random.Generator) -> Field:
    """Rings around a point."""
    return np.sin(_turns(np.hypot(*_from_centre(y, x, rng)), rng))


def checks(y: Field, x: Field, rng: np.random.Generator) -> Field:
    """A chequered board; squares as wide as stripes."""
    return 1.5 * np.sin(_turns(y, rng)) * np.sin(_turns(x, rng))


def rays(y: Field, x: Field, rng: np.random.Generator) -> Field:
    """Rays out of a point, 5 to 8 of each colour."""
    y, x = _from_centre(y, x, rng)
    blades = rng.integers(5, 9, (len(y), 1, 1))
    return np.sin(blades * np.arctan2(y, x) + rng.uniform(0, 2 * np.pi, (len(y), 1, 1)))


def diagonal(y: Field, x: Field, rng: np.random.Generator) -> Field:
    """Diagonal stripes, rising or falling."""
    side = rng.choice([-1.0, 1.0], (len(y), 1, 1))
    return np.sin(_turns((y + side * x) / np.sqrt(2), rng))


PATTERNS: dict[str, Pattern] = {
    "horizontal": horizontal,
    "vertical": vertical,
    "rings": rings,
    "checks": checks,
    "rays": rays,
    "diagonal": diagonal,
}
