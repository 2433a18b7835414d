"""Heatmaps and probabilities against values worked out by hand or by another route."""

import numpy as np
import pytest

from convscope.errors import UsageError
from convscope.explain import Explanation


def explanation(maps, logits=None, targets=None):
    maps = np.asarray(maps, dtype=np.float32)
    n = len(maps)
    return Explanation(
        maps=maps,
        targets=np.zeros(n, dtype=np.int64) if targets is None else np.asarray(targets),
        layer="features",
        method="grad-cam",
        evidence=tuple("positive" if m.max() > 0 else "none" for m in maps),
        logits=np.zeros((n, 2), dtype=np.float32) if logits is None else np.asarray(logits, dtype=np.float32),
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


def test_probabilities_are_the_softmax_of_the_target_even_for_huge_logits():
    logits = [[1.0, 2.0, 0.5], [1000.0, 0.0, 999.0]]
    found = explanation(np.ones((2, 1, 2)), logits, [2, 0])
    expected = [np.exp(0.5) / np.exp(logits[0]).sum(), 1 / (1 + np.exp(-1))]
    np.testing.assert_allclose(found.probabilities, expected, rtol=1e-6)
    np.testing.assert_array_equal(found.predictions, [1, 0])
    assert len(found) == 2


@pytest.mark.parametrize("size", [(0, 4), (4,), (4, 4, 4), (4.0, 4), (-1, 3)])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(UsageError, match="two positive integers"):
        explanation(np.ones((1, 2, 2))).heatmaps(size)
