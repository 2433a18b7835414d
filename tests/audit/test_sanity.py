"""Random weights: a private copy loses what it learned layer by layer, and maps that do not notice fail."""

import copy

import numpy as np
import torch
from torch import nn

from convscope.audit.audit import state_of
from convscope.audit.maps import MethodMaps, explain_all
from convscope.audit.sanity import (
    STAGES,
    THRESHOLD,
    Likeness,
    compare,
    measure_statistics,
    randomise,
    shuffle,
    weight_groups,
)
from convscope.explain.controls import edges
from convscope.explain.methods import of_input


def test_the_groups_are_the_layers_with_their_norms(digits_subject):
    groups = weight_groups(digits_subject.model)
    assert groups[0] == ["stem.conv", "stem.norm"]
    assert groups[-1] == ["head"]
    assert ["group2.0.sum.shortcut.conv", "group2.0.sum.shortcut.norm"] in groups
    named = {name for name, _ in digits_subject.model.named_parameters()}
    assert {f"{module}.{end}" for group in groups for module in group for end in ("weight", "bias")} >= named


def test_shuffling_keeps_the_values(digits_subject):
    model = copy.deepcopy(digits_subject.model)
    layer = model.get_submodule("group2.0.sum.branch.conv1")
    before = layer.weight.detach().clone()
    shuffle(layer, torch.Generator().manual_seed(0))
    assert torch.equal(layer.weight.flatten().sort().values, before.flatten().sort().values)
    assert (layer.weight == before).float().mean() < 0.01


def test_statistics_are_those_of_the_pictures(digits_subject):
    """Behind random kernels the old statistics would let some channels run off; measured anew, all are normalised."""
    model = copy.deepcopy(digits_subject.model)
    shuffle(model.get_submodule("stem.conv"), torch.Generator().manual_seed(1))
    seen = {}
    model.get_submodule("stem.norm").register_forward_hook(lambda _m, _i, output: seen.update(x=output))
    norm = model.get_submodule("stem.norm")
    other = {k: v.clone() for k, v in model.get_submodule("group1.0.sum.branch.norm1").state_dict().items()}

    def off():
        model(digits_subject.images)
        normalised = (seen["x"] - norm.bias[:, None, None]) / norm.weight[:, None, None]
        return max(abs(normalised.mean(dim=(0, 2, 3))).max(), abs(normalised.std(dim=(0, 2, 3)) - 1).max()).item()

    assert off() > 0.3
    measure_statistics(model, ["stem.conv", "stem.norm"], digits_subject)
    assert off() < 0.01
    assert not norm.training
    assert norm.momentum == 0.1
    for key, value in model.get_submodule("group1.0.sum.branch.norm1").state_dict().items():
        assert torch.equal(value, other[key])


@of_input
def edges_as_method(model, layer, images, targets):
    """What fails: a map of the picture alone."""
    return edges(images)


def test_a_map_of_the_picture_alone_fails_and_one_of_the_network_passes(digits_subject, register):
    register("saliency", edges_as_method)
    before = state_of(digits_subject.model)
    maps, _ = explain_all(digits_subject, ["saliency", "grad-cam", "occlusion"])
    cascade = randomise(digits_subject, list(maps.values()))
    rows = {row.method: row for row in cascade.methods}
    assert len(cascade.stages) == STAGES
    assert cascade.stages[-1] == "stem.conv"
    assert rows["saliency"].passed is False
    np.testing.assert_allclose(rows["saliency"].means, 1)
    assert rows["grad-cam"].passed is True
    assert rows["grad-cam"].means[0] > rows["grad-cam"].means[-1]
    assert [value is None for value in rows["occlusion"].means] == [True, True, True, True, False]  # 65 passes a map
    after = state_of(digits_subject.model)
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_an_unchanged_network_keeps_its_maps(digits_subject):
    maps, _ = explain_all(digits_subject, ["grad-cam", "saliency", "guided-backprop"])
    found, problems = compare(digits_subject, digits_subject.model, list(maps.values()), 1024)
    assert problems == {}
    for correlations in found.values():
        np.testing.assert_allclose(correlations[np.isfinite(correlations)], 1, rtol=1e-6)


def test_a_map_turned_upside_down_fails_too(digits_subject):
    """Negative likeness is likeness: the map shows the same structure."""
    correlations = np.full(12, -0.8)
    assert Likeness("any", (correlations,)).passed is False
    assert Likeness("any", (np.full(12, 0.49),)).passed is True
    assert Likeness("any", (np.array([np.nan, 0.2]),)).pictures == 1
    assert Likeness("any", (np.array([np.nan]),)).passed is None
    assert THRESHOLD == 0.5


def test_a_method_that_random_weights_make_impossible_says_so(digits_subject):
    maps, _ = explain_all(digits_subject, ["guided-backprop"])
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    found, problems = compare(digits_subject, model, list(maps.values()), 2048)
    assert found == {}
    assert "this model has none" in problems["guided-backprop"]
    assert isinstance(maps["guided-backprop"], MethodMaps)
