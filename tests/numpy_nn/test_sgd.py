"""SGD against torch.optim.SGD over several steps with changing learning rates, in both dtypes; and its refusals."""

import numpy as np
import pytest
import torch

from convscope.numpy_nn import SGD, BatchNorm2D, Conv2D, Linear, Sequential

SHAPES = {"conv": (4, 3, 2, 5), "norm": (4,), "head": (3, 7)}
RATES = (0.3, 0.3, 0.05, 0.0, 0.7)


@pytest.mark.parametrize("decayed", [None, ["conv", "head"], []], ids=["all", "some", "none"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.03])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True), (0.35, True)])
def test_the_steps_of_pytorch(dtype, momentum, nesterov, weight_decay, decayed):
    rng = np.random.default_rng(5)
    params = {name: rng.standard_normal(shape).astype(dtype) for name, shape in SHAPES.items()}
    arrays = dict(params)
    theirs = {name: torch.tensor(value, requires_grad=True) for name, value in params.items()}
    sgd = SGD(params, 1.0, momentum, nesterov, weight_decay, decayed)
    chosen = set(SHAPES if decayed is None else decayed)
    groups = [
        {"params": [theirs[n] for n in SHAPES if n in chosen], "weight_decay": weight_decay},
        {"params": [theirs[n] for n in SHAPES if n not in chosen], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.SGD([g for g in groups if g["params"]], lr=1.0, momentum=momentum, nesterov=nesterov)
    for lr in RATES:
        grads = {name: rng.standard_normal(shape).astype(dtype) for name, shape in SHAPES.items()}
        kept = {name: value.copy() for name, value in grads.items()}
        sgd.lr = lr
        for group in optimizer.param_groups:
            group["lr"] = lr
        for name, value in theirs.items():
            value.grad = torch.from_numpy(grads[name].copy())
        sgd.step(grads)
        optimizer.step()
        assert all(np.array_equal(grads[name], kept[name]) for name in grads)
        for name, value in theirs.items():
            tolerance = 1e-13 if dtype == np.float64 else 2e-6
            np.testing.assert_allclose(params[name], value.detach().numpy(), rtol=tolerance, atol=tolerance)
            assert params[name].dtype == dtype
    assert all(params[name] is arrays[name] for name in SHAPES)  # in place
    assert set(sgd.state) == (set(SHAPES) if momentum else set())


def test_moves_the_parameters_of_a_network():
    rng = np.random.default_rng(6)
    network = Sequential(Conv2D(2, 3, 2, rng=rng), BatchNorm2D(3), Linear(4, 5, rng=rng))
    before = {name: value.copy() for name, value in network.params.items()}
    network.backward(rng.standard_normal(network(rng.standard_normal((2, 2, 4, 5))).shape))
    SGD(network.params, lr=0.5).step(network.grads)
    for name, value in network.params.items():
        np.testing.assert_allclose(value, before[name] - 0.5 * network.grads[name], rtol=1e-12, atol=1e-14)


def test_goes_on_from_a_saved_velocity():
    rng = np.random.default_rng(7)
    one, two = {"p": np.ones(3)}, {"p": np.ones(3)}
    steps = rng.standard_normal((4, 3))
    straight, stopped = SGD(one, 0.1, 0.8, nesterov=True), SGD(two, 0.1, 0.8, nesterov=True)
    for step in steps:
        straight.step({"p": step})
    for step in steps[:2]:
        stopped.step({"p": step})
    resumed = SGD(two, 0.1, 0.8, nesterov=True)
    resumed.state = {name: value.copy() for name, value in stopped.state.items()}
    for step in steps[2:]:
        resumed.step({"p": step})
    assert np.array_equal(one["p"], two["p"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -0.1}, "lr -0.1: expected a number of at least 0"),
        ({"lr": float("nan")}, "lr nan"),
        ({"momentum": 1.5}, "momentum 1.5: expected a number from 0 to 1"),
        ({"weight_decay": -1}, "weight_decay -1"),
        ({"nesterov": True}, "nesterov with momentum 0"),
        ({"decayed": ["weight", "scale"]}, "decayed scale: the parameters are weight, bias"),
    ],
)
def test_refuses(options, message):
    params = {"weight": np.zeros((2, 2)), "bias": np.zeros(2)}
    with pytest.raises(ValueError, match=f"SGD got {message}"):
        SGD(params, **{"lr": 0.1} | options)


def test_a_step_that_cannot_be_made_changes_nothing():
    params = {"weight": np.ones((2, 3)), "bias": np.ones(2)}
    sgd = SGD(params, lr=0.1, momentum=0.9)
    with pytest.raises(ValueError, match="SGD got no gradient for bias"):
        sgd.step({"weight": np.ones((2, 3))})
    with pytest.raises(ValueError, match=r"SGD has a gradient of bias \(1,\), expected \(2,\)"):  # it would broadcast
        sgd.step({"weight": np.ones((2, 3)), "bias": np.ones(1)})
    assert all((value == 1).all() for value in params.values())
    assert not sgd.state
    with pytest.raises(ValueError, match="lr -1"):
        sgd.lr = -1
