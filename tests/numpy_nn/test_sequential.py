"""Sequential and Residual: whole networks against PyTorch, dotted live parameters, modes, shapes that differ."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from convscope import numpy_nn as ours
from convscope.numpy_nn import (
    BatchNorm2D,
    Conv2D,
    CrossEntropyLoss,
    Dropout,
    Flatten,
    Layer,
    Linear,
    ReLU,
    Residual,
    Sequential,
)

MANY = settings(max_examples=200, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class TorchResidual(nn.Module):
    def __init__(self, branch: nn.Module, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.branch(x) + (x if self.shortcut is None else self.shortcut(x))


@st.composite
def networks(draw: st.DrawFn, smooth: bool) -> tuple[Layer, nn.Module, tuple[int, ...]]:
    """A random network of ours, the same in PyTorch, and the shape of an input.

    `smooth` leaves out ReLU and max pooling: in float32 two engines may round a value to either side of their
    kinks, and both would be right.
    """
    activations = [(ours.GELU, nn.GELU), (ours.Tanh, nn.Tanh)] + ([] if smooth else [(ReLU, nn.ReLU)] * 2)
    pools = [(ours.AveragePool2D, nn.AvgPool2d)] + ([] if smooth else [(ours.MaxPool2D, nn.MaxPool2d)] * 2)
    batch, channels, height, width = (draw(st.integers(*ends)) for ends in ((2, 3), (1, 3), (6, 12), (6, 12)))
    shape = batch, channels, height, width
    mine: list[Layer] = []
    theirs: list[nn.Module] = []

    def add(pair: tuple[Layer, nn.Module]) -> None:
        mine.append(pair[0])
        theirs.append(pair[1])

    for _ in range(draw(st.integers(1, 3))):
        wider = draw(st.integers(1, 4))
        activation, torch_activation = draw(st.sampled_from(activations))
        if draw(st.booleans()):
            add((Conv2D(channels, wider, 3, padding=1), nn.Conv2d(channels, wider, 3, padding=1)))
            add((activation(), torch_activation()))
        else:
            project = wider != channels
            branch = (
                Sequential(Conv2D(channels, wider, 3, padding=1, bias=False), BatchNorm2D(wider), activation()),
                nn.Sequential(
                    nn.Conv2d(channels, wider, 3, padding=1, bias=False), nn.BatchNorm2d(wider), torch_activation()
                ),
            )
            shortcut = Conv2D(channels, wider, 1) if project else None
            torch_shortcut = nn.Conv2d(channels, wider, 1) if project else None
            add((Residual(branch[0], shortcut), TorchResidual(branch[1], torch_shortcut)))
        channels = wider
        if min(height, width) >= 4 and draw(st.booleans()):
            pool, torch_pool = draw(st.sampled_from(pools))
            add((pool(2), torch_pool(2)))
            height, width = height // 2, width // 2
    if draw(st.booleans()):
        add((ours.GlobalAveragePool2D(), nn.AdaptiveAvgPool2d(1)))
        height = width = 1
    add((Flatten(), nn.Flatten()))
    add((Linear(channels * height * width, 5), nn.Linear(channels * height * width, 5)))
    return Sequential(*mine), nn.Sequential(*theirs), shape


def check_network(parity, dtype, network, seed, training):
    net, twin, shape = network
    rng = np.random.default_rng(seed)
    net.train() if training else net.eval()
    # a gradient is a sum of hundreds of terms here, each larger than 1
    parity(net, twin, rng.standard_normal(shape).astype(dtype), rng, floor=1.0)


@MANY
@given(network=networks(smooth=False), seed=st.integers(0, 2**32 - 1), training=st.booleans())
def test_networks_in_float64(parity, network, seed, training):
    check_network(parity, np.float64, network, seed, training)


@MANY
@given(network=networks(smooth=True), seed=st.integers(0, 2**32 - 1), training=st.booleans())
def test_networks_in_float32(parity, network, seed, training):
    check_network(parity, np.float32, network, seed, training)


def make_net(seed=0):
    rng = np.random.default_rng(seed)
    branch = Sequential(Conv2D(4, 4, 3, padding=1, bias=False, rng=rng), BatchNorm2D(4), Dropout(0.5, rng=rng))
    return Sequential(
        Conv2D(2, 4, 3, rng=rng), Residual(branch, Conv2D(4, 4, 1, rng=rng)), Flatten(), Linear(4 * 4 * 5, 3, rng=rng)
    )


def test_training_steps_follow_pytorch(assert_close):
    """Ten steps of gradient descent on the loss, running statistics included: the two engines stay together."""
    net = make_net()
    net.layers[1].branch.layers[2].p = 0.0
    twin = nn.Sequential(
        nn.Conv2d(2, 4, 3),
        TorchResidual(
            nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.Dropout(0.0)),
            nn.Conv2d(4, 4, 1),
        ),
        nn.Flatten(),
        nn.Linear(80, 3),
    ).double()
    twin.load_state_dict({name: torch.tensor(array) for name, array in net.params.items()}, strict=False)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1)
    loss, torch_loss = CrossEntropyLoss(0.1), nn.CrossEntropyLoss(label_smoothing=0.1)
    rng = np.random.default_rng(1)
    values = []
    x, labels = rng.standard_normal((6, 2, 6, 7)), rng.integers(0, 3, 6)
    for _ in range(10):
        values.append(loss(net(x), labels))
        net.backward(loss.backward())
        for name in net.params:
            net.params[name] -= 0.1 * net.grads[name]
        optimizer.zero_grad()
        expected = torch_loss(twin(torch.tensor(x)), torch.tensor(labels))
        expected.backward()
        optimizer.step()
        assert_close(np.asarray(values[-1]), expected, "loss")
    assert values[-1] < 0.7 * values[0]
    norm = net.layers[1].branch.layers[1]
    assert_close(norm.running_mean, twin[1].branch[1].running_mean, "running mean")
    assert_close(norm.running_var, twin[1].branch[1].running_var, "running variance")


def test_dotted_names_and_order():
    net = make_net()
    assert list(net.params) == [
        "0.weight",
        "0.bias",
        "1.branch.0.weight",
        "1.branch.1.weight",
        "1.branch.1.bias",
        "1.shortcut.weight",
        "1.shortcut.bias",
        "3.weight",
        "3.bias",
    ]
    assert len(net.params) == 9
    assert len(net.grads) == 0
    net.backward(np.ones_like(net(np.random.default_rng(2).standard_normal((2, 2, 6, 7)))))
    assert list(net.grads) == list(net.params)
    assert all(net.grads[name].shape == net.params[name].shape for name in net.params)


def test_params_are_live_both_ways():
    net, x = make_net().eval(), np.random.default_rng(3).standard_normal((2, 2, 6, 7))
    before = net(x)
    net.params["3.weight"] *= 2
    net.params["3.bias"] = np.array([1.0, 2, 3])
    np.testing.assert_allclose(net(x), 2 * before + [1, 2, 3])
    assert np.array_equal(net.layers[3].params["bias"], [1, 2, 3])
    net.layers[1].branch.layers[0].params["weight"] = np.full((4, 4, 3, 3), 0.5)
    assert np.array_equal(net.params["1.branch.0.weight"], np.full((4, 4, 3, 3), 0.5))
    net.params["1.branch.0.weight"][:] = 0.25
    assert np.array_equal(net.layers[1].params["branch.0.weight"], np.full((4, 4, 3, 3), 0.25))
    del net.params["3.bias"]
    assert "bias" not in net.layers[3].params
    assert "3.bias" not in net.params


@pytest.mark.parametrize("name", ["3.wieght", "9.weight", "weight", "1.branch", "1.branch.0.bias", ""])
def test_unknown_names_are_refused(name):
    net = make_net()
    with pytest.raises(KeyError, match=r"there are 0.weight, 0.bias, 1.branch.0.weight|there are weight"):
        net.params[name] = np.zeros(3)
    assert name not in net.params
    with pytest.raises(KeyError, match=r"no grads '0\.weight'; there are none"):
        net.grads["0.weight"]


def test_a_parameter_of_another_shape_is_refused_at_the_next_call():
    net = make_net()
    net.params["3.weight"] = np.zeros((3, 81))
    with pytest.raises(ValueError, match=r"Linear has weight \(3, 81\), expected \(3, 80\)"):
        net(np.zeros((2, 2, 6, 7)))


def test_modes_reach_every_layer():
    net = make_net()
    inside = [*net, *net.layers[1].branch, net.layers[1].shortcut]
    assert net.eval() is net
    assert not any(layer.training for layer in (net, *inside))
    assert net.train() is net
    assert all(layer.training for layer in (net, *inside))


def test_walking_a_network():
    net = make_net()
    assert list(net) == list(net.layers) == [net[position] for position in range(len(net))]
    assert isinstance(net.layers[1], Residual)
    assert isinstance(net.layers[1].shortcut, Conv2D)
    assert Residual(ReLU()).shortcut is None
    net.layers[0].name = "stem"
    assert (net[0].name, net[1].name) == ("stem", "")


def test_without_layers_it_is_the_identity():
    x, dy = np.random.default_rng(4).standard_normal((2, 2, 3))
    net = Sequential()
    y = net(x)
    assert np.array_equal(y, x)
    assert not np.shares_memory(y, x)
    assert np.array_equal(net.backward(dy), dy)
    assert not net.params


def test_residual_shows_both_shapes():
    with pytest.raises(
        ValueError,
        match=r"Residual got input \(2, 3, 8, 9\): its branch gives \(2, 4, 6, 7\), its shortcut \(2, 3, 8, 9\)",
    ):
        Residual(Conv2D(3, 4, 3))(np.zeros((2, 3, 8, 9)))
    with pytest.raises(ValueError, match=r"branch gives \(2, 4, 6, 7\), its shortcut \(2, 4, 8, 9\); they must agree"):
        Residual(Conv2D(3, 4, 3), Conv2D(3, 4, 1))(np.zeros((2, 3, 8, 9)))
    with pytest.raises(ValueError, match="its shortcut"):  # these would broadcast
        Residual(ours.GlobalAveragePool2D())(np.zeros((2, 3, 8, 9)))


def test_one_layer_in_two_places_is_refused():
    relu = ReLU()
    with pytest.raises(ValueError, match="Sequential got the same ReLU in 2 places"):
        Sequential(relu, Linear(3, 3), relu)
    shared = Conv2D(2, 2, 1)
    with pytest.raises(ValueError, match="Residual got the same Conv2D in 2 places"):
        Residual(Sequential(ReLU(), Sequential(shared)), shared)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sequential([ReLU(), Linear(3, 3)]), "Sequential got a list as '0': .* pass layers one by one"),
        (lambda: Sequential(ReLU(), None), "Sequential got a NoneType as '1': expected a layer"),
        (lambda: Sequential(ReLU), "Sequential got the class ReLU as '0': expected a layer"),
        (lambda: Residual([ReLU()]), "Residual got a list as 'branch': expected a layer"),
        (lambda: Residual(ReLU(), nn.ReLU()), "Residual got a ReLU as 'shortcut'"),
    ],
)
def test_what_is_no_layer_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_shows_its_layers():
    assert repr(Sequential(Residual(Linear(3, 3, bias=False)), ReLU())) == (
        "Sequential(\n  0: Residual(\n    branch: Linear(weight (3, 3))\n  )\n  1: ReLU()\n)"
    )
    assert repr(Sequential()) == "Sequential()"
