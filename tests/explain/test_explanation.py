"""Heatmaps against values worked out by hand or by another route."""

import numpy as np
import pytest

from convscope.errors import UsageError
from convscope.explain import Explanation


def explanation(maps):
    maps = np.asarray(maps, dtype=np.float32)
    n = len(maps)
    return Explanation(
        maps=maps,
        targets=np.zeros(n, dtype=np.int64),
        layer="features",
        method="grad-cam",
        evidence=tuple("positive" if m.max() > 0 else "none" for m in maps),
        logits=np.zeros((n, 2), dtype=np.float32),
    )


def bilinear(cells, size):
    """Half-pixel-centred bilinear resizing of (h, w), one output value at a time."""
    (h, w), (height, width) = cells.shape, size
    out = np.empty(size)
    for i in range(height):
        for j in range(width):
            y = min(max((i + 0.5) * h / height - 0.5, 0), h - 1)
            x = min(max((j + 0.5) * w / width - 0.5, 0), w - 1)
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, h - 1), min(x0 + 1, w - 1)
            top = cells[y0, x0] * (1 - (x - x0)) + cells[y0, x1] * (x - x0)
            bottom = cells[y1, x0] * (1 - (x - x0)) + cells[y1, x1] * (x - x0)
            out[i, j] = top * (1 - (y - y0)) + bottom * (y - y0)
    return out


@pytest.mark.parametrize("size", [(12, 15), (4, 3), (7, 31)])
def test_heatmaps_are_relu_then_bilinear_then_each_by_its_own_maximum(size):
    maps = np.random.default_rng(2).normal(size=(5, 4, 3)) * np.array([1, 1e-6, 1e6, 3, 0.1])[:, None, None]
    heat = explanation(maps).heatmaps(size)
    assert heat.shape == (5, *size)
    assert heat.dtype == np.float32
    for raw, drawn in zip(maps, heat, strict=True):
        resized = bilinear(np.maximum(raw, 0), size)
        np.testing.assert_allclose(drawn, resized / resized.max(), atol=2e-6)
    np.testing.assert_array_equal(heat.max(axis=(1, 2)), 1)
    assert heat.min() >= 0


def test_an_empty_map_stays_empty_beside_a_full_one():
    maps = np.stack([-np.ones((2, 3)), np.zeros((2, 3)), np.eye(2, 3)])
    found = explanation(maps)
    heat = found.heatmaps((8, 9))
    assert found.evidence == ("none", "none", "positive")
    assert not heat[:2].any()
    assert heat[2].max() == 1


def test_heatmaps_leave_the_raw_maps_alone():
    found = explanation(np.random.default_rng(3).normal(size=(2, 3, 3)))
    before = found.maps.copy()
    found.heatmaps((3, 3))[:] = 7
    np.testing.assert_array_equal(found.maps, before)


@pytest.mark.parametrize("size", [1, 3, 4, (4, 9), (16, 5), (31, 2)])
def test_evidence_anywhere_shows_at_any_size(size):
    """One positive cell, in every place of a 16 by 16 map in turn, amid strong counter-evidence; two are tiny."""
    maps = np.full((256, 16, 16), -5.0, dtype=np.float32)
    maps.reshape(256, 256)[np.arange(256), np.arange(256)] = 0.25
    maps[7] *= 1e-30
    maps[9] *= np.float32(1e-38) * np.float32(1e-6)  # subnormal: nothing is left of a sixteenth of it
    found = explanation(maps)
    assert set(found.evidence) == {"positive"}
    np.testing.assert_array_equal(found.heatmaps(size).max(axis=(1, 2)), 1)


def test_shrinking_averages_with_a_triangle_over_the_cells_covered():
    cells = np.random.default_rng(4).random((12, 9))
    size = (4, 3)  # a third of each side
    weights = []
    for length, count in zip(cells.shape, size, strict=True):
        centre = (np.arange(count)[:, None] + 0.5) * 3
        weight = np.maximum(1 - np.abs(np.arange(length) + 0.5 - centre) / 3, 0)
        weights.append(weight / weight.sum(axis=1, keepdims=True))
    expected = weights[0] @ cells @ weights[1].T
    np.testing.assert_allclose(explanation(cells[None]).heatmaps(size)[0], expected / expected.max(), atol=1e-6)


@pytest.mark.parametrize("size", [8, np.int64(8), (np.int64(8), np.int32(8)), [8, 8], np.array([8, 8])])
def test_a_size_in_any_form(size):
    found = explanation(np.random.default_rng(5).normal(size=(2, 3, 5)))
    np.testing.assert_array_equal(found.heatmaps(size), found.heatmaps((8, 8)))


@pytest.mark.parametrize(
    "size", [0, -3, 8.0, True, None, "88", (0, 4), (4,), (4, 4, 4), (4.0, 4), (-1, 3), (4, True), ((4, 4), (4, 4))]
)
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(UsageError, match=r"size must be a positive integer, or \(height, width\), two of them, got"):
        explanation(np.ones((1, 2, 2))).heatmaps(size)
