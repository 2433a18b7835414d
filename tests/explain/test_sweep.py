"""One picture by every method and at every layer: each tile is what `explain` gives, or says why there is none."""

import numpy as np
import pytest
import torch
from torch import nn

from convscope.errors import UsageError
from convscope.explain import METHODS, explain, feature_maps, sweep


def test_every_tile_is_what_explain_gives(make, pictures):
    model, image = make("gap", seed=3), pictures(1)
    found = sweep(model, image, target=2, layer="features.2")
    assert (found.target, found.layer, found.method) == (2, "features.2", "grad-cam")
    assert [a.method for a in found.methods] == list(METHODS)
    have = [a for a in (*found.methods, *found.layers) if a.found]
    assert len(have) > 18
    for a in have:
        again = explain(model, image, 2, None if a.layer == "input" else a.layer, a.method)
        np.testing.assert_array_equal(a.found.maps, again.maps)
        assert a.evidence == again.evidence[0]
        assert a.problem is None
    spatial = [name for name, maps in feature_maps(model, image).items() if maps.shape[2:] != (1, 1)]
    assert [a.layer for a in found.layers] == spatial
    assert {a.method for a in found.layers} == {"grad-cam"}


def test_what_a_model_cannot_have_says_why(make, pictures):
    found = sweep(make("deep", seed=1), pictures(1))
    problems = {a.method: a.problem for a in found.methods if a.found is None}
    assert problems["cam"] == "needs average pooling and one linear layer behind"
    assert problems["guided-backprop"] == problems["guided-grad-cam"] == "needs ReLU, not gelu, tanh"
    assert len(problems) == 3
    assert all(a.evidence is None for a in found.methods if a.problem)
    linear = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(2 * 8 * 12, 2))
    assert [a.problem for a in sweep(linear, pictures(1)).methods if a.method == "guided-backprop"] == ["needs ReLU"]
    with torch.no_grad():
        linear[0].bias.fill_(-100)
        linear[2].weight.fill_(0.01)
    problems = {a.method: a.problem for a in sweep(linear, pictures(1), layer="0").methods}
    assert problems["grad-cam++"] == "needs features that are not so negative"


def test_an_empty_map_is_told_from_a_missing_one(make, pictures):
    class Opponent(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.positive, self.head = nn.Conv2d(3, 4, 3), nn.Sigmoid(), nn.Linear(4, 2)
            with torch.no_grad():
                self.head.weight[0] = -1

        def forward(self, x):
            return self.head(self.positive(self.conv(x)).mean(dim=(2, 3)))

    found = sweep(make(Opponent), pictures(1), target=0, layer="positive")
    by_method = {a.method: a for a in found.methods}
    assert by_method["grad-cam"].evidence == "none"
    assert by_method["grad-cam"].problem is None
    assert by_method["saliency"].evidence == "positive"
    assert by_method["guided-backprop"].evidence is None
    assert [a.layer for a in found.layers if a.evidence == "none"] == ["positive"]


def test_another_method_goes_from_layer_to_layer(make, pictures):
    model, image = make("gap", seed=3), pictures(1)
    found = sweep(model, image, 1, method="layer-cam")
    assert {a.method for a in found.layers} == {"layer-cam"}
    np.testing.assert_array_equal(found.layers[0].found.maps, explain(model, image, 1, "features.0", "layer-cam").maps)


def test_a_layer_that_no_gradient_reaches_says_so(pictures):
    class Cut(nn.Module):
        def __init__(self):
            super().__init__()
            self.early, self.late, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.late(self.early(x).detach()).mean(dim=(2, 3)))

    found = sweep(Cut(), pictures(1))
    assert {a.layer: a.problem for a in found.layers} == {
        "early": "no gradient leads from the logits back to it",
        "late": None,
    }


def test_progress_counts_every_tile(make, pictures):
    seen = []
    found = sweep(make("gap"), pictures(1), progress=lambda done, total: seen.append((done, total)))
    total = len(found.methods) + len(found.layers)
    assert seen == [(done, total) for done in range(total + 1)]


def test_refusals_come_before_any_tile(make, pictures):
    model = make("gap")
    with pytest.raises(UsageError, match=r"saliency explains the picture's own pixels, so it cannot go .* grad-cam,"):
        sweep(model, pictures(1), method="saliency")
    with pytest.raises(UsageError, match="unknown explanation method 'magic'; choose from grad-cam"):
        sweep(model, pictures(1), method="magic")
    with pytest.raises(UsageError, match=r"of one picture \(1, C, H, W\), got \(2, 3, 10, 14\)"):
        sweep(model, pictures(2))
    with pytest.raises(UsageError, match="images must be"):
        sweep(model, pictures(1)[0])
    with pytest.raises(UsageError, match="target 5 is not a class"):
        sweep(model, pictures(1), target=5)
    with pytest.raises(UsageError, match="no layer 'nowhere'"):
        sweep(model, pictures(1), layer="nowhere")
