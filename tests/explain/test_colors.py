"""The colour scales keep their order for every eye, and meet the colours they promise at their marks."""

import numpy as np
import pytest

from convscope.explain.colors import colorize, colorize_signed
from convscope.runs.canvas import BLUE, SOFT, VERMILLION

# Machado, Oliveira and Fernandes 2009, severity 1: how linear RGB looks without one kind of cone
PROTANOPIA = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
DEUTERANOPIA = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
TRITANOPIA = [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]


EYES = {"all cones": np.eye(3), "protanopia": PROTANOPIA, "deuteranopia": DEUTERANOPIA, "tritanopia": TRITANOPIA}
# sRGB primaries to CIE XYZ over the white of D65 (IEC 61966-2-1)
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(colours, seen_as=None):
    """CIELAB L*, a*, b* of sRGB bytes (…, 3), through the eye that `seen_as` describes."""
    srgb = np.asarray(colours) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    if seen_as is not None:
        linear = np.clip(linear @ np.transpose(seen_as), 0, 1)
    t = linear @ TO_XYZ.T / TO_XYZ.sum(axis=1)
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def lightness(colours, seen_as=None):
    return lab(colours, seen_as)[..., 0]


def difference(one, other, eye):
    """ΔE*ab of two sRGB colours: 2.3 can just be told apart, side by side."""
    return np.linalg.norm(lab(one, EYES[eye]) - lab(other, EYES[eye]), axis=-1)


def of_hex(colour):
    return np.array(list(bytes.fromhex(colour[1:])))


def test_the_scale_of_differences_itself():
    """Red and green of equal lightness, the classic trap, and black and white."""
    red, green = (180, 90, 60), (110, 125, 40)
    assert difference(red, green, "all cones") > 2.5 * difference(red, green, "deuteranopia")
    assert difference((0, 0, 0), (255, 255, 255), "tritanopia") == pytest.approx(100, abs=1)


@pytest.mark.parametrize("eye", EYES)
def test_colours_that_mean_something_are_told_apart_by_every_eye(eye):
    """Training from validation, a mistake's frame from a caption, a line from the page."""
    blue, vermillion, soft, page = (of_hex(colour) for colour in (BLUE, VERMILLION, SOFT, "#ffffff"))
    assert difference(blue, vermillion, eye) > 40
    assert difference(vermillion, soft, eye) > 25
    assert min(difference(colour, page, eye) for colour in (blue, vermillion, soft)) > 50


@pytest.mark.parametrize("eye", EYES)
def test_the_two_arms_of_the_signed_scale_are_told_apart_by_every_eye(eye):
    """Right from wrong in a confusion matrix, positive from negative in a map, wherever there is colour at all."""
    strength = np.linspace(0.1, 1, 19)
    apart = difference(colorize_signed(strength), colorize_signed(-strength), eye)
    assert apart.min() > 8
    assert apart[strength >= 0.3].min() > 20


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
