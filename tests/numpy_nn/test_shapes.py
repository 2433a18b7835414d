"""Numbers, pairs and paddings as callers write them, and what is refused."""

import numpy as np
import pytest

from convscope.numpy_nn.shapes import convolution_edges, pad_images, pair, plural, whole


def test_whole_numbers_and_pairs():
    assert whole("L", "stride", np.int32(2), at_least=1) == 2
    assert type(whole("L", "stride", np.int32(2), at_least=1)) is int
    assert pair("L", "stride", 3, at_least=1) == (3, 3)
    assert pair("L", "stride", [np.int8(1), 2], at_least=1) == (1, 2)


@pytest.mark.parametrize("value", [0, (1, 0), (0, 1), 1.0, "1", None, (1,), (1, 2, 3), (1, 2.0)])
def test_refuses(value):
    with pytest.raises(ValueError, match=r"^Conv2D got stride .*: expected "):
        pair("Conv2D", "stride", value, at_least=1)


@pytest.mark.parametrize(
    ("padding", "kernel", "dilation", "edges"),
    [
        (2, (3, 5), (1, 1), ((2, 2), (2, 2))),
        ((0, 1), (3, 5), (1, 1), ((0, 0), (1, 1))),
        ("same", (3, 5), (1, 2), ((1, 1), (4, 4))),
        ("same", (2, 4), (1, 3), ((0, 1), (4, 5))),  # the odd one goes to the bottom and right
        ("same", (1, 1), (1, 1), ((0, 0), (0, 0))),
    ],
)
def test_edges(padding, kernel, dilation, edges):
    assert convolution_edges("Conv2D", padding, kernel, (1, 1), dilation) == edges


def test_pad_images():
    x = np.arange(4.0).reshape(1, 1, 2, 2)
    assert pad_images(x, ((0, 0), (0, 0))) is x
    padded = pad_images(x, ((1, 0), (0, 2)), value=-1)
    assert np.array_equal(padded[0, 0], [[-1, -1, -1, -1], [0, 1, -1, -1], [2, 3, -1, -1]])


def test_plural():
    assert [plural(n, "channel") for n in (0, 1, 2)] == ["0 channels", "1 channel", "2 channels"]
    assert plural(2, "axis", "axes") == "2 axes"
