"""The fast order of summation against the plain page, over random shapes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from convscope.numpy_nn import Conv2D
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


def test_float32_stays_float32():
    layer = Conv2D(3, 4, 3, padding=1)
    x = np.ones((2, 3, 5, 5), np.float32)
    assert layer(x).dtype == np.float32
    assert layer.backward(np.ones((2, 4, 5, 5), np.float32)).dtype == np.float32
    assert layer.grads["weight"].dtype == np.float32
