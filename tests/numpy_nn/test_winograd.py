"""Winograd's transform against the plain page, over random shapes; where it is used, and what it may not change."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from convscope.numpy_nn import Conv2D, winograd


@st.composite
def cases(draw):
    padding = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    size = [max(1, 3 - 2 * p) + draw(st.integers(0, 9)) for p in padding]
    groups = draw(st.integers(1, 3))
    return {
        "shape": (draw(st.integers(1, 19)), groups * draw(st.integers(1, 5)), *size),
        "outputs": groups * draw(st.integers(1, 5)),
        "padding": padding,
        "groups": groups,
        "seed": draw(st.integers(0, 99)),
        "threads": draw(st.integers(1, 3)),
    }


@settings(max_examples=150, deadline=None)
@given(cases())
def test_forward_and_weight_gradient_are_those_of_the_plain_page(case):
    rng = np.random.default_rng(case["seed"])
    x = rng.standard_normal(case["shape"])
    layer = Conv2D(x.shape[1], case["outputs"], 3, padding=case["padding"], groups=case["groups"], rng=rng)
    layer.plain = True
    layer.params["bias"] = rng.standard_normal(case["outputs"])
    y = layer(x)
    dy = rng.standard_normal(y.shape)
    layer.backward(dy)
    edges = tuple((p, p) for p in case["padding"])
    weight, bias = layer.params["weight"], layer.params["bias"]
    with threadpool_limits(case["threads"], user_api="blas"):
        found = winograd.forward(x, weight, bias, edges, y.shape[2:], case["groups"])
        gradient = winograd.weight_gradient(x, dy, edges, case["groups"])
    np.testing.assert_allclose(found, y, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(gradient, layer.grads["weight"], rtol=1e-11, atol=1e-11)
    assert gradient.shape == weight.shape


@pytest.mark.parametrize(
    ("channels", "outputs", "used"), [(80, 80, True), (64, 128, True), (64, 64, False), (16, 600, False)]
)
def test_conv2d_takes_it_where_it_pays(channels, outputs, used, monkeypatch):
    """Both ways the numbers are those of the plain page; what is left in memory by a larger call does not matter."""
    calls = []
    forward, weight_gradient = winograd.forward, winograd.weight_gradient
    monkeypatch.setattr(winograd, "forward", lambda *given: calls.append("forward") or forward(*given))
    monkeypatch.setattr(winograd, "weight_gradient", lambda *given: calls.append("weight") or weight_gradient(*given))
    rng = np.random.default_rng(1)
    layer = Conv2D(channels, outputs, 3, padding=(1, 2), rng=rng)
    results = {}
    for batch, size in ((37, (12, 9)), (5, (7, 8))):
        x = rng.standard_normal((batch, channels, *size))
        dy = rng.standard_normal((batch, outputs, size[0], size[1] + 2))
        for layer.plain in (True, False):
            results[layer.plain] = layer(x), layer.backward(dy), layer.grads["weight"]
        for ours, plain in zip(results[False], results[True], strict=True):
            np.testing.assert_allclose(ours, plain, rtol=1e-11, atol=1e-11)
    assert calls == (["forward", "weight", "forward"] * 2 if used else [])


def test_rounding_in_float32_is_that_of_any_other_order():
    """At the channels of a real network; the bound is a few units of the largest output's last place."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((4, 128, 16, 16))
    layer = Conv2D(128, 128, 3, padding=1, rng=rng)
    exact = layer(x)
    for layer.plain in (True, False):
        assert abs(layer(x.astype(np.float32)) - exact).max() < 2e-6 * abs(exact).max()


@pytest.mark.parametrize("largest", [1e2, 1e4])
def test_rounding_is_relative_to_the_largest_pixel_of_a_tile(largest):
    """Where that meets weights of zero too: the plain page would give these outputs exactly."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((2, 80, 8, 8))
    x[..., 4] *= largest
    weight = rng.standard_normal((80, 80, 3, 3))
    weight[..., 1] = 0
    exact = winograd.forward(x, weight, None, ((1, 1), (1, 1)), (8, 8))
    found = winograd.forward(x.astype(np.float32), weight.astype(np.float32), None, ((1, 1), (1, 1)), (8, 8))
    apart = abs(found - exact)[..., 4].max()  # these outputs never see that column
    assert apart < 1e-6 * largest * abs(exact[..., 4]).max()
    assert apart > 1e-9 * largest * abs(exact[..., 4]).max()  # and it is no better than is said
