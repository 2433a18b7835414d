"""Feature maps against a forward pass written out by hand."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from convscope.errors import UsageError
from convscope.explain import feature_maps


def test_every_layer_as_a_manual_pass_gives_it(make, pictures):
    model, images = make("gap"), pictures(3)
    maps = feature_maps(model, images)
    assert list(maps) == [f"features.{i}" for i in range(6)]
    model.eval()
    x = images
    with torch.no_grad():
        for i, layer in enumerate(model.features):
            x = layer(x.clone())  # the in-place ReLU must not change what the layer before it gave
            np.testing.assert_array_equal(maps[f"features.{i}"], x)
    assert maps["features.5"].dtype == np.float32


def test_the_order_is_that_of_running(pictures):
    class Reordered(nn.Module):
        def __init__(self):
            super().__init__()
            self.b = nn.Conv2d(4, 2, 3)
            self.a = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return {"maps": self.b(F.relu(self.a(x)))}  # no logits, and none needed

    assert list(feature_maps(Reordered(), pictures(1))) == ["a", "b"]


def test_a_sum_is_a_layer_and_a_sequence_is_not(pictures):
    class Sum(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.branch = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True))

        def forward(self, x):
            return x + self.branch(x)

    model, images = nn.Sequential(nn.Sequential(Sum(3), Sum(3)), nn.Identity()).eval(), pictures(2)
    maps = feature_maps(model, images)
    sums = ["0.0.branch.0", "0.0.branch.1", "0.0", "0.1.branch.0", "0.1.branch.1", "0.1"]
    assert list(maps) == [*sums, "1"]
    with torch.no_grad():
        first = images + torch.relu(model[0][0].branch[0](images))
        np.testing.assert_array_equal(maps["0.0"], first)
        np.testing.assert_array_equal(maps["0.1"], model[0][1](first))


def test_named_layers_in_the_order_asked_for_containers_too(make, pictures):
    model, images = make("gap").eval(), pictures(2)
    maps = feature_maps(model, images, ["features", "features.0"])
    assert list(maps) == ["features", "features.0"]
    with torch.no_grad():
        np.testing.assert_array_equal(maps["features"], model.features(images))
        np.testing.assert_array_equal(maps["features.0"], model.features[0](images))


def test_a_module_that_runs_twice_is_there_twice(pictures):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)
            self.pool = nn.AdaptiveAvgPool2d(1)

        def forward(self, x):
            return self.pool(self.conv(self.conv(x)))

    model, images = Twice(), pictures(2)
    maps = feature_maps(model, images)
    assert list(maps) == ["conv#1", "conv#2", "pool"]
    with torch.no_grad():
        once = model.conv(images)
        np.testing.assert_array_equal(maps["conv#1"], once)
        np.testing.assert_array_equal(maps["conv#2"], model.conv(once))
    assert maps["pool"].shape == (2, 3, 1, 1), "one cell is no map of places, but it is a feature map"
    np.testing.assert_array_equal(feature_maps(model, images, ["conv#2"])["conv#2"], maps["conv#2"])
    np.testing.assert_array_equal(feature_maps(model, images, ["pool#1"])["pool#1"], maps["pool"])
    with pytest.raises(UsageError, match="'conv' cannot be used: it runs 2 times"):
        feature_maps(model, images, ["conv"])
    with pytest.raises(UsageError, match="'pool#2' cannot be used: it runs only 1 time "):
        feature_maps(model, images, ["pool#2"])


def test_refusals(make, pictures):
    with pytest.raises(UsageError, match=r"GapNet has no layer 'conv9'; choose from features.0 \(10×14\)"):
        feature_maps(make("gap"), pictures(1), ["features.0", "conv9"])
    with pytest.raises(UsageError, match="'head' cannot be used: its output has the shape"):
        feature_maps(make("gap"), pictures(1), ["head"])
    with pytest.raises(UsageError, match=r"write \['features'\]"):
        feature_maps(make("gap"), pictures(1), "features")
