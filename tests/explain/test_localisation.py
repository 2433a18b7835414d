"""Methods held against masks, on a network that is known to look at one colour and nothing else."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from convscope.errors import UsageError
from convscope.explain.controls import CONTROLS
from convscope.explain.localisation import heat_of, localise
from convscope.explain.planted import energy_inside, pointing_game


def red_finder():
    """Class 1 is as likely as the picture is red, by global average pooling; class 0 as it is blue."""
    conv = nn.Conv2d(3, 2, 1)
    with torch.no_grad():
        conv.weight[:] = torch.tensor([[-1.0, -1, 2], [2, -1, -1]])[:, :, None, None]
        conv.bias.fill_(-0.5)
    head = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        head.weight[:] = torch.eye(2)
    return nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)


def scenes(seed=0, count=30):
    """A red or blue patch on noise, where the mask says: images (N, 3, 14, 18), labels, masks."""
    generator = torch.Generator().manual_seed(seed)
    images = 0.3 * torch.randn(count, 3, 14, 18, generator=generator)
    labels = np.arange(count) % 2
    masks = np.zeros((count, 14, 18), dtype=bool)
    for row, label in enumerate(labels):
        top, left = (int(torch.randint(n, (1,), generator=generator)) for n in (8, 11))
        masks[row, top : top + 5, left : left + 6] = True
        images[row, 0 if label else 2][torch.from_numpy(masks[row])] += 2
    return images, labels, masks


def test_methods_find_what_the_network_looks_at_and_controls_do_not():
    images, labels, masks = scenes()
    seen = []
    found = localise(red_finder(), images, labels, masks, ["grad-cam", "occlusion", "cam"], seen.append)
    assert seen == ["grad-cam", "occlusion", "cam"]
    assert found.pictures == 30
    assert found.chance.mean == pytest.approx(30 / 252)
    for row in found.methods:
        assert row.refused is None
        assert row.pointing.mean > 0.9
        assert row.energy.low > 0.6
        assert row.energy.low <= row.energy.mean <= row.energy.high
    assert [row.name for row in found.controls] == list(CONTROLS)
    noise = found.controls[0]
    assert noise.energy.low < found.chance.mean < noise.energy.high + 0.02
    assert noise.pointing.mean < 0.4
    heat = heat_of(red_finder(), images, labels, "grad-cam")
    assert found.methods[0].pointing.mean == pointing_game(heat, masks).mean()
    assert found.methods[0].energy.mean == pytest.approx(energy_inside(heat, masks).mean())


def test_many_pictures_are_explained_part_by_part_as_one_by_one(monkeypatch):
    images, labels, _ = scenes(1, 11)
    whole = heat_of(red_finder(), images, labels, "hires-cam")
    monkeypatch.setattr("convscope.explain.localisation.pictures_at_once", lambda _: 4)
    np.testing.assert_allclose(heat_of(red_finder(), images, labels, "hires-cam"), whole, atol=1e-6)


def test_a_method_that_the_model_cannot_have_says_why_and_the_result_is_plain():
    images, labels, masks = scenes(2, 12)
    deeper = nn.Sequential(*list(red_finder())[:-1], nn.Tanh(), nn.Linear(2, 2))
    found = localise(deeper, images, labels, masks, ["cam", "grad-cam"])
    assert "classic CAM needs global average pooling" in found.methods[0].refused
    assert found.methods[0].pointing is None
    assert found.methods[1].refused is None
    values = json.loads(json.dumps(found.as_dict()))
    assert values["methods"][0]["energy"] is None
    assert values["methods"][1]["energy"] == found.methods[1].energy._asdict()
    assert set(values["chance"]) == {"mean", "low", "high"}


def test_empty_maps_are_counted():
    images, labels, masks = scenes(3, 10)
    images[:4] = 0
    (row,) = localise(red_finder(), images, labels, masks, ["hires-cam"]).methods
    assert row.empty == pytest.approx(0.4)
    assert row.pointing.mean <= 0.6


def test_wrong_requests_are_refused_before_anything_is_computed():
    images, labels, masks = scenes(4, 4)
    with pytest.raises(UsageError, match="unknown explanation method 'grad-cma'"):
        localise(red_finder(), images, labels, masks, ["grad-cam", "grad-cma"], pytest.fail)
    with pytest.raises(UsageError, match="of one shape"):
        localise(red_finder(), images, labels, masks[:, :7], ["grad-cam"], pytest.fail)
