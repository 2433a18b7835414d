"""The colour scales keep their order for every eye, and meet the colours they promise at their marks."""

import numpy as np
import pytest

from convscope.explain.colors import colorize, colorize_signed

# Machado, Oliveira and Fernandes 2009, severity 1: how linear RGB looks without one kind of cone
PROTANOPIA = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
DEUTERANOPIA = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
TRITANOPIA = [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]


def lightness(colours, seen_as=None):
    """CIELAB L* of sRGB bytes (…, 3), through the eye that `seen_as` describes."""
    srgb = colours / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    if seen_as is not None:
        linear = np.clip(linear @ np.transpose(seen_as), 0, 1)
    y = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(y > (6 / 29) ** 3, 116 * np.cbrt(y) - 16, y * (29 / 3) ** 3)


@pytest.mark.parametrize("eye", [None, PROTANOPIA, DEUTERANOPIA, TRITANOPIA])
def test_more_heat_is_lighter_for_every_eye(eye):
    steps = np.diff(lightness(colorize(np.linspace(0, 1, 65)).astype(float), eye))
    assert steps.min() > 0


def test_lightness_rises_evenly():
    values = np.linspace(0, 1, 65)
    lines = lightness(colorize(values).astype(float))
    assert np.abs(lines - np.interp(values, [0, 1], lines[[0, -1]])).max() < 3
    assert lines[-1] - lines[0] > 80


def test_shape_dtype_and_ends():
    heat = np.random.default_rng(0).random((3, 4, 5), dtype=np.float32)
    assert colorize(heat).shape == (3, 4, 5, 3)
    assert colorize(heat).dtype == np.uint8
    np.testing.assert_array_equal(colorize(np.array([-1.0, 2.0])), colorize(np.array([0.0, 1.0])))


def test_signed_scale_is_neutral_at_zero_and_balanced_around_it():
    zero = colorize_signed(np.array([0.0]))[0].astype(int)
    assert zero.min() == zero.max() > 240
    values = np.linspace(0.05, 1, 20)
    above, below = colorize_signed(values).astype(int), colorize_signed(-values).astype(int)
    assert (above[:, 0] > above[:, 2]).all()  # red over blue
    assert (below[:, 2] > below[:, 0]).all()
    for eye in (None, PROTANOPIA, DEUTERANOPIA):
        assert np.abs(lightness(above.astype(float), eye) - lightness(below.astype(float), eye)).max() < 12
