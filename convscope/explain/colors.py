"""Numbers in, colours out: one scale from nothing to most, and one that is signed around zero."""

import numpy as np
from numpy.typing import NDArray

# From near-black violet over red to light yellow. CIELAB lightness rises in equal steps (8 to 94), so the
# order survives grey print and every kind of colour blindness; the hue turns one way only.
_HEAT = np.array(
    [
        (22, 19, 52),
        (66, 25, 94),
        (125, 16, 119),
        (187, 0, 97),
        (226, 55, 62),
        (243, 109, 46),
        (248, 157, 36),
        (252, 200, 69),
        (254, 241, 120),
    ],
    dtype=np.float64,
)

# Blue, white at zero, orange-brown: a pair that red-green colour blindness keeps apart. Both arms darken
# alike.
_SIGNED = np.array(
    [
        (2, 75, 114),
        (5, 118, 176),
        (67, 159, 226),
        (168, 202, 239),
        (250, 250, 250),
        (239, 187, 173),
        (218, 129, 106),
        (180, 82, 59),
        (125, 44, 27),
    ],
    dtype=np.float64,
)


def colorize(heatmap: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Values in [0, 1] of any shape (…) as red, green, blue (…, 3); lighter is more."""
    return _interpolate(_HEAT, heatmap)


def colorize_signed(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Values in [-1, 1] of any shape (…) as (…, 3): blue below zero, white at it, orange above it."""
    return _interpolate(_SIGNED, (np.asarray(values) + 1) / 2)


def _interpolate(anchors: NDArray[np.float64], positions: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Colours at `positions` in [0, 1] along the anchors; beyond the ends, the colour of the nearer one."""
    at = np.linspace(0, 1, len(anchors))
    channels = [np.interp(positions, at, anchors[:, channel]) for channel in range(3)]
    colours: NDArray[np.uint8] = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    return colours
