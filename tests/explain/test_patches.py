"""What excites a channel most: against a sort of all activations, and against the meaning of a receptive field."""

import numpy as np
import pytest
import torch
from torch import nn

from convscope.errors import ConvscopeError, UsageError
from convscope.explain import feature_maps, top_patches


class Grid(nn.Module):
    """Channels 0 and 1 of `read` are the picture's, in a coarser grid; 2 is dead."""

    def __init__(self):
        super().__init__()
        self.read = nn.Sequential(nn.MaxPool2d(2), Third())
        self.head = nn.Flatten()

    def forward(self, x):
        return self.head(self.read(x))


class Third(nn.Module):
    def forward(self, x):
        return torch.cat([x, -x[:, :1].abs()], dim=1)


def batches(pictures, *sizes):
    return list(torch.split(pictures, list(sizes)))


def test_the_strongest_places_of_all_batches(make, pictures):
    model, images = make("gap", seed=2), pictures(23, seed=5)
    found = top_patches(model, batches(images, 8, 1, 14), "features.0", range(6), count=5)
    maps = feature_maps(model, images, ["features.0"])["features.0"]  # (23, 6, 10, 14)
    assert (found.layer, found.shape, found.size, found.pictures) == ("features.0", (6, 10, 14), (10, 14), 23)
    for channel in range(6):
        best = maps[:, channel].max(axis=(1, 2))
        patches = found.channels[channel].patches
        assert found.channels[channel].channel == channel
        assert [p.picture for p in patches] == np.argsort(-best)[:5].tolist()
        for p in patches:
            assert p.value == pytest.approx(best[p.picture], rel=1e-5)
            assert p.place == np.unravel_index(maps[p.picture, channel].argmax(), (10, 14))


def test_only_what_is_in_the_box_counts(make, pictures):
    model, images = make("deep", seed=1), pictures(12, seed=6)
    found = top_patches(model, batches(images, 5, 7), "last", count=3, most=4)
    assert len(found.channels) == 4
    shrunk = 0
    for item in found.channels:
        for patch in item.patches:
            top, left, bottom, right = patch.box
            outside = torch.randn(1, 3, 10, 14, generator=torch.Generator().manual_seed(patch.picture)) * 9
            inside = images[patch.picture].clone()
            outside[0, :, top:bottom, left:right] = inside[:, top:bottom, left:right]
            (y, x), shape = patch.place, found.shape
            assert shape[1:] == (4, 6)
            value = feature_maps(model, outside, ["last"])["last"][0, item.channel, y, x]
            assert value == pytest.approx(patch.value, rel=1e-4, abs=1e-6)
            for edge in (inside[:, top], inside[:, bottom - 1], inside[:, :, left], inside[:, :, right - 1]):
                edge += 40
            value = feature_maps(model, inside[None], ["last"])["last"][0, item.channel, y, x]
            assert abs(value - patch.value) > 1e-3
            shrunk += (bottom - top) * (right - left) < 140
    assert shrunk > 3


def test_dead_channels_are_said_to_be_dead():
    images = torch.zeros(4, 2, 6, 8)
    images[2, 0, 3, 7], images[1, 0, 0, 0], images[0, 1] = 5, 3, -1
    images[3, 1, 5, 2] = 0.25
    found = top_patches(Grid(), batches(images, 3, 1), "read", count=6)
    assert found.dead == (2,)
    assert [item.channel for item in found.channels] == [0, 1]  # the dead one is not among those chosen
    first, second = found.channels
    assert [(p.picture, p.value, p.place, p.box) for p in first.patches] == [
        (2, 5.0, (1, 3), (2, 6, 4, 8)),
        (1, 3.0, (0, 0), (0, 0, 2, 2)),
    ]  # what is not above 0 is no patch
    assert [(p.picture, p.value, p.place) for p in second.patches] == [(3, 0.25, (2, 1))]
    asked = top_patches(Grid(), batches(images, 4), "read", [2])
    assert asked.channels[0].dead
    assert asked.channels[0].patches == ()
    assert not first.dead


def test_of_equal_values_the_first_picture_wins():
    images = torch.zeros(9, 2, 4, 4)
    images[[7, 3, 5], 0, 1, 1] = 2.0
    found = top_patches(Grid(), batches(images, 4, 4, 1), "read", [0], count=2)
    assert [p.picture for p in found.channels[0].patches] == [3, 5]


def test_the_channels_that_stand_out_are_chosen():
    """Of 8 channels, each the picture's: 6 has one bright picture among dark ones, 1 a less bright one."""
    images = torch.rand(40, 8, 2, 2, generator=torch.Generator().manual_seed(0))
    images[11, 6], images[30, 1] = 50, 9
    model = nn.Sequential(nn.MaxPool2d(2), nn.Flatten())
    found = top_patches(model, [images], "0", count=1, most=2)
    assert [item.channel for item in found.channels] == [6, 1]
    assert [item.patches[0].picture for item in found.channels] == [11, 30]
    assert [item.channel for item in top_patches(model, [images], "0", most=8).channels] == list(range(8))


def test_units_of_a_linear_layer_see_the_whole_picture(make, pictures):
    model, images = make("gap"), pictures(6)
    found = top_patches(model, [images], "head", count=2)
    assert (found.shape, found.has_places, found.sees_all) == ((5, 1, 1), False, True)
    with torch.no_grad():
        logits = model.eval()(images)
    for item in found.channels:
        assert item.patches[0].picture == int(logits[:, item.channel].argmax())
        assert item.patches[0].box == (0, 0, 10, 14)
    assert not top_patches(model, [images], "features.0").sees_all


def test_refusals(make, pictures):
    with pytest.raises(UsageError, match=r"no channel 6 in layer 'features\.0': it has 6, 0 to 5"):
        top_patches(make("gap"), [pictures(2)], "features.0", [0, 6])
    with pytest.raises(UsageError, match="no channel -1"):
        top_patches(make("gap"), [pictures(2)], "features.0", [-1])
    with pytest.raises(UsageError, match="no pictures to look at"):
        top_patches(make("gap"), [])
    broken = pictures(5)
    broken[3, 1, 2, 2] = torch.nan
    with pytest.raises(ConvscopeError, match=r"layer 'features\.0' is not finite for picture 3"):
        top_patches(make("gap"), batches(broken, 2, 3), "features.0")


def test_the_model_is_left_as_it_was(make, pictures):
    model = make("gap")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    stream = torch.get_rng_state()
    top_patches(model, [pictures(3)])
    assert model.training
    assert torch.equal(torch.get_rng_state(), stream)
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_pass_ends_at_the_layer(make, pictures):
    """What comes behind the layer does not run for the pictures, so an early layer of a large network is cheap."""
    passed = []

    class Counting(nn.Flatten):
        def forward(self, x):
            passed.append(len(x))
            return super().forward(x)

    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), Counting(), nn.Linear(4 * 8 * 12, 2))
    top_patches(model, batches(pictures(24), 12, 12), "0", count=2)
    assert set(passed) == {1}  # only to see which layers there are
