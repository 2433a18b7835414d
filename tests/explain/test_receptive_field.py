"""Receptive fields against brute force: every pixel is changed by itself, in float64, and who follows is noted."""

import doctest
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from convscope.errors import UsageError
from convscope.explain import feature_maps, receptive_fields

SIZE = (9, 11)


class Inception(nn.Module):
    """Half of its channels see 1×1, half 3×5."""

    def __init__(self):
        super().__init__()
        self.narrow, self.wide = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, (3, 5), padding=(1, 2))

    def forward(self, x):
        return torch.cat([self.narrow(x), self.wide(x)], dim=1)


class Masked(nn.Conv2d):
    """Sees only what is above, and to the left in the same row, as in PixelCNN."""

    def __init__(self, channels, out):
        super().__init__(channels, out, 3, padding=1)
        mask = torch.zeros(3, 3)
        mask[0], mask[1, 0] = 1, 1
        self.register_buffer("mask", mask)

    def forward(self, x):
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=1)


class Branches(nn.Module):
    """Functions only: a sum with a rolled branch, a leaky `where`, and what is negative passes a ReLU of its own."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(2, 3, (1, 3), padding=(0, 1), dilation=1)
        self.last = nn.Conv2d(6, 2, 2)

    def forward(self, x):
        a, b = self.one(x), self.other(x)
        a = torch.where(a > 0, a, 0.1 * a) - torch.roll(b, 1, dims=2)
        return self.last(torch.cat([F.relu(a), F.relu(-a)], dim=1))


class Twice(nn.Module):
    """One convolution that runs twice."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x):
        return self.conv(torch.tanh(self.conv(x)))


class InFloat32(nn.Module):
    """Refuses every other precision."""

    def __init__(self):
        super().__init__()
        self.conv = Masked(2, 3)

    def forward(self, x):
        if self.conv.weight.dtype != torch.float32:
            raise RuntimeError("float32 only")
        return self.conv(x.to(torch.float32))


class Sigmoids(nn.Sequential):
    """Saturates where its weights lose their signs."""

    def __init__(self):
        layers = []
        for _ in range(4):
            layers += [nn.Conv2d(2 if not layers else 8, 8, 3, padding=1), nn.Sigmoid()]
        super().__init__(*layers)
        with torch.no_grad():
            for layer in list(self)[::2]:
                layer.weight.mul_(8)


def sequence(*layers):
    return lambda: nn.Sequential(*[layer() for layer in layers])


def conv(*arguments, **options):
    return lambda: nn.Conv2d(*arguments, **options)


def grouped():
    """Takes the four channels of `Inception`; groups, so that channels see differently again."""
    return nn.Conv2d(4, 4, 3, padding=1, groups=4)


MODELS = {
    "strides, dilation, padding, pooling": (
        sequence(
            conv(2, 4, (3, 2), stride=(2, 1), padding=(1, 3), dilation=(1, 2)),
            nn.ReLU,
            lambda: nn.MaxPool2d(3, 2, 1),
            conv(4, 3, 2),
        ),
        "3",
    ),
    "batch norm, average pooling, gelu": (
        sequence(conv(2, 3, 3), lambda: nn.BatchNorm2d(3), nn.GELU, lambda: nn.AvgPool2d(2, 1), conv(3, 2, 3)),
        "4",
    ),
    "an early layer of them": (sequence(conv(2, 3, 3), nn.ReLU, nn.Flatten, lambda: nn.Linear(189, 2)), "1"),
    "channels that see differently": (lambda: nn.Sequential(Inception(), nn.ReLU(), grouped()), "2"),
    "a mask in the kernel": (lambda: nn.Sequential(Masked(2, 3), nn.ReLU(), Masked(3, 2)), "2"),
    "a mask, float32 only": (lambda: nn.Sequential(InFloat32()), "0"),
    "transposed and enlarged": (
        sequence(
            lambda: nn.ConvTranspose2d(2, 3, 3, stride=2),
            nn.ReLU,
            lambda: nn.Upsample(scale_factor=2),
            conv(3, 2, 3, 3),
        ),
        "3",
    ),
    "functions": (Branches, "last"),
    "the second call": (Twice, "conv#2"),
    "the first call": (Twice, "conv#1"),
    "normalised over places": (sequence(conv(2, 4, 3), lambda: nn.GroupNorm(2, 4), nn.ReLU), "2"),
    "saturating": (Sigmoids, "7"),
}


def built(make, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make().eval()


def brute_force(model, layer, draws=30, seed=3):
    """Boxes (K, h, w, 4) of all pixels that were seen to change a place, one at a time, by much and by little."""
    generator = torch.Generator().manual_seed(seed)
    height, width = SIZE
    boxes = None
    double = not any(isinstance(module, InFloat32) for module in model.modules())
    if double:
        model = model.double()
    for draw in range(draws):
        base = torch.randn(1, 2, *SIZE, generator=generator, dtype=torch.float64 if double else torch.float32)
        pictures = base.repeat(height * width + 1, 1, 1, 1)
        for pixel in range(height * width):
            y, x = divmod(pixel, width)
            by = torch.randn(2, generator=generator, dtype=torch.float64) * (30 if draw % 2 else 2)
            pictures[pixel, :, y, x] += by.to(pictures.dtype)
        maps = feature_maps(model, pictures, [layer])[layer]  # (H·W + 1, K, h, w)
        changed = np.abs(maps[:-1] - maps[-1]) > 1e-6 * np.abs(maps[-1]).max()
        if boxes is None:
            boxes = np.zeros((*maps.shape[1:], 4), np.int32)
            boxes[..., :2] = 999
        for pixel, seen in enumerate(changed):
            y, x = divmod(pixel, width)
            for side, (least, value) in enumerate([(True, y), (True, x), (False, y + 1), (False, x + 1)]):
                now = boxes[..., side]
                boxes[..., side] = np.where(seen, np.minimum(now, value) if least else np.maximum(now, value), now)
    boxes[boxes[..., 0] == 999] = 0
    return boxes


@pytest.mark.parametrize(("make", "layer"), MODELS.values(), ids=MODELS)
def test_the_box_holds_just_the_pixels_that_matter(make, layer):
    model = built(make)
    found = receptive_fields(model, torch.zeros(1, 2, *SIZE), layer)
    assert (found.layer, found.size) == (layer, SIZE)
    expected = brute_force(model, layer)
    assert len(np.unique(expected.reshape(-1, 4), axis=0)) > 1 or layer == "2"  # the borders count
    np.testing.assert_array_equal(found.boxes, expected)


def test_a_box_by_hand_inside_and_at_the_borders():
    """3×3 kernel, padding 1, then 2×2 pooling, then 3×3 with padding 1: sides of 8, steps of 2, from -3."""
    layers = nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 2, 3, padding=1)
    fields = receptive_fields(built(lambda: nn.Sequential(*layers)), torch.randn(2, 1, 16, 20), "3")
    assert fields.boxes.shape == (2, 8, 10, 4)
    for y in range(8):
        for x in range(10):
            box = (max(0, 2 * y - 3), max(0, 2 * x - 3), min(16, 2 * y + 5), min(20, 2 * x + 5))
            assert fields.box(0, y, x) == fields.box(1, y, x) == box


@pytest.mark.parametrize(("layer", "shape"), [("3", (8, 1, 1)), ("4", (8, 1, 1)), ("5", (3, 1, 1))])
def test_what_is_behind_global_pooling_sees_all(layer, shape):
    model = built(
        lambda: nn.Sequential(
            nn.Conv2d(2, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 3),
        )
    )
    fields = receptive_fields(model, torch.randn(1, 2, *SIZE), layer)
    assert fields.boxes.shape == (*shape, 4)
    assert (fields.boxes == (0, 0, *SIZE)).all()


def test_a_place_that_only_padding_reaches_sees_nothing():
    fields = receptive_fields(nn.Sequential(nn.Conv2d(1, 2, 1, padding=2)), torch.zeros(1, 1, 3, 4), "0")
    assert fields.box(0, 0, 0) == fields.box(1, 1, 7) == (0, 0, 0, 0)
    assert fields.box(1, 2, 2) == (0, 0, 1, 1)
    assert fields.box(1, 4, 5) == (2, 3, 3, 4)


def test_it_depends_on_the_connections_not_on_the_signs():
    """All weights negative, behind ReLU: the network is silent everywhere, and yet has its fields."""
    model = built(lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3), nn.ReLU()))
    expected = receptive_fields(model, torch.ones(1, 1, 8, 9), "3").boxes
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(-weight.abs() - 0.1)
    silent = receptive_fields(model, torch.ones(1, 1, 8, 9), "3")
    np.testing.assert_array_equal(silent.boxes, expected)
    assert silent.box(0, 1, 2) == (1, 2, 6, 7)


def test_a_deep_network_reaches_its_corners():
    """Forty layers: what the outermost pixels add is some 1e-19 of the whole, and they belong to the field."""
    layers = [layer for _ in range(40) for layer in (nn.Conv2d(3, 3, 3, padding=1), nn.ReLU())]
    fields = receptive_fields(built(lambda: nn.Sequential(*layers)), torch.randn(1, 3, 100, 2), "79")
    assert fields.box(2, 50, 0) == (10, 0, 91, 2)


def test_the_model_is_left_as_it_was(make, pictures):
    model = make("gap")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fields = receptive_fields(model, pictures(2))
    assert fields.layer == "features"
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad and p.dtype == torch.float32 for p in model.parameters())
    with torch.inference_mode():
        np.testing.assert_array_equal(receptive_fields(model, pictures(1)).boxes, fields.boxes)


def test_refusals_name_the_layers_that_will_do(make, pictures):
    with pytest.raises(UsageError, match=r"no layer 'nowhere'; choose from features.0"):
        receptive_fields(make("gap"), pictures(1), "nowhere")
    with pytest.raises(UsageError, match="it runs 2 times in one forward pass; say which: conv#1, conv#2"):
        receptive_fields(Twice(), torch.zeros(1, 2, *SIZE), "conv")
    with pytest.raises(UsageError, match="it runs only 2 times"):
        receptive_fields(Twice(), torch.zeros(1, 2, *SIZE), "conv#3")
    tokens = nn.Sequential(nn.Conv2d(2, 3, 1), nn.Flatten(2), nn.Flatten(), nn.Linear(3 * 99, 2))
    with pytest.raises(UsageError, match=r"its output has the shape \(1, 3, 99\), expected \(N, K, h, w\) or \(N, K\)"):
        receptive_fields(tokens, torch.zeros(1, 2, *SIZE), "1")


def test_the_example_in_the_docstring():
    assert doctest.testmod(sys.modules["convscope.explain.receptive_field"]) == (0, 2)
