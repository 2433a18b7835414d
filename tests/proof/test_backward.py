"""Gradients, steps and Grad-CAM in float64: an optimiser, a mask or a map that is off is told from ours."""

import numpy as np
import pytest

from convscope.config import TrainConfig
from convscope.convert import to_numpy
from convscope.numpy_nn import SGD, Dropout
from convscope.proof.backward import (
    Batch,
    Twins,
    compare_grad_cam,
    compare_gradients,
    compare_steps,
    leaves,
    numpy_grad_cam,
    torch_sgd,
)
from convscope.runs import Run
from convscope.training.optimizers import make_optimizer

TRAIN = TrainConfig(lr=0.2, momentum=0.8, weight_decay=0.01, label_smoothing=0.1)


@pytest.fixture
def batch(pictures) -> Batch:
    images, labels = pictures(6)
    return Batch(images.astype(np.float64) / 128 - 1, labels, TRAIN)


def twins(run: Run, training: bool) -> Twins:
    return Twins.of(run.model, to_numpy(run.model), training)


class MinusMomentum(SGD):
    def _move(self, name, parameter, gradient):  # type: ignore[no-untyped-def]
        self.state[name] = -self.state.get(name, np.zeros_like(gradient))  # and so μ v is added with the wrong sign
        super()._move(name, parameter, gradient)


class Plain(SGD):
    def __init__(self, params, lr, momentum, nesterov, weight_decay, decayed):  # type: ignore[no-untyped-def]
        super().__init__(params, lr, momentum, False, weight_decay, decayed)


class DecayEverywhere(SGD):
    def __init__(self, params, lr, momentum, nesterov, weight_decay, decayed):  # type: ignore[no-untyped-def]
        super().__init__(params, lr, momentum, nesterov, weight_decay)


@pytest.mark.parametrize("optimizer", [MinusMomentum, Plain, DecayEverywhere])
def test_another_optimiser_is_told_from_sgd(untrained, batch: Batch, optimizer: type[SGD]) -> None:
    run = untrained("tiny-resnet", base_channels=4)
    assert all(d.ok for d in compare_steps(twins(run, True), batch))
    wrong = {d.name for d in compare_steps(twins(run, True), batch, optimizer) if not d.ok}
    shapes = {name: value.ndim for name, value in run.model.named_parameters()}
    expected = {name for name, axes in shapes.items() if axes == 1} if optimizer is DecayEverywhere else set(shapes)
    assert expected <= wrong


@pytest.mark.parametrize("momentum", [0.0, 0.8])
@pytest.mark.parametrize("name", ["tiny-resnet", "lenet5"])
def test_the_steps_are_set_up_as_training_sets_them_up(untrained, name: str, momentum: float) -> None:
    model = untrained(name).model
    config = TRAIN.model_copy(update={"momentum": momentum, "optimizer": "sgd"})
    ours, trained = torch_sgd(model, config), make_optimizer(model, config)
    assert type(trained) is type(ours)
    assert len(ours.param_groups) == len(trained.param_groups) == 2
    for one, other in zip(ours.param_groups, trained.param_groups, strict=True):
        assert one.keys() == other.keys()
        assert len(one["params"]) == len(other["params"]) > 0
        assert all(p is q for p, q in zip(one["params"], other["params"], strict=True))
        assert {key: one[key] for key in one if key != "params"} == {key: other[key] for key in one if key != "params"}


def test_a_step_is_the_settings_of_the_run(untrained, batch: Batch) -> None:
    """A parameter after two steps, by hand."""
    run = untrained("simple-cnn", initial_channels=4, hidden=8)
    pair = twins(run, True)
    p = pair.network.params["9.bias"].copy()
    compare_steps(pair, Batch(batch.x, batch.labels, TRAIN.model_copy(update={"lr": 1e-9})))
    moved = pair.network.params["9.bias"] - p
    fresh = twins(run, True)
    g = next(d for d in compare_gradients(fresh, batch) if d.name == "linear2.bias")
    m = TRAIN.momentum
    assert np.abs(moved).max() == pytest.approx(1e-9 * g.scale * ((1 + m) + (1 + m * (1 + m))), rel=1e-5)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_dropout_has_the_same_masks_on_both_sides(untrained, batch: Batch, training: bool) -> None:
    run = untrained("deep-cnn", num_blocks=2, initial_channels=4, dropout=0.5)
    pair = twins(run, training)
    assert all(d.ok for d in compare_gradients(pair, batch))
    assert all(d.ok for d in compare_gradients(pair, batch))  # of the second forward too
    if not training:
        return
    layer = next(layer for layer in leaves(pair.network) if isinstance(layer, Dropout))
    layer.rng = np.random.default_rng(99)
    assert not all(d.ok for d in compare_gradients(pair, batch))
    pair = twins(run, training)
    next(layer for layer in leaves(pair.network) if isinstance(layer, Dropout)).p = 0.4
    assert not all(d.ok for d in compare_gradients(pair, batch))


def one_weight_negated(network, layer, x):  # type: ignore[no-untyped-def]
    """Grad-CAM with the weight of channel 2 negated: Σ w A - 2 w₂ A₂, by zeroing that channel's way to the logits."""
    maps, targets = numpy_grad_cam(network, layer, x)
    head = network.layers[-1].params
    kept = head["weight"].copy()
    head["weight"][:, 2] = 0
    without, _ = maps_for(network, layer, x, targets)
    head["weight"][:] = kept
    return 2 * without - maps, targets


def maps_for(network, layer, x, targets):  # type: ignore[no-untyped-def]
    """Grad-CAM for given targets, through a bias that makes each the prediction."""
    head = network.layers[-1].params
    kept = head["bias"].copy()
    maps = []
    for picture, target in zip(x, targets, strict=True):
        head["bias"][:] = kept
        head["bias"][target] += 1e6
        maps.append(numpy_grad_cam(network, layer, picture[None])[0])
    head["bias"][:] = kept
    return np.concatenate(maps), targets


def summed(network, layer, x):  # type: ignore[no-untyped-def]
    maps, targets = numpy_grad_cam(network, layer, x)
    return 99 * maps, targets  # the sum over places in place of the mean


def of_another_class(network, layer, x):  # type: ignore[no-untyped-def]
    _, targets = numpy_grad_cam(network, layer, x)
    return maps_for(network, layer, x, (targets + 1) % 6)[0], targets


@pytest.mark.parametrize("method", [one_weight_negated, summed, of_another_class])
def test_a_wrong_map_is_told_from_grad_cam(untrained, batch: Batch, method) -> None:  # type: ignore[no-untyped-def]
    pair = twins(untrained("tiny-resnet", base_channels=4), False)
    right = compare_grad_cam(pair, batch)
    assert right is not None
    assert right.ok
    assert right.scale > 1e-3
    wrong = compare_grad_cam(pair, batch, method)
    assert not wrong.ok
    assert wrong.name == "group2.1.relu"


@pytest.mark.parametrize(
    "layer", ["stem.norm", "group1.0.sum", "group2.0.sum.shortcut.conv", "group2.0.sum.branch.norm2"]
)
def test_the_map_at_any_layer(untrained, batch: Batch, layer: str) -> None:
    pair = twins(untrained("tiny-resnet", base_channels=4), False)
    pair.model.cam_layer = layer
    found = compare_grad_cam(pair, batch)
    assert found is not None
    assert found.ok
    assert found.scale > 1e-4


def test_a_model_without_a_cam_layer_has_no_map(untrained, batch: Batch) -> None:
    pair = twins(untrained("tiny-resnet", base_channels=4), False)
    pair.model.cam_layer = None
    assert compare_grad_cam(pair, batch) is None


def test_a_gradient_that_is_missing_is_infinitely_off(untrained, batch: Batch) -> None:
    pair = twins(untrained("lenet5"), False)
    del pair.network.params["0.bias"]
    found = {d.name: d for d in compare_gradients(pair, batch)}
    assert found["conv1.bias"].max_abs_diff == float("inf")
    assert not found["conv1.bias"].ok
