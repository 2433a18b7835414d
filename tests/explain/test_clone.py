"""The private copy computes the same function, shares the weights, and nothing done to it reaches the model."""

import copy
import threading

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

from convscope.errors import ConvscopeError, UsageError
from convscope.explain.clone import eval_clone


def test_same_function_in_eval_mode_from_a_model_in_train_mode(make, pictures):
    model = make("gap")
    assert model.training
    clone = eval_clone(model)
    assert not any(module.training for module in clone.modules())
    assert all(module.training for module in model.modules())
    with torch.no_grad():
        torch.testing.assert_close(clone(pictures(3)), copy.deepcopy(model).eval()(pictures(3)), rtol=0, atol=0)


def test_parameters_are_shared_and_need_no_gradient_buffers_are_copied(make):
    model = make("gap")
    clone = eval_clone(model)
    for ours, theirs in zip(clone.parameters(), model.parameters(), strict=True):
        assert ours is not theirs
        assert ours.data_ptr() == theirs.data_ptr()
        assert not ours.requires_grad
        assert theirs.requires_grad
    for ours, theirs in zip(clone.buffers(), model.buffers(), strict=True):
        assert ours.data_ptr() != theirs.data_ptr()
        assert torch.equal(ours, theirs)
    assert not {id(m) for m in clone.modules()} & {id(m) for m in model.modules()}


def test_tied_weights_stay_tied():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(2, 2, 3)
            self.second = nn.Conv2d(2, 2, 3)
            self.second.weight = self.first.weight
            self.again = self.first

    clone = eval_clone(Tied())
    assert clone.first.weight is clone.second.weight
    assert clone.again is clone.first


def test_what_modules_share_the_copy_s_modules_share_and_nobody_else(pictures):
    """Even where it is empty, or a name for a function; hooks are each module's own."""

    class Noting(nn.Conv2d):
        def __init__(self, notes, further):
            super().__init__(3, 3, 1)
            self.notes, self.further, self.act = notes, further, F.relu

        def forward(self, x):
            self.notes.append(len(x))
            return self.act(super().forward(x))

    notes, further = [], {}
    model = nn.Sequential(Noting(notes, further), Noting(notes, further))
    clone = eval_clone(model)
    clone(pictures(2))
    assert notes == []
    assert clone[0].notes is clone[1].notes
    assert clone[0].notes == [2, 2]
    assert clone[0].further is clone[1].further is not further
    assert clone[0].act is F.relu
    seen = []
    clone[1].register_forward_hook(lambda *_: seen.append(1))
    clone(pictures(1))
    model(pictures(1))
    assert seen == [1]


def test_parameters_of_a_class_of_their_own_are_shared_too():
    class Named(nn.Parameter):
        pass

    model = nn.Linear(3, 2)
    model.weight = Named(model.weight.detach(), requires_grad=True)
    clone = eval_clone(model)
    assert clone.weight.data_ptr() == model.weight.data_ptr()
    assert not clone.weight.requires_grad
    assert model.weight.requires_grad


def test_buffers_that_are_not_saved_are_not_in_the_copy_either(make):
    model = make("gap")
    model.register_buffer("scratch", torch.ones(2), persistent=False)
    clone = eval_clone(model)
    assert clone.state_dict().keys() == model.state_dict().keys()
    clone.register_buffer("more", torch.ones(2), persistent=False)
    model.more = nn.Buffer(torch.ones(3))
    assert "more" in model.state_dict()


class Awkward(nn.Module):
    """References that a shallow copy would get wrong, each leading back to a layer of the original."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.in_a_list = [self.conv]
        self.bound = self.conv.forward
        self.activations = {"last": [self.conv.weight * 2]}  # not a leaf: deepcopy refuses such a tensor
        self.count = torch.zeros(())

    def forward(self, x):
        self.count += 1
        self.activations["last"].append(x)
        return self.in_a_list[0](x) + self.bound(x)


def test_references_inside_the_model_lead_to_the_copy(pictures):
    model = Awkward()
    clone = eval_clone(model)
    assert clone.in_a_list[0] is clone.conv
    assert clone.bound.__self__ is clone.conv
    clone(pictures(2))
    assert len(clone.activations["last"]) == 2
    assert len(model.activations["last"]) == 1
    assert model.count == 0


def test_user_hooks_are_left_out(make, pictures):
    model = make("gap").eval()
    fired = []

    class Recorder:
        def __init__(self):
            self.outputs = [model.head.weight * 2]  # cannot be deep-copied, and need not be

        def __call__(self, *arguments):
            fired.append(arguments)

        bound = __call__

    recorder = Recorder()
    model.head.register_forward_hook(recorder.bound)
    model.features[0].register_forward_pre_hook(recorder)
    model.features.register_full_backward_hook(recorder.bound)
    model.register_state_dict_post_hook(recorder)
    clone = eval_clone(model)
    clone(pictures(2).requires_grad_()).sum().backward()
    assert fired == []
    model(pictures(2))
    assert len(fired) == 2


class TestComputedWeights:
    """A weight that a hook or a parametrization computes at each pass is part of the function."""

    def test_pruning(self, make, pictures):
        model = make("gap").eval()
        prune.random_unstructured(model.features[0], "weight", amount=0.5)
        prune.ln_structured(model.features[4], "weight", amount=0.25, n=2, dim=0)
        with torch.no_grad():
            model.features[0].weight_orig.mul_(3)  # the computed weight is now stale until the next pass
        logits = eval_clone(model)(pictures(2))
        torch.testing.assert_close(logits, model(pictures(2)), rtol=0, atol=0)

    def test_parametrization(self, make, pictures):
        model = make("gap").eval()
        parametrizations.weight_norm(model.features[0])
        parametrizations.spectral_norm(model.features[4])
        torch.testing.assert_close(eval_clone(model)(pictures(2)), model(pictures(2)), rtol=0, atol=0)
        assert not any(p.requires_grad for p in eval_clone(model).parameters())


def test_a_train_method_of_its_own_is_not_called():
    """As low-rank adapters do: eval() merges into the weight, in the storage that model and copy share."""

    class Merging(nn.Linear):
        def train(self, mode=True):
            self.weight.data.add_(0 if mode else 1)
            return super().train(mode)

    model = Merging(2, 2)
    before = model.weight.clone()
    assert not eval_clone(model).training
    assert torch.equal(model.weight, before)


def test_custom_pickling_and_copying_are_honoured():
    class Light(nn.Linear):
        def __init__(self):
            super().__init__(2, 3)
            self.trainer = threading.Lock()  # cannot be copied, but the module says how to do without

        def __getstate__(self):
            return {**self.__dict__, "trainer": None}

    class Lighter(Light):
        __getstate__ = nn.Module.__getstate__

        def __deepcopy__(self, memo):
            twin = Light.__new__(Light)
            twin.__dict__ = copy.deepcopy({**self.__dict__, "trainer": None}, memo)
            return twin

    model = nn.Sequential(Light(), Lighter())
    for ours, theirs in zip(eval_clone(model), model, strict=True):
        assert ours.trainer is None
        assert not ours.training
        assert ours.weight.data_ptr() == theirs.weight.data_ptr()


def test_what_cannot_be_copied_is_named():
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU())
    model[1].guard = threading.Lock()
    with pytest.raises(ConvscopeError, match=r"attribute 'guard' of layer '1' \(ReLU\)"):
        eval_clone(model)


def test_a_lazy_module_is_refused_by_name():
    with pytest.raises(UsageError, match=r"layer '0' .*lazy"):
        eval_clone(nn.Sequential(nn.LazyConv2d(3, 3)))


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_a_scripted_module_is_refused():
    scripted = torch.jit.trace(nn.Conv2d(1, 1, 1), torch.zeros(1, 1, 2, 2))
    with pytest.raises(UsageError, match=r"scripted module.*pass the Python module"):
        eval_clone(nn.Sequential(scripted))


def test_parameters_made_under_inference_mode_can_be_saved_for_backward(pictures):
    with torch.inference_mode():
        model = nn.Conv2d(3, 2, 3)
        clone = eval_clone(model)
    clone(pictures(1).requires_grad_()).sum().backward()
    with torch.inference_mode():
        assert torch.equal(clone.weight, model.weight)
