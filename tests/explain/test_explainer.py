"""explain(): targets, layers and refusals, the state it leaves behind, and threads that share a model."""

import contextlib
import copy
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from convscope.errors import ConvscopeError, UsageError
from convscope.explain import METHODS, explain, feature_maps
from convscope.explain.cam import grad_cam
from convscope.explain.methods import is_of_input


class Opponent(nn.Module):
    """The layer `positive` gives only positive values; class 0 weighs them all negatively, class 1 positively."""

    def __init__(self):
        super().__init__()
        self.conv, self.positive = nn.Conv2d(3, 4, 3), nn.Sigmoid()
        self.head = nn.Linear(4, 2)
        with torch.no_grad():
            self.head.weight[0] = -torch.rand(4) - 0.1
            self.head.weight[1] = torch.rand(4) + 0.1

    def forward(self, x):
        return self.head(self.positive(self.conv(x)).mean(dim=(2, 3)))


class AlwaysDropout(nn.Module):
    """Draws from the global stream in eval mode too, as `F.dropout` does when its flag is forgotten."""

    def __init__(self, fail=False):
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()
        self.head = nn.Linear(4, 2)
        self.fail = fail

    def forward(self, x):
        x = self.relu(self.norm(self.conv(F.dropout(x))))
        if self.fail:
            raise ArithmeticError("the model's own trouble")
        return self.head(x.mean(dim=(2, 3)))


class Twice(nn.Module):
    """One ReLU for two places; a layer of one position; ends as every method wants it."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu, self.second = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(4, 3)

    def forward(self, x):
        x = self.relu(self.second(self.relu(self.conv(x))))
        return self.head(self.pool(x).flatten(1))


class FailsBackward(torch.autograd.Function):
    """The identity, but that no gradient comes back."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise ArithmeticError("a method's own trouble")


class FailsLater(AlwaysDropout):
    """Its first forward pass works; its second, and the way back through any, fail."""

    passes = 0

    def forward(self, x):
        self.passes += 1
        logits = super().forward(x)
        if self.passes > 1:
            raise ArithmeticError("a method's own trouble")
        return FailsBackward.apply(logits)


class TestWhatIsExplained:
    def test_everything_that_is_needed_to_read_the_maps(self, make, pictures):
        model, images = make("gap", seed=4), pictures(6)
        found = explain(model, images, target=[0, 1, 2, 3, 4, 0], layer="features.4")
        evaluated = copy.deepcopy(model).eval()
        with torch.no_grad():
            logits = evaluated(images)
        np.testing.assert_allclose(found.logits, logits, rtol=1e-6)
        maps = grad_cam(evaluated, "features.4", images, torch.tensor([0, 1, 2, 3, 4, 0]))
        np.testing.assert_allclose(found.maps, maps, rtol=1e-6)
        assert found.maps.dtype == np.float32
        assert found.maps.shape == (6, 5, 7)
        assert found.targets.dtype == np.int64
        assert (found.layer, found.method) == ("features.4", "grad-cam")
        assert (found.maps < 0).any(), "the sign is kept"

    def test_the_predicted_class_is_that_of_eval_mode(self, make, pictures):
        model, images = make("gap", seed=1), pictures(16)
        with torch.no_grad():
            expected = copy.deepcopy(model).eval()(images).argmax(1)
        assert len(set(expected.tolist())) > 1
        found = explain(model, images)
        np.testing.assert_array_equal(found.targets, expected)

    @pytest.mark.parametrize(
        "target", [3, np.int64(3), [3, 3], (3, 3), np.array([3, 3]), torch.tensor([3, 3]), torch.tensor(3)]
    )
    def test_a_target_in_any_form(self, make, pictures, target):
        model, images = make("gap"), pictures(2)
        np.testing.assert_array_equal(explain(model, images, target).targets, [3, 3])

    def test_float64_models(self, make, pictures):
        model, images = make("deep", dtype=torch.float64), pictures(2, dtype=torch.float64)
        maps = grad_cam(model, "middle", images, torch.tensor([1, 2]))
        np.testing.assert_array_equal(explain(model, images, [1, 2], "middle").maps, maps.numpy().astype(np.float32))

    def test_batch_of_eight_is_eight_singles(self, make, pictures):
        model, images = make("deep"), pictures(8)
        together = explain(model, images, layer="last")
        for i in range(8):
            single = explain(model, images[i : i + 1], layer="last")
            np.testing.assert_allclose(single.maps[0], together.maps[i], atol=1e-6 * np.abs(together.maps).max())
            assert single.evidence == together.evidence[i : i + 1]


class TestLayer:
    def test_defaults_to_the_one_the_model_names(self, make, pictures):
        model = make("gap")
        model.cam_layer = "features.2"
        assert explain(model, pictures(1)).layer == "features.2"
        assert explain(model, pictures(1), layer="features.0").layer == "features.0"

    def test_else_the_last_spatial_one(self, make, pictures):
        assert explain(make("gap"), pictures(1)).layer == "features"
        assert explain(make("deep"), pictures(1)).layer == "last"

    def test_refusals_reach_the_caller(self, make, pictures):
        with pytest.raises(UsageError, match=r"has no layer 'nowhere'; choose from features.0"):
            explain(make("gap"), pictures(1), layer="nowhere")
        with pytest.raises(UsageError, match="'head' cannot be used"):
            explain(make("gap"), pictures(1), layer="head")


class TestEvidence:
    def test_nothing_argues_for_the_class(self, make, pictures):
        found = explain(make(Opponent), pictures(4), target=[0, 1, 0, 1], layer="positive")
        assert found.evidence == ("none", "positive", "none", "positive")
        heat = found.heatmaps((10, 14))
        assert not heat[[0, 2]].any()
        assert np.isfinite(heat).all()
        np.testing.assert_array_equal(heat[[1, 3]].max(axis=(1, 2)), 1)
        assert (found.maps[0] < 0).all(), "the raw map still says how much speaks against"

    def test_rounding_is_not_evidence(self):
        """Three equal channels whose weights add to nothing: what is left of the sum is rounding, so no heat."""
        model = nn.Sequential(nn.Conv2d(1, 3, 1, bias=False), nn.Flatten(), nn.Linear(60, 1, bias=False)).eval()
        with torch.no_grad():
            model[0].weight[:] = 1
            model[2].weight[:] = torch.tensor([0.3, -0.1, -0.2]).repeat_interleave(20)
        images = torch.linspace(1, 2, 20).view(1, 1, 4, 5)
        activation = model[0](images)
        naive = (torch.tensor([0.3, -0.1, -0.2]).view(3, 1, 1) * activation[0]).sum(0)
        assert naive.max() > 0, "the trap is not set"
        found = explain(model, images, layer="0")
        assert found.evidence == ("none",)
        assert not found.heatmaps((4, 5)).any()

    def test_maps_that_are_not_finite_are_an_error_not_an_empty_map(self, make, pictures):
        images = pictures(3)
        images[1, 0, 4, 4] = float("nan")
        with pytest.raises(ConvscopeError, match=r"not finite for 1 of 3 pictures \(first: 1\)"):
            explain(make("gap"), images, target=0)


class TestRefusedByEveryMethod:
    """What no method may answer with a blank map, or with half of the answers."""

    @pytest.mark.parametrize("method", [name for name in METHODS if not is_of_input(METHODS.load(name))])
    def test_a_module_that_runs_twice_and_a_layer_of_one_position(self, pictures, method):
        model = Twice()
        with pytest.raises(UsageError, match=r"'relu' cannot be used: it runs 2 times .* which: relu#1, relu#2"):
            explain(model, pictures(2), layer="relu", method=method)
        with pytest.raises(UsageError, match="'pool' cannot be used: its output is 1×1"):
            explain(model, pictures(2), layer="pool", method=method)
        assert explain(model, pictures(2), layer="relu#2", method=method).layer == "relu#2"

    @pytest.mark.parametrize("method", METHODS)
    def test_fewer_targets_than_pictures(self, make, pictures, method):
        with pytest.raises(UsageError, match="got 2 targets for 3 pictures"):
            explain(make("gap"), pictures(3), [0, 1], method=method)


class TestRefusals:
    @pytest.mark.parametrize(
        ("target", "words"),
        [
            ([0, 1], "got 2 targets for 3 pictures"),
            (np.array([0, 1, 2, 3]), "got 4 targets for 3 pictures"),
            (5, "target 5 is not a class: the model has 5, 0 to 4"),
            ([0, -1, 2], "target -1 is not a class"),
            ([0, 1.0, 2], "a target is an integer from 0 to 4, got 1.0"),
            (torch.tensor([0.0, 1.0, 2.0]), "a target is an integer"),
            (True, "target True is not a class"),
            ("cat", "got 'cat'"),
            ([[0], [1], [2]], r"got \[0\]"),
            ({0: 1}, "a target is an integer"),
        ],
    )
    def test_targets(self, make, pictures, target, words):
        with pytest.raises(UsageError, match=words):
            explain(make("gap"), pictures(3), target)

    @pytest.mark.parametrize(
        ("images", "words"),
        [
            (np.zeros((1, 3, 8, 8), dtype=np.float32), "must be a torch tensor .* got ndarray"),
            (torch.zeros(3, 8, 8), r"got \(3, 8, 8\); for one picture pass images\[None\]"),
            (torch.zeros(0, 3, 8, 8), "N of at least 1"),
            (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "got torch.uint8; preprocess them first"),
        ],
    )
    def test_images(self, make, images, words):
        with pytest.raises(UsageError, match=words):
            explain(make("gap"), images)

    @pytest.mark.parametrize(
        "ask", [explain, lambda model, images: explain(model, images, layer="middle"), feature_maps]
    )
    @pytest.mark.parametrize("theirs", [torch.float64, torch.float16])
    def test_another_precision_than_the_models(self, make, pictures, ask, theirs):
        words = (
            rf"^images are {theirs} but the parameters of DeepNet are torch.float32; pass images.to\(torch.float32\).*$"
        )
        with pytest.raises(UsageError, match=words) as caught:
            ask(make("deep"), pictures(2).to(theirs))
        assert "\n" not in str(caught.value)

    def test_a_model_that_converts_its_pictures_may_get_any_precision(self, make, pictures):
        class Converting(type(make("gap"))):
            def forward(self, x):
                return super().forward(x.float())

        model, images = make(Converting), pictures(2)
        np.testing.assert_allclose(explain(model, images.double()).maps, explain(model, images).maps, rtol=1e-6)

    def test_the_models_own_runtime_error_comes_through(self, pictures):
        with pytest.raises(RuntimeError, match="4 channels"):
            explain(nn.Sequential(nn.Conv2d(4, 2, 3)), pictures(1))

    def test_method(self, make, pictures):
        with pytest.raises(UsageError, match="unknown explanation method 'guess'; choose from grad-cam"):
            explain(make("gap"), pictures(1), method="guess")


def snapshot(model):
    """Everything the state contract speaks of, by value and by identity."""
    modules = dict(model.named_modules())
    return {
        "modules": {name: id(module) for name, module in modules.items()},
        "hooks": {
            (name, table): list(value.items())
            for name, module in modules.items()
            for table, value in vars(module).items()
            if "hooks" in table and isinstance(value, dict)
        },
        "attributes": {name: sorted(vars(module)) for name, module in modules.items()},
        "modes": {name: module.training for name, module in modules.items()},
        "parameters": {
            name: (id(p), p.data_ptr(), p.requires_grad, id(p.grad), p.detach().tolist(), p._version)
            for name, p in model.named_parameters()
        },
        "grads": {n: None if p.grad is None else p.grad.tolist() for n, p in model.named_parameters()},
        "buffers": {name: (id(b), b.data_ptr(), b.tolist()) for name, b in model.named_buffers()},
        "random": torch.get_rng_state().tolist(),
        "python's": random.getstate(),
        "numpy's": [part.tolist() if isinstance(part, np.ndarray) else part for part in np.random.get_state()],  # noqa: NPY002
    }


def used(model):
    """A model in the middle of its life: some gradients set, some not, mixed modes, one frozen layer, a user's hook."""
    model.features[0].weight.grad = torch.randn_like(model.features[0].weight)
    model.head.bias.grad = torch.zeros_like(model.head.bias)
    model.features[1].eval()
    model.features[4].requires_grad_(False)
    seen = []
    model.features[3].register_forward_hook(lambda *_: seen.append(1))
    return model, seen


CALLS = [pytest.param(lambda m, x, n=name: explain(m, x, method=n), id=name) for name in METHODS]
CALLS += [pytest.param(lambda m, x: feature_maps(m, x), id="feature-maps")]


@pytest.mark.parametrize("call", CALLS)
class TestLeavesTheModelAsFound:
    @pytest.mark.parametrize("mode", [contextlib.nullcontext, torch.no_grad, torch.inference_mode])
    def test_in_train_mode_with_gradients_half_set(self, make, pictures, call, mode):
        model, seen = used(make("gap"))
        before = snapshot(model)
        with mode():
            call(model, pictures(2))
            assert torch.is_grad_enabled() == (mode is contextlib.nullcontext)
            assert torch.is_inference_mode_enabled() == (mode is torch.inference_mode)
        assert snapshot(model) == before
        assert seen == [], "the user's hook has seen our pass"

    def test_frozen(self, make, pictures, call):
        model = make("gap").eval().requires_grad_(False)
        before = snapshot(model)
        call(model, pictures(2))
        assert snapshot(model) == before

    def test_a_stochastic_model(self, pictures, call):
        model = AlwaysDropout()
        before = snapshot(model)
        call(model, pictures(2))
        assert snapshot(model) == before

    def test_after_an_exception_in_the_models_forward(self, pictures, call):
        model = AlwaysDropout(fail=True)
        before = snapshot(model)
        with pytest.raises(ArithmeticError, match="own trouble"):
            call(model, pictures(2))
        assert snapshot(model) == before

    def test_after_an_exception_in_the_middle_of_a_method(self, pictures, call):
        model = FailsLater()
        model.cam_layer = "relu"  # else the pass that looks for a layer were the first
        model.conv.weight.grad = torch.ones_like(model.conv.weight)
        before = snapshot(model)
        with pytest.raises(ArithmeticError, match="a method's own trouble"):
            call(model, pictures(2))
        assert snapshot(model) == before

    def test_training_goes_on_as_if_nothing_had_happened(self, make, pictures, call):
        def train(between):
            model = make("gap")
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
            torch.manual_seed(5)
            for step in range(3):
                loss = F.cross_entropy(model(pictures(4, seed=step)), torch.tensor([0, 1, 2, 3]))
                between(model)
                loss.backward()
                between(model)
                optimizer.step()
                optimizer.zero_grad()
            return [value.tolist() for value in model.state_dict().values()]

        assert train(lambda model: call(model, pictures(2))) == train(lambda model: None)


@pytest.mark.parametrize("mode", [contextlib.nullcontext, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_the_answer_does_not_depend_on_the_callers_mode(make, pictures, method, mode, frozen):
    expected = explain(make("gap").eval(), pictures(3), method=method)
    with mode():
        model = make("gap")  # under inference_mode, its parameters are inference tensors
        model.requires_grad_(not frozen)
        images = pictures(3)
        found = explain(model, images, torch.from_numpy(expected.targets).clone(), method=method)
        np.testing.assert_array_equal(explain(model, images, method=method).maps, expected.maps)
    np.testing.assert_array_equal(found.maps, expected.maps)


def test_images_that_require_grad_are_left_alone(make, pictures):
    images = pictures(2).requires_grad_()
    explain(make("gap"), images)
    assert images.grad is None


def test_four_threads_on_one_model_give_one_threads_answers(make, pictures):
    """Different layers, pictures and targets at once, on a model in train mode with an in-place ReLU."""
    model = make("gap")
    before = snapshot(model)
    tasks = [(pictures(2, seed=i), i % 5, ["features.1", "features.4", "features"][i % 3]) for i in range(12)]
    expected = [explain(model, *task).maps for task in tasks]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(15):
            results = list(pool.map(lambda task: explain(model, *task).maps, tasks))
            for found, wanted in zip(results, expected, strict=True):
                np.testing.assert_array_equal(found, wanted)
    assert snapshot(model) == before


@pytest.mark.parametrize("method", METHODS)
def test_four_threads_on_one_model_whatever_the_method(make, pictures, method):
    model = make("gap")
    before = snapshot(model)
    tasks = [(pictures(2, seed=i), i % 5) for i in range(8)]
    expected = [explain(model, *task, method=method).maps for task in tasks]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            results = list(pool.map(lambda task: explain(model, *task, method=method).maps, tasks))
            for found, wanted in zip(results, expected, strict=True):
                np.testing.assert_array_equal(found, wanted)
    assert snapshot(model) == before


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_is_its_pictures_one_by_one(make, pictures, method):
    """64 pictures, in float64, so that nothing but the method can make them differ."""
    model, images = make("gap", dtype=torch.float64), pictures(64, dtype=torch.float64)
    targets = np.arange(64) % 5
    together = explain(model, images, targets, method=method)
    for i in range(0, 64, 7):
        single = explain(model, images[i : i + 1], targets[i : i + 1], method=method)
        np.testing.assert_allclose(single.maps[0], together.maps[i], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_maps_are_of_the_layer_or_of_the_pictures(make, pictures, method):
    found = explain(make("gap"), pictures(2), method=method)
    of_pixels = not method.endswith("cam") and method != "grad-cam++"
    assert found.maps.shape[1:] == ((10, 14) if of_pixels or method == "guided-grad-cam" else (5, 7))
    assert (found.layer == "input") is of_pixels
    assert found.heatmaps((20, 28)).max() == 1
    if of_pixels:
        with pytest.raises(UsageError, match="explains the picture's own pixels; leave layer 'features' out"):
            explain(make("gap"), pictures(2), layer="features", method=method)


def test_import_adds_nothing_to_torch_numpy_and_pillow():
    code = """
import sys, torch, numpy, PIL.Image
before = {name.split(".")[0] for name in sys.modules}
import convscope.explain
print(*sorted({name.split(".")[0] for name in sys.modules} - before))
"""
    added = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert added == ["convscope"]
