"""The contract that every layer keeps: dtypes, repeated backward, no shared memory, clear refusals."""

import numpy as np
import pytest

from convscope import numpy_nn as ours
from convscope.numpy_nn import Layer


def batch_norm_in_eval():
    norm = ours.BatchNorm2D(4).eval()
    norm.running_mean, norm.running_var = np.arange(4.0), np.arange(1.0, 5.0)
    return norm


MAPS = 3, 4, 6, 5
LAYERS = {
    "Conv2D": (lambda rng: ours.Conv2D(4, 6, (3, 2), stride=(2, 1), padding=1, groups=2, rng=rng), MAPS),
    "Conv2D 1x1": (lambda rng: ours.Conv2D(4, 2, 1, rng=rng), (1, 4, 6, 5)),
    "MaxPool2D": (lambda rng: ours.MaxPool2D(3, stride=2, padding=1, ceil_mode=True), MAPS),
    "MaxPool2D 1x1": (lambda rng: ours.MaxPool2D(1), MAPS),
    "AveragePool2D": (lambda rng: ours.AveragePool2D((2, 3), stride=1, padding=1), MAPS),
    "AveragePool2D 1x1": (lambda rng: ours.AveragePool2D(1), MAPS),
    "GlobalAveragePool2D": (lambda rng: ours.GlobalAveragePool2D(), MAPS),
    "GlobalMaxPool2D": (lambda rng: ours.GlobalMaxPool2D(), MAPS),
    "GlobalAveragePool2D of 1x1": (lambda rng: ours.GlobalAveragePool2D(), (3, 4, 1, 1)),
    "BatchNorm2D": (lambda rng: ours.BatchNorm2D(4), MAPS),
    "BatchNorm2D in eval": (lambda rng: batch_norm_in_eval(), MAPS),
    "ReLU": (lambda rng: ours.ReLU(), MAPS),
    "GELU": (lambda rng: ours.GELU(), MAPS),
    "Tanh": (lambda rng: ours.Tanh(), MAPS),
    "Flatten": (lambda rng: ours.Flatten(), MAPS),
    "Linear": (lambda rng: ours.Linear(5, 7, rng=rng), MAPS),
    "Dropout": (lambda rng: ours.Dropout(0.4, rng=rng), MAPS),
    "Dropout in eval": (lambda rng: ours.Dropout(0.4).eval(), MAPS),
    "Sequential": (lambda rng: ours.Sequential(ours.Tanh(), ours.Flatten(), ours.Linear(120, 3, rng=rng)), MAPS),
    "Sequential, empty": (lambda rng: ours.Sequential(), MAPS),
    "Residual": (lambda rng: ours.Residual(ours.Conv2D(4, 4, 3, padding="same", rng=rng)), MAPS),
}


@pytest.fixture(params=LAYERS)
def case(request):
    """A layer, an input and an upstream gradient, in float64."""
    make, shape = LAYERS[request.param]
    rng = np.random.default_rng(11)
    layer = make(rng)
    x = rng.standard_normal(shape)
    return layer, x, rng.standard_normal(layer(x).shape)


def test_every_layer_of_the_public_face_is_covered():
    kinds = {name.split()[0].rstrip(",") for name in LAYERS}
    assert kinds == {
        name
        for name in ours.__all__
        if isinstance(getattr(ours, name), type) and issubclass(getattr(ours, name), Layer)
    } - {"Layer"}


def test_the_computation_follows_the_input(case, dtype):
    layer, x, dy = case
    for params_dtype in (np.float32, np.float64):
        for name, array in layer.params.items():
            layer.params[name] = array.astype(params_dtype)
        assert layer(x.astype(dtype)).dtype == dtype
        assert layer.backward(dy).dtype == dtype
        assert all(gradient.dtype == dtype for gradient in layer.grads.values())
        assert set(layer.grads) == set(layer.params)


def test_backward_may_be_repeated(case):
    layer, _, dy = case
    first = layer.backward(dy)
    grads = {name: gradient.copy() for name, gradient in layer.grads.items()}
    np.testing.assert_allclose(layer.backward(-2 * dy), -2 * first, rtol=1e-12)
    for name, gradient in grads.items():  # overwritten, not added to
        np.testing.assert_allclose(layer.grads[name], -2 * gradient, rtol=1e-12)
    assert np.array_equal(layer.backward(dy), first)
    assert all(np.array_equal(layer.grads[name], gradient) for name, gradient in grads.items())


def test_arguments_are_left_alone_and_results_are_the_callers(case):
    layer, x, dy = case
    kept_x, kept_dy = x.copy(), dy.copy()
    y = layer(x)
    expected_dx = layer.backward(dy)
    assert np.array_equal(x, kept_x)
    assert np.array_equal(dy, kept_dy)
    assert not np.shares_memory(y, x)
    dx = layer.backward(dy)
    assert not np.shares_memory(dx, dy)
    y[:], dx[:] = 7, 7  # what the caller does with them must not come back
    assert np.array_equal(x, kept_x)
    assert np.array_equal(dy, kept_dy)
    for gradient in layer.grads.values():
        gradient[:] = 7
    assert np.array_equal(layer.backward(dy), expected_dx)


def test_takes_what_is_not_contiguous(case):
    layer, x, dy = case
    layer.eval()
    y, dx = layer(x), layer.backward(dy)
    turned = np.asfortranarray(x)
    np.testing.assert_allclose(layer(turned), y, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(layer.backward(np.asfortranarray(dy)), dx, rtol=1e-12, atol=1e-14)


def test_backward_needs_a_forward_that_went_well():
    for make, shape in LAYERS.values():
        layer = make(np.random.default_rng(0))
        with pytest.raises(RuntimeError, match=rf"{type(layer).__name__}.backward has no forward to go back through"):
            layer.backward(np.zeros(shape))
    conv = ours.Conv2D(4, 2, 3)
    conv(np.zeros(MAPS))
    with pytest.raises(ValueError, match="channel"):
        conv(np.zeros((3, 5, 6, 5)))
    with pytest.raises(RuntimeError, match="no forward"):  # the input before is not what was asked about last
        conv.backward(np.zeros((3, 2, 4, 3)))


def test_a_gradient_of_another_shape_is_refused(case):
    layer, _, dy = case
    kind, shape = type(layer).__name__, str(dy.shape).replace("(", r"\(").replace(")", r"\)")
    for wrong in (np.ones((*dy.shape, 1)), np.float64(1.0), dy[:, :-1]):  # the first two would broadcast
        with pytest.raises(ValueError, match=rf"{kind}.backward got dy \(.*\), its output was {shape}"):
            layer.backward(wrong)


@pytest.mark.parametrize("refused", [np.int64, np.uint8, np.float16, np.bool_, np.complex128])
def test_refuses_other_dtypes(case, refused):
    layer, x, _ = case
    message = rf"{type(layer).__name__} got {np.dtype(refused)} input \(.*\): expected float32 or float64; .*astype"
    with pytest.raises(ValueError, match=message):
        layer(np.zeros(x.shape, refused))


def test_changed_parameters_count_from_the_next_call_on(case):
    layer, x, _ = case
    for name in layer.params:
        before = layer.eval()(x)
        layer.params[name] = layer.params[name] + 1  # a new array
        between = layer(x)
        assert not np.allclose(before, between)
        layer.params[name] -= 1  # in place
        np.testing.assert_allclose(layer(x), before, atol=1e-12)


def test_parameters_of_another_shape_are_refused(case):
    layer, x, _ = case
    for name, array in layer.params.items():
        layer.params[name] = np.zeros((1, *array.shape))
        with pytest.raises(ValueError, match=rf"has {name.split('.')[-1]} \(1, .*expected"):
            layer(x)
        layer.params[name] = array


@pytest.mark.parametrize(
    "make",
    [lambda rng: ours.Conv2D(5, 2, 1, rng=rng), lambda rng: ours.Linear(5, 2, rng=rng)],
    ids=["Conv2D", "Linear"],
)
def test_the_gradient_of_a_parameter_that_is_gone_is_gone(make):
    layer = make(np.random.default_rng(0))
    net = ours.Sequential(ours.ReLU(), ours.Sequential(layer))
    x = np.random.default_rng(1).standard_normal((2, 5, 3, 5))
    net.backward(np.ones_like(net(x)))
    assert set(net.grads) == {"1.0.weight", "1.0.bias"}
    held = net.grads
    del net.params["1.0.bias"]
    net.backward(np.ones_like(net(x)))
    assert set(net.grads) == set(held) == set(net.params) == {"1.0.weight"}
    assert set(layer.grads) == {"weight"}


@pytest.mark.parametrize("rng", [0, 7, "seed", np.random.RandomState(0)])
@pytest.mark.parametrize(
    "make",
    [
        lambda rng: ours.Conv2D(2, 2, 1, rng=rng),
        lambda rng: ours.Linear(2, 2, rng=rng),
        lambda rng: ours.Dropout(0.5, rng=rng),
    ],
    ids=["Conv2D", "Linear", "Dropout"],
)
def test_a_seed_is_no_generator(make, rng):
    with pytest.raises(ValueError, match=r"(Conv2D|Linear|Dropout) got rng .*: expected a np\.random\.Generator"):
        make(rng)


def test_layers_do_not_share_their_state():
    one, two = ours.Linear(3, 2), ours.Linear(3, 2)
    one.name = "head"
    one.eval()
    one.params["weight"][:] = 0
    assert two.name == ""
    assert two.training
    assert two.params["weight"].any()


def test_a_forward_that_is_not_remembered_gives_the_same_and_keeps_nothing(case):
    layer, x, dy = case
    layer.eval()
    y, dx = layer(x), layer.backward(dy)
    assert np.array_equal(layer(x, remember=False), y)
    assert not [*held_arrays(layer)]
    with pytest.raises(RuntimeError, match=f"{type(layer).__name__}.backward has no forward to go back through"):
        layer.backward(dy)
    assert np.array_equal(layer(x), y)  # and again as if nothing had been
    assert np.array_equal(layer.backward(dy), dx)


def held_arrays(layer):
    """Names of the arrays that a layer, or one within, holds besides parameters and running statistics."""
    for child in getattr(layer, "children", {}).values():
        yield from held_arrays(child)
    yield from (
        name
        for name, value in vars(layer).items()
        if isinstance(value, np.ndarray) and name not in ("running_mean", "running_var")
    )
