"""Spearman's rank correlation against SciPy, ties and all."""

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from convscope.audit.rank_correlation import ranks, spearman


def test_ranks_and_correlation_are_scipys():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 5, 7, 9))
    second[:3] += first[:3]
    for maps in (first, second):
        maps[1] = np.round(maps[1])  # many ties
        maps[2] = np.maximum(maps[2], 0)
    found = spearman(first, second)
    expected = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_array_equal(ranks(first[1].ravel()), rankdata(first[1].ravel()))
    assert found[:3].min() > 0.4 > abs(found[3:]).max()


def test_what_has_no_order():
    rng = np.random.default_rng(1)
    full, empty = rng.normal(size=(2, 3, 4)), np.zeros((2, 3, 4))
    np.testing.assert_array_equal(spearman(full, empty), [0, 0])
    assert np.isnan(spearman(empty, full)).all()
    np.testing.assert_allclose(spearman(full, -full), [-1, -1])
    with pytest.raises(ValueError, match="one shape"):
        spearman(full, full[:, :2])
