"""Cutting a forward pass open at a layer: what is recorded, what is refused, and in which words."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from convscope.errors import UsageError
from convscope.explain.capture import EvalCopy, class_gradient


class Repeating(nn.Module):
    """One ReLU for two places, a layer that never runs, a 1×1 layer, a layer of two axes, one that returns a pair."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU()
        self.second = nn.Conv2d(4, 4, 3)
        self.unused = nn.Conv2d(4, 4, 3)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.pair = nn.MaxPool2d(2, return_indices=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.relu(self.conv(x))
        x = self.relu(self.second(x))
        x, _ = self.pair(x)
        return self.head(self.pool(x).flatten(1))


def test_activation_is_the_layers_output_before_an_in_place_change(make, pictures):
    model = make("deep").eval()
    with torch.no_grad():
        expected = model.middle(F.relu(model.norm(model.stem(pictures(2)))))
        logits = model(pictures(2))
    activation, ours = EvalCopy(model).forward_at("middle", pictures(2))
    assert (activation < 0).any(), "the ReLU after it would have removed these"
    torch.testing.assert_close(activation, expected, rtol=0, atol=0)
    torch.testing.assert_close(ours, logits, rtol=0, atol=0)


def test_gradient_stops_at_the_layer(make, pictures):
    activation, logits = EvalCopy(make("gap")).forward_at("features.4", pictures(2))
    assert activation.is_leaf
    assert activation.requires_grad
    leaves, nodes = set(), [logits.grad_fn]
    while nodes:
        node = nodes.pop()
        leaves |= {node.variable} if hasattr(node, "variable") else set()
        nodes += [following for following, _ in node.next_functions if following is not None]
    assert leaves == {activation}, "neither parameters nor pictures take part in the backward pass"


def test_gradient_of_each_picture_is_that_of_its_own_target(make, pictures):
    copy = EvalCopy(make("gap", dtype=torch.float64))
    activation, logits = copy.forward_at("features", pictures(3, dtype=torch.float64))
    gradient = class_gradient(activation, logits, torch.tensor([4, 0, 2]))
    expected = copy.model.head.weight[[4, 0, 2], :, None, None].expand(-1, -1, 5, 7) / 35
    torch.testing.assert_close(gradient, expected)
    again = class_gradient(activation, logits, torch.tensor([1, 1, 1]))  # the graph is still there
    torch.testing.assert_close(again[0], copy.model.head.weight[1, :, None, None].expand(-1, 5, 7) / 35)


def test_the_pass_is_made_once_for_the_same_layer_and_pictures(make, pictures):
    copy, images = EvalCopy(make("gap")), pictures(2)
    first = copy.forward_at("features", images)
    assert copy.forward_at("features", images) is first
    other = copy.forward_at("features", pictures(2, seed=9))
    assert not torch.equal(other[1], first[1])
    earlier = copy.forward_at("features.4", pictures(2, seed=9))
    assert not torch.equal(earlier[0], other[0])


def test_no_hook_stays_on_the_copy_either(make, pictures):
    copy = EvalCopy(make("gap"))
    copy.forward_at("features", pictures(1))
    copy.calls(pictures(1))
    with pytest.raises(RuntimeError):
        copy.calls(torch.zeros(1, 2, 8, 8))
    assert not any(module._forward_hooks for module in copy.model.modules())


def test_the_pictures_are_not_changed_by_an_in_place_first_layer():
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(24, 2))
    images = torch.randn(1, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    before = images.clone()
    EvalCopy(model).forward_at("1", images)
    assert torch.equal(images, before)


def test_the_activation_is_kept_from_a_change_through_another_name(pictures):
    class Reused(nn.Module):
        def __init__(self):
            super().__init__()
            self.same, self.head = nn.Identity(), nn.Linear(3, 2)

        def forward(self, x):
            y = self.same(x)  # the very tensor x
            x.zero_()
            return self.head(y.mean(dim=(2, 3)))

    activation, _ = EvalCopy(Reused()).forward_at("same", pictures(2))
    assert torch.equal(activation, pictures(2))


class TestCalls:
    def test_every_call_in_the_order_of_finishing(self, pictures):
        calls = EvalCopy(Repeating()).calls(pictures(2))
        names = ["conv", "relu#1", "second", "relu#2", "pair", "pool", "head"]
        assert [call.layer for call in calls] == names
        shapes = {call.layer: call.shape for call in calls}
        assert shapes["relu#1"] == (2, 4, 8, 12)
        assert shapes["relu#2"] == (2, 4, 6, 10)
        assert shapes["pair"] is None
        assert shapes["head"] == (2, 3)

    def test_values_are_kept_as_they_were(self, make, pictures):
        model = make("gap").eval()
        calls = EvalCopy(model).calls(pictures(2), keep=torch.clone)
        values = {call.layer: call.value for call in calls}
        with torch.no_grad():
            torch.testing.assert_close(values["features.1"], model.features[:2](pictures(2)), rtol=0, atol=0)
        assert (values["features.1"] < 0).any()  # the in-place ReLU came later
        assert values["head"] is None
        assert not values["features.1"].requires_grad

    def test_parametrizations_are_not_layers(self, make, pictures):
        model = make("gap")
        nn.utils.parametrizations.weight_norm(model.features[0])
        copy = EvalCopy(model)
        names = [call.layer for call in copy.calls(pictures(1))]
        assert names == [call.layer for call in EvalCopy(make("gap")).calls(pictures(1))]
        assert "features.0" in copy.layers(pictures(1))


class TestSecondCall:
    def test_is_named_with_its_number(self, pictures):
        model = Repeating().double().eval()
        images = pictures(2, dtype=torch.float64)
        copy = EvalCopy(model)
        with torch.no_grad():
            first = F.relu(model.conv(images))
            second = F.relu(model.second(first))
        torch.testing.assert_close(copy.forward_at("relu#1", images)[0], first)
        torch.testing.assert_close(copy.forward_at("relu#2", images)[0], second)

    def test_a_bare_name_is_refused_and_asks_which(self, pictures):
        with pytest.raises(UsageError, match=r"'relu' cannot be used: it runs 2 times .* say which: relu#1, relu#2"):
            EvalCopy(Repeating()).forward_at("relu", pictures(2))

    @pytest.mark.parametrize(("layer", "times"), [("relu#3", "2 times"), ("conv#2", "1 time ")])
    def test_a_call_that_was_not_made_is_refused(self, pictures, layer, times):
        with pytest.raises(UsageError, match=f"'{layer}' cannot be used: it runs only {times}"):
            EvalCopy(Repeating()).forward_at(layer, pictures(2))

    def test_a_name_with_a_number_sign_in_it_is_a_name(self, pictures):
        model = nn.Sequential(nn.ModuleDict({"a#1": nn.Conv2d(3, 2, 3)}), nn.Flatten(), nn.Linear(2, 2))
        assert EvalCopy(model).resolve("0.a#1", pictures(1)) == ("0.a#1", None)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        ("pool", "its output is 1×1"),
        ("head", r"its output has the shape \(1, 3\), a map needs \(N, C, h, w\)"),
        ("pair", "its output is not one floating tensor"),
        ("unused", "it did not run"),
    ],
)
def test_a_layer_without_a_map_is_refused_by_name_with_the_choices(pictures, layer, reason):
    choices = r"choose from conv \(8×12\), relu#1 \(8×12\), second \(6×10\), relu#2 \(6×10\)"
    with pytest.raises(UsageError, match=f"^layer '{layer}' cannot be used: {reason}.*; {choices}$"):
        EvalCopy(Repeating()).forward_at(layer, pictures(2))


@pytest.mark.parametrize("layer", ["relu3", "", "relu#0", "relu#x", "conv.weight", "#1"])
def test_an_unknown_layer_lists_the_choices(pictures, layer):
    with pytest.raises(UsageError, match=f"Repeating has no layer '{layer}'; choose from conv .8×12., relu#1"):
        EvalCopy(Repeating()).forward_at(layer, pictures(1))


def test_a_long_list_of_choices_keeps_the_last_and_says_where_all_are(pictures):
    model = nn.Sequential(*[nn.Identity() for _ in range(30)], nn.Flatten(), nn.Linear(420, 2))
    with pytest.raises(
        UsageError,
        match=r"choose from 6 earlier ones \(`convscope look RUN layers` lists them\), 6 \(10×14\), .*, 29 \(10×14\)$",
    ):
        EvalCopy(model).forward_at("x", pictures(1))


def test_a_module_under_two_names_is_found_by_either(pictures):
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(192, 2))
    model.alias = model[0]
    model.forward = lambda x: model[2](model[1](model[0](x)))
    # the closure runs the original's layers, not the copy's: the honest answer is that the layer did not run
    with pytest.raises(UsageError, match="'alias' cannot be used: it did not run"):
        EvalCopy(model).forward_at("alias", pictures(1))
    assert EvalCopy(model).resolve("alias", pictures(1)) == ("0", None)


class NoPath(nn.Module):
    """The logits come from a path that the layer `side` is not on, or through a no_grad block."""

    def __init__(self, broken):
        super().__init__()
        self.body, self.side = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.head = nn.Linear(4, 2)
        self.broken = broken

    def forward(self, x):
        with torch.no_grad():
            x = self.body(x)
            y = self.side(x)
            if self.broken:
                y = y * 2
        return self.head(y.mean(dim=(2, 3)))


def test_a_gradient_that_cannot_arrive_is_refused(pictures):
    with pytest.raises(UsageError, match="'side' cannot be used: no gradient leads"):
        EvalCopy(NoPath(broken=True)).forward_at("side", pictures(1))


def test_the_last_layer_of_a_frozen_no_grad_body_works(pictures):
    model = NoPath(broken=False)
    activation, logits = EvalCopy(model).forward_at("side", pictures(2))
    gradient = class_gradient(activation, logits, torch.tensor([1, 0]))
    torch.testing.assert_close(gradient[0, :, 0, 0], model.head.weight[1].detach() / (6 * 10))


@pytest.mark.parametrize(
    ("tail", "words"),
    [
        (nn.Identity(), r"returned \(2, 4, 8, 12\) for 2 pictures; expected logits \(2, classes\)"),
        (nn.Flatten(0, 1), r"returned \(8, 8, 12\)"),
        (nn.MaxPool2d(2, return_indices=True), "returned tuple; expected logits"),
    ],
)
def test_a_model_that_returns_no_logits_is_refused(pictures, tail, words):
    with pytest.raises(UsageError, match=words):
        EvalCopy(nn.Sequential(nn.Conv2d(3, 4, 3), tail)).forward_at("0", pictures(2))


def test_a_layer_that_changes_the_number_of_pictures_is_refused(pictures):
    class Patches(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

        def forward(self, x):
            halves = torch.cat(x.chunk(2, dim=3))
            return self.head(self.conv(halves).mean(dim=(2, 3)).view(2, len(x), 4).mean(0))

    with pytest.raises(UsageError, match="'conv' cannot be used: it turns 3 pictures into 6"):
        EvalCopy(Patches()).forward_at("conv", pictures(3))


class TestLastSpatialLayer:
    def test_takes_the_last_that_is_large_enough(self, pictures):
        model = nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()),  # 8×12
            nn.MaxPool2d(2),  # 4×6
            nn.MaxPool2d((1, 2)),  # 4×3: too narrow
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, 2),
        )
        copy = EvalCopy(model)
        assert copy.last_spatial_layer(pictures(2)) == "1"
        assert copy.last_spatial_layer(pictures(2), least=5) == "0"

    def test_a_block_whose_activation_is_used_twice(self, pictures):
        assert EvalCopy(Repeating()).last_spatial_layer(pictures(1)) == "relu#2"

    def test_none_is_large_enough(self):
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2))
        with pytest.raises(UsageError, match=r"at least 4×4 for an input of 3×4×4; name a smaller one: 0 \(2×2\)"):
            EvalCopy(model).last_spatial_layer(torch.zeros(1, 3, 4, 4))

    def test_no_layer_at_all(self):
        with pytest.raises(UsageError, match="none: no module gives an output"):
            EvalCopy(nn.Sequential(nn.Flatten(), nn.Linear(48, 2))).last_spatial_layer(torch.zeros(1, 3, 4, 4))
