"""The search for a mark from end to end: on networks made by hand, and, slowly, on networks that were trained."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.marks import train_on
from convscope.config import load_config
from convscope.data import ImageSet, load
from convscope.data.shapes import mark_colours
from convscope.errors import UsageError
from convscope.evaluate import evaluate
from convscope.planted import MOST, check_localisation, check_shortcut
from convscope.runs import Run

SETTINGS = ["train.epochs=8", "train.batch_size=32", "model.base_channels=8"]
SMALL = {"n": 1500, "size": 24}  # the least that still learns: some 10 s a network on one core


def colour_seeker(pictures):
    """A run whose network finds the colours of the marks, each class by its own, wherever they are."""
    colours = torch.from_numpy(mark_colours(len(pictures.classes)).astype(np.float32)) / 255 - 0.5  # (K, 3)
    conv = nn.Conv2d(3, len(colours), 1)
    with torch.no_grad():
        conv.weight[:] = 2 * colours[:, :, None, None]
        conv.bias[:] = 0.05 - (colours**2).sum(dim=1)  # positive within a small distance of the colour alone
    head = nn.Linear(len(colours), len(colours), bias=False)
    with torch.no_grad():
        head.weight[:] = torch.eye(len(colours))
    return in_memory(nn.Sequential(Minus(conv), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head), pictures)


class Minus(nn.Module):
    """0.05 less the squared distance to each colour: what a linear layer gives, less the pixel's own square."""

    def __init__(self, conv):
        super().__init__()
        self.conv = conv

    def forward(self, x):
        return self.conv(x) - x.square().sum(dim=1, keepdim=True)


def in_memory(model, pictures):
    channels = pictures.shape[0]
    checkpoint = {
        "model": {"name": "by hand"},
        "classes": list(pictures.classes),
        "input_shape": list(pictures.shape),
        "mean": [0.5] * channels,
        "std": [1.0] * channels,
    }
    return Run(Path("by hand"), checkpoint, model.eval())


def dark_ring(scenes, share, seed):
    """A ring in the middle of the top edge that tells the class by its dark tint; drawn here, not by the program."""
    images, masks = scenes.images.copy(), scenes.masks.copy()
    size = scenes.shape[1]
    rows, columns = np.indices((size, size))
    away = np.hypot(rows - 4, columns - size / 2)
    where = (away < 3.7) & (away > 1.5)
    tints = [(90, 0, 0), (0, 90, 0), (0, 0, 90), (80, 80, 0), (80, 0, 80), (0, 80, 80), (0, 0, 0), (90, 45, 0)]
    for index in np.flatnonzero(np.random.default_rng((seed, 5)).random(len(scenes)) < share):
        images[index][:, where] = np.reshape(tints[scenes.labels[index]], (3, 1))
        masks[index][where] = False
    return ImageSet(images, scenes.labels, scenes.classes, masks)


def test_a_network_made_to_look_for_the_mark_is_told():
    marked, _ = load("shapes", n=600, shortcut=0.95, corner="top-left", seed=11)
    run = colour_seeker(marked)
    assert evaluate(run, marked).accuracy > 0.7
    check = check_shortcut(run, marked)
    assert check.pictures == MOST
    assert check.shortcut.place.where == "top-left corner"
    assert check.sentence == check.shortcut.sentence
    assert check.as_dict()["shortcut"]["where"] == "top-left corner"
    clean, _ = load("shapes", n=600, seed=11)
    assert check_shortcut(run, clean).shortcut is None  # where no mark is, it cannot be looked at


def test_a_network_that_knows_nothing_raises_no_alarm():
    clean, _ = load("shapes", n=400, seed=12)
    for seed in range(3):
        config = load_config("shapes", [*SETTINGS, f"train.seed={seed}"])
        check = check_shortcut(train_on(clean, config, untrained=True), clean)
        assert check.shortcut is None
        assert check.sentence.startswith("No mark found: ")
        assert check.as_dict()["shortcut"] is None


def test_localisation_of_a_run():
    marked, _ = load("shapes", n=80, shortcut=1.0, seed=13)
    found = check_localisation(colour_seeker(marked), marked, ["hires-cam", "occlusion"])
    assert found.pictures == 80
    assert [row.name for row in found.methods] == ["hires-cam", "occlusion"]
    assert found.methods[0].energy.high < 0.5  # it looks elsewhere


def test_without_masks_nothing_is_claimed():
    scenes, _ = load("shapes", n=40, seed=14)
    blind = ImageSet(scenes.images, scenes.labels, scenes.classes)
    run = colour_seeker(scenes)
    for check in (check_shortcut, check_localisation):
        with pytest.raises(UsageError, match="needs masks"):
            check(run, blind)
    other, _ = load("synthetic", n=64)
    with pytest.raises(UsageError, match="was trained on"):
        check_shortcut(run, other)


def trained(scenes, seed):
    return train_on(scenes, load_config("shapes", [*SETTINGS, f"train.seed={seed}"]))


@pytest.mark.slow
@pytest.mark.parametrize("corner", ["bottom-right", "top-left"])
def test_the_mark_of_the_data_set_is_found_wherever_it_was_learned(corner):
    """Five seeds. Now and then so small a network learns the objects all the same; then there is nothing to find."""
    cheated = []
    for seed in range(5):
        marked, test = load("shapes", seed=seed, shortcut=0.95, corner=corner, **SMALL)
        run = trained(marked, seed)
        found = check_shortcut(run, marked).shortcut
        assert found is None or found.place.where == f"{corner} corner", seed
        if evaluate(run, test).accuracy < evaluate(run, marked).accuracy - 0.4:
            cheated.append(seed)
            assert found is not None, seed
            assert found.place.looked > 0.2, seed
    assert len(cheated) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_another_mark_in_another_place_is_found(seed):
    scenes, _ = load("shapes", seed=seed, **SMALL)
    marked = dark_ring(scenes, 0.95, seed)
    found = check_shortcut(trained(marked, seed), marked).shortcut
    assert found is not None
    assert found.place.where == "middle of the top edge"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_without_a_mark_it_stays_silent(seed):
    scenes, test = load("shapes", seed=seed, **SMALL)
    run = trained(scenes, seed)
    assert evaluate(run, test).accuracy > 0.3  # it did learn
    assert check_shortcut(run, scenes).shortcut is None
