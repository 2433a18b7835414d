"""The fast order of summation against the plain page, over random shapes, and its promises about threads and memory."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from convscope.numpy_nn import Conv2D, fast
from convscope.numpy_nn.fast import Buffer, Geometry

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def convolutions(draw):
    kernel, stride, dilation = draw(pairs), draw(pairs), draw(pairs)
    padding = draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
    groups = draw(st.integers(1, 3))
    span = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    size = [max(1, s - 2 * p) + draw(st.integers(0, 9)) for s, p in zip(span, padding, strict=True)]
    return {
        "shape": (draw(st.integers(1, 9)), groups * draw(st.integers(1, 30)), *size),
        "outputs": groups * draw(st.integers(1, 4)),
        "options": {
            "kernel_size": kernel,
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "groups": groups,
        },
        "seed": draw(st.integers(0, 99)),
        "threads": draw(st.integers(1, 3)),
    }


@settings(max_examples=200, deadline=None)
@given(convolutions())
def test_forward_and_backward_are_those_of_the_plain_page(case):
    rng = np.random.default_rng(case["seed"])
    x = rng.standard_normal(case["shape"])
    layer = Conv2D(x.shape[1], case["outputs"], rng=rng, **case["options"])
    layer.params["bias"] = rng.standard_normal(case["outputs"])
    results = {}
    dy = None
    for layer.plain in (True, False):
        with threadpool_limits(case["threads"], user_api="blas"):
            y = layer(x)
            dy = rng.standard_normal(y.shape) if dy is None else dy
            dx = layer.backward(dy)
        results[layer.plain] = {"y": y, "dx": dx} | dict(layer.grads)
    for name, expected in results[True].items():
        np.testing.assert_allclose(results[False][name], expected, rtol=1e-11, atol=1e-11, err_msg=name)
        assert results[False][name].shape == expected.shape


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_large_enough_for_threads(threads, monkeypatch):
    """Batches that do not divide into blocks, blocks that do not divide over threads."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((37, 16, 9, 11))
    layer = Conv2D(16, 40, (3, 2), padding=1, rng=rng)
    dy = rng.standard_normal((37, 40, 9, 12))
    layer.plain = True
    expected = layer(x), layer.backward(dy), layer.grads["weight"].copy()
    layer.plain = False
    shares = []
    pool = fast._pool
    monkeypatch.setattr(fast, "_pool", lambda n: shares.append(n) or pool(n))
    with threadpool_limits(threads, user_api="blas"):
        found = layer(x), layer.backward(dy), layer.grads["weight"]
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-10)
        assert fast._blas_threads() == threads  # and BLAS has its own again
    assert shares == ([] if threads == 1 else [min(threads, 4)] * 3)  # what there is to do keeps four busy


def test_scatter_is_the_adjoint_of_gather():
    """⟨gather(x), c⟩ = ⟨x, scatter(c)⟩."""
    rng = np.random.default_rng(4)
    geometry = Geometry((7, 8), (3, 2), (2, 3), (2, 1), ((1, 2), (0, 3)), (3, 4))
    x, back = rng.standard_normal((3, 2, 7, 8)), np.zeros((3, 2, 7, 8))
    columns = Buffer(geometry, 2, 3, np.float64)
    columns.gather(x)
    other = Buffer(geometry, 2, 3, np.float64)
    for phase in other.phases.values():
        phase[...] = rng.standard_normal(phase.shape)
    other.scatter(back)
    inner = sum((columns.phases[r] * other.phases[r]).sum() for r in columns.phases)
    assert inner == pytest.approx((x * back).sum(), rel=1e-12)


def test_an_error_in_a_thread_comes_out():
    def work(starts):
        raise MemoryError("no room")

    with threadpool_limits(2, user_api="blas"), pytest.raises(MemoryError, match="no room"):
        fast._share(work, 100, 1, operations=10**9)


def test_float32_stays_float32():
    layer = Conv2D(3, 4, 3, padding=1)
    x = np.ones((2, 3, 5, 5), np.float32)
    assert layer(x).dtype == np.float32
    assert layer.backward(np.ones((2, 4, 5, 5), np.float32)).dtype == np.float32
    assert layer.grads["weight"].dtype == np.float32
