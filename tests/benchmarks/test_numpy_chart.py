"""The chart of growth: labels kept apart, speeds from times, and pixels that follow the numbers."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageColor

from benchmarks import numpy_chart
from convscope.runs.canvas import BLUE, SCALE, VERMILLION


def row(channels: int, size: int, **seconds: float) -> dict[str, Any]:
    return {"channels": channels, "size": size, "multiply_adds": 9 * channels**2 * size**2, "seconds": seconds}


@pytest.fixture
def result() -> dict[str, Any]:
    ways = {"im2col": 4e-4, "numpy_nn": 2e-4, "torch": 1e-4}
    sizes = [row(64, 4, naive=0.1, **ways), row(64, 8, **{way: 4 * taken for way, taken in ways.items()})]
    channels = [row(4, 16, naive=0.01, **ways), row(8, 16, **ways)]
    return {
        "environment": {"threads": 2},
        "growth": {"batch": 16, "size": sizes, "channels": channels},
        "matrix_product": {"size": 2048, "numpy": 2e10, "torch": 4e10},
    }


def test_speed_is_multiply_adds_a_second_where_a_way_was_measured(result: dict[str, Any]):
    rows = result["growth"]["size"]
    assert numpy_chart.series(rows, "naive", "size") == ([4], [0.1], [9 * 64**2 * 4**2 / 0.1])
    at, seconds, speeds = numpy_chart.series(rows, "torch", "size")
    assert (at, seconds) == ([4, 8], [1e-4, 4e-4])
    assert speeds[0] == pytest.approx(speeds[1]) == pytest.approx(5.9e9, rel=0.01)


@pytest.mark.parametrize(
    ("heights", "placed"),
    [([50, 10, 90], [50, 10, 90]), ([50, 49, 51], [62, 49, 75]), ([-4, 3], [0, 13]), ([], [])],
)
def test_labels_are_moved_apart_in_their_order(heights: list[float], placed: list[float]):
    assert numpy_chart.spread(heights, 13) == placed


def above_torch(picture: bytes) -> float:
    """By how many pixels our line runs above PyTorch's, on average, in the upper left panel."""
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"), np.int16)
    panel = pixels[SCALE * numpy_chart.TOP : SCALE * (numpy_chart.TOP + numpy_chart.TALL), : SCALE * numpy_chart.APART]
    ours, torch = (np.nonzero((abs(panel - ImageColor.getrgb(of)) < 8).all(-1))[0].mean() for of in (BLUE, VERMILLION))
    return torch - ours


def test_a_slower_layer_is_drawn_higher(result: dict[str, Any]):
    before = above_torch(numpy_chart.chart(result))
    for line in result["growth"]["size"]:
        line["seconds"]["numpy_nn"] *= 20
    assert above_torch(numpy_chart.chart(result)) > before + 40
