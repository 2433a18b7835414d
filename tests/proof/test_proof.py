"""The proof holds for every model, and any one thing broken in the NumPy copy flips the verdict and is named."""

import json

import numpy as np
import pytest
import torch

from convscope import numpy_nn
from convscope.convert import to_numpy
from convscope.data import load
from convscope.errors import UsageError
from convscope.models import MODELS
from convscope.proof import Difference, Proof, Tie, prove
from convscope.runs import Run

LAYERS = ["stem.conv", "stem.norm", "group1.0.sum.branch.conv2", "group2.0.sum.shortcut.conv", "head"]


@pytest.fixture(scope="session")
def digits_test():  # type: ignore[no-untyped-def]
    _, test = load("digits")
    return test


def test_a_trained_network_replays_to_rounding(digits_run: Run, digits_test) -> None:
    proof = prove(digits_run, digits_test.images)  # several chunks, the last one short
    assert proof.ok, proof.problem
    assert proof.images == len(digits_test)
    assert 0 < proof.max_abs_diff < 1e-4
    assert proof.gradients is None
    names = [layer.name for layer in proof.layers]
    assert names[:3] == ["stem.conv", "stem.norm", "stem.relu"]
    assert "group2.0.sum.shortcut.conv" in names
    assert names[-1] == "head"
    assert proof.layers[-1].scale == pytest.approx(float(np.abs(digits_run.logits(digits_test.images)).max()), rel=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_any_of_our_models_forward_and_backward(name: str, untrained, pictures) -> None:
    images, labels = pictures(70)
    run = untrained(name)
    proof = prove(run, images, labels=labels)
    assert proof.ok, proof.problem
    assert len(proof.layers) >= len([m for m in run.model.modules() if not list(m.children())])
    found = proof.gradients
    assert found is not None
    names = ["input", *(name for name, _ in run.model.named_parameters())]
    assert [d.name for d in found.train] == [d.name for d in found.eval] == names
    assert all(d.scale > 0 for d in found.train)
    kept = {name for name, value in run.model.state_dict().items() if value.is_floating_point()}
    assert {d.name for d in found.step} == kept
    assert found.grad_cam is not None
    assert found.grad_cam.name == run.model.cam_layer
    assert found.dropout == (("dropout",) if name == "deep-cnn" else ())


@pytest.mark.parametrize("layer", LAYERS)
def test_a_thousandth_in_one_layers_weight_is_found_and_named(digits_run: Run, digits_test, find, layer: str) -> None:
    network = to_numpy(digits_run.model)
    find(network, layer).params["weight"] *= np.float32(1.001)
    proof = prove(digits_run, digits_test.images[:40], network)
    assert not proof.ok
    assert proof.problem.startswith(f"layer {layer} is ")
    assert next(d.name for d in proof.layers if not d.ok) == layer


@pytest.mark.parametrize("layer", LAYERS)
def test_a_hundredth_in_one_single_weight_is_found_and_named(digits_run: Run, digits_test, find, layer: str) -> None:
    network = to_numpy(digits_run.model)
    weight = find(network, layer).params["weight"]
    weight.flat[np.abs(weight).argmax()] *= np.float32(1.01)
    assert prove(digits_run, digits_test.images[:40], network).problem.startswith(f"layer {layer} is ")


class WeightGradientOff(numpy_nn.Conv2D):
    def _backward(self, dy):  # type: ignore[no-untyped-def]
        dx = super()._backward(dy)
        self.grads["weight"].flat[5] *= 1 + 1e-3
        return dx


class OffInEvalMode(numpy_nn.BatchNorm2D):
    def _backward(self, dy):  # type: ignore[no-untyped-def]
        return super()._backward(dy) * (1 if self._batch_mode else 1.001)


class BiasedVariance(numpy_nn.BatchNorm2D):
    def _record(self, mean, variance, x):  # type: ignore[no-untyped-def]
        values = x.size // self.num_features
        super()._record(mean, variance * ((values - 1) / values), x)


class SumInsteadOfMean(numpy_nn.GlobalAveragePool2D):
    def _backward(self, dy):  # type: ignore[no-untyped-def]
        return super()._backward(dy) * (self._shape[2] * self._shape[3])


@pytest.mark.parametrize(
    ("layer", "broken", "problem"),
    [
        (
            "group1.1.sum.branch.conv1",
            WeightGradientOff,
            "in train mode the gradient of group1.1.sum.branch.conv1.weight",
        ),
        ("group2.1.sum.branch.norm2", OffInEvalMode, "in eval mode the gradient of input"),
        ("group2.0.sum.shortcut.norm", BiasedVariance, "after 2 steps of SGD group2.0.sum.shortcut.norm.running_var"),
    ],
)
def test_one_broken_thing_of_the_backward_pass_is_named(
    digits_run: Run, digits_test, find, layer: str, broken: type, problem: str
) -> None:
    network = to_numpy(digits_run.model)
    find(network, layer).__class__ = broken
    proof = prove(digits_run, digits_test.images[:12], network, labels=digits_test.labels[:12])
    assert not proof.ok
    assert proof.problem.startswith(problem)
    assert all(d.ok for d in proof.layers)
    if broken is BiasedVariance:
        assert [d.name for d in proof.gradients.step if not d.ok] == [f"{layer}.running_var"]


def test_a_wrong_backward_pass_makes_a_wrong_map(digits_run: Run, digits_test, find) -> None:
    network = to_numpy(digits_run.model)
    find(network, "pool").__class__ = SumInsteadOfMean
    proof = prove(digits_run, digits_test.images[:12], network, labels=digits_test.labels[:12])
    assert not proof.gradients.grad_cam.ok
    assert proof.gradients.grad_cam.relative == pytest.approx(15, rel=1e-3)  # 4×4 places


def test_a_nan_is_no_agreement(digits_run: Run, find) -> None:
    network = to_numpy(digits_run.model)
    find(network, "head").params["bias"][3] = np.nan
    proof = prove(digits_run, np.zeros((2, 1, 8, 8), np.uint8), network)
    assert proof.problem.startswith("layer head is not finite")
    assert not proof.same_predictions


def test_what_is_not_finite_is_not_taken_backward(digits_run: Run, digits_test, find) -> None:
    """The proof of the forward pass stays, and names the layer in which it began."""
    network = to_numpy(digits_run.model)
    find(network, "stem.conv").params["weight"][0, 0, 0, 0] = np.inf
    proof = prove(digits_run, digits_test.images[:8], network, digits_test.labels[:8])
    assert proof.gradients is None
    assert proof.problem.startswith("layer stem.conv is not finite")


def test_the_verdict_names_what_comes_first() -> None:
    good, bad = Difference("one", "Conv2D", 1e-7, 1.0, 1e-6), Difference("two", "ReLU", 2e-6, 1.0, 1e-6)
    near, far = Tie(7, 1, 2, 1e-7, 1e-6), Tie(9, 2, 1, 1e-5, 1e-6)
    assert Proof((good,), 10).ok
    tied = Proof((good,), 10, (near,))
    assert tied.ok
    assert tied.ties == (near,)
    assert tied.same_predictions
    disputed = Proof((good,), 10, (near, far))
    assert not disputed.ok
    assert not disputed.same_predictions
    assert disputed.ties == (near,)
    assert disputed.problem.startswith("picture 9 is class 2 in NumPy and 1 in PyTorch by a margin of 1.0e-05")
    assert Proof((good, bad, bad), 10, (far,)).problem == "layer two is 2.0e-06 off, rounding explains 1.0e-06"


def test_proving_leaves_the_run_alone(digits_run: Run, digits_test) -> None:
    before = {name: value.clone() for name, value in digits_run.model.state_dict().items()}
    network = to_numpy(digits_run.model)
    params = {name: value.copy() for name, value in network.params.items()}
    stream = torch.get_rng_state()
    prove(digits_run, digits_test.images[:5], network, labels=digits_test.labels[:5])
    assert all(torch.equal(value, before[name]) for name, value in digits_run.model.state_dict().items())
    assert not any(m._forward_hooks or m.training for m in digits_run.model.modules())
    assert all(p.grad is None for p in digits_run.model.parameters())
    assert all(np.array_equal(value, params[name]) for name, value in network.params.items())
    assert torch.equal(torch.get_rng_state(), stream)


def test_refuses(digits_run: Run) -> None:
    images = np.zeros((3, 1, 8, 8), np.uint8)
    with pytest.raises(UsageError, match="at least one picture, got none"):
        prove(digits_run, images[:0])
    with pytest.raises(UsageError, match=r"at least two pictures .* got 1"):
        prove(digits_run, images[:1], labels=np.zeros(1, np.int64))
    with pytest.raises(UsageError, match="2 labels for 3 pictures"):
        prove(digits_run, images, labels=np.zeros(2, np.int64))


def test_json_of_a_broken_run_is_json(digits_run: Run, find) -> None:
    from convscope.cli.verdicts import _proof_values

    network = to_numpy(digits_run.model)
    find(network, "head").params["bias"][3] = np.nan
    proof = prove(digits_run, np.zeros((2, 1, 8, 8), np.uint8), network)
    values = json.loads(json.dumps(_proof_values(digits_run, proof), allow_nan=False))
    assert values["max_abs_diff"] is None
    assert values["layers"][-1]["max_abs_diff"] is None
    assert values["ok"] is False
