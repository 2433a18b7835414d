"""SGD against torch.optim.SGD over several steps with changing learning rates, in both dtypes; and its refusals."""

import numpy as np
import pytest
import torch

from convscope.numpy_nn import SGD, BatchNorm2D, Conv2D, Linear, Sequential


@pytest.mark.parametrize("decayed", [None, ["conv", "head"], []], ids=["all", "some", "none"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.03])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True), (0.35, True)])
def test_the_steps_of_pytorch(dtype, momentum, nesterov, weight_decay, decayed, follows):
    def ours(params, lr, weight_decay, decayed):
        return SGD(params, lr, momentum, nesterov, weight_decay, decayed)

    rtol = 1e-13 if dtype == np.float64 else 2e-6
    options = {"momentum": momentum, "nesterov": nesterov}
    sgd, params = follows(ours, torch.optim.SGD, dtype, weight_decay, decayed, rtol, **options)
    assert set(sgd.state) == (set(params) if momentum else set())


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
