"""`look patches` on trained networks: what it lists is what the network computes, and the page shows those pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convscope.data import load
from convscope.errors import UsageError
from convscope.explain import feature_maps
from convscope.runs import Run, load_run
from convscope.runs.canvas import HEADER, MARGIN, SCALE, rgb
from convscope.views import look_at_patches


def test_the_patches_are_the_strongest_of_the_test_set(digits_run: Run, tmp_path: Path) -> None:
    values = look_at_patches(digits_run, "group1.0.relu", out=tmp_path / "p.png")
    assert list(values) == ["layer", "pictures", "channels", "dead", "png", "pictures_changed"]
    _, test = load("digits")
    maps = feature_maps(digits_run.model, digits_run.preprocess(test.images), ["group1.0.relu"])["group1.0.relu"]
    assert (values["layer"], values["pictures"], values["pictures_changed"]) == ("group1.0.relu", 360, False)
    assert values["dead"] == [k for k in range(maps.shape[1]) if maps[:, k].max() <= 0]
    shown = [item["channel"] for item in values["channels"]]
    assert sorted(shown + values["dead"]) == list(range(maps.shape[1]))  # eight channels: all that live
    for item in values["channels"]:
        assert not item["dead"]
        best = np.sort(maps[:, item["channel"]].max(axis=(1, 2)))[::-1]
        np.testing.assert_allclose([p["value"] for p in item["patches"]], best[:6], rtol=1e-4)
        for p in item["patches"]:
            y, x = p["place"]
            assert maps[p["index"], item["channel"], y, x] == pytest.approx(p["value"], rel=1e-4)
            assert p["true"] == str(test.labels[p["index"]])
            # three 3×3 convolutions: three pixels in each direction, as far as the picture goes
            assert p["box"] == [max(0, y - 3), max(0, x - 3), min(8, y + 4), min(8, x + 4)]


def test_the_page_shows_the_picture_listed(digits_run: Run, tmp_path: Path) -> None:
    values = look_at_patches(digits_run, "stem.conv", 2, out=tmp_path / "p.png")
    (channel,) = values["channels"]
    assert (channel["channel"], len(channel["patches"])) == (2, 12)
    with Image.open(values["png"]) as picture:
        drawn = np.asarray(picture.convert("RGB")).astype(int)
    _, test = load("digits")
    factor = 80 * SCALE // 3  # a 3×3 field fills its tile, but for a pixel's rest
    inside = 0
    for number, p in enumerate(channel["patches"]):
        top, left, bottom, right = p["box"]
        if (bottom - top, right - left) != (3, 3):
            continue  # clipped at a border, and then smaller
        inside += 1
        part = rgb(test.images[p["index"]])[top:bottom, left:right]
        y, x = (HEADER + number // 4 * 116) * SCALE, (MARGIN + number % 4 * (2 * 80 + 4 + 22)) * SCALE
        middles = np.arange(3) * factor + factor // 2
        np.testing.assert_array_equal(drawn[y + middles][:, x + middles], part)
    assert inside > 3


def test_the_default_is_where_explanations_look(copied_run: Run) -> None:
    values = look_at_patches(copied_run)
    assert values["layer"] == copied_run.model.cam_layer
    assert len(values["channels"]) == 12
    assert Path(values["png"]) == copied_run.path / "views" / "patches-group2.1.relu.png"
    alone = look_at_patches(copied_run, channel=3)
    assert Path(alone["png"]).name == "patches-group2.1.relu-channel-3.png"


def test_a_dead_channel_is_said_to_be_dead(copied_run: Run) -> None:
    with torch.no_grad():
        norm = copied_run.model.get_submodule("stem.norm")
        norm.weight[5], norm.bias[5] = 0, -1
    values = look_at_patches(copied_run, "stem.relu", 5)
    assert values["channels"] == [{"channel": 5, "dead": True, "patches": []}]
    assert 5 in values["dead"]
    assert Path(values["png"]).is_file()
    several = look_at_patches(copied_run, "stem.relu")
    assert 5 not in [item["channel"] for item in several["channels"]]


def test_units_of_the_head_have_no_place(digits_run: Run, tmp_path: Path) -> None:
    values = look_at_patches(digits_run, "head", out=tmp_path / "p.png")
    patches = [p for item in values["channels"] for p in item["patches"]]
    assert {p["place"] for p in patches} == {None}
    assert all(p["box"] == [0, 0, 8, 8] for p in patches)
    right = [p["true"] == str(item["channel"]) for item in values["channels"] for p in item["patches"]]
    assert np.mean(right) > 0.8  # a unit of the head is a class


def test_refusals(digits_run: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no channel 16 in layer 'group2\.1\.relu': it has 16, 0 to 15"):
        look_at_patches(digits_run, channel=16)
    with pytest.raises(UsageError, match=r"a name that ends in \.png"):
        look_at_patches(digits_run, out=tmp_path / "p.svg")
    with pytest.raises(UsageError, match="no layer 'nowhere'"):
        look_at_patches(digits_run, "nowhere")


def test_the_network_that_comes_with_convscope(data_dir: Path, tmp_path: Path) -> None:
    run = load_run("cifar10-94")
    values = look_at_patches(run, "stem.whitened", 0, data_dir=data_dir, out=tmp_path / "p.png")
    assert values["pictures"] == 10_000
    patches = values["channels"][0]["patches"]
    assert len(patches) == 12
    for p in patches:  # 2×2 kernels without padding
        y, x = p["place"]
        assert p["box"] == [y, x, y + 2, x + 2]
    assert [p["value"] for p in patches] == sorted((p["value"] for p in patches), reverse=True)
