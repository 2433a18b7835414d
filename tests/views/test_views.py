"""What lies in the PNG of a view, looked up pixel by pixel: the right pictures, the heat where the evidence is."""

import math
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from convscope.data import load
from convscope.errors import UsageError
from convscope.explain import display_size, explain, overlay
from convscope.preprocess import preprocess
from convscope.runs import Run
from convscope.runs.canvas import HEADER, MARGIN, SCALE, enlarge
from convscope.views import Picture, choose_picture, choose_target, explain_picture, look_at_augmentation

Pixels = NDArray[np.uint8]


def page(png: str) -> Pixels:
    with Image.open(png) as picture:
        return np.asarray(picture.convert("RGB"))


def test_augmentation_is_drawn_of_training_pictures(digits_run: Run, tmp_path: Path) -> None:
    training, test = load("digits")
    known = {picture.tobytes(): k for k, picture in enumerate(training.images)}
    held_out = {picture.tobytes() for picture in test.images}
    drawn = page(look_at_augmentation(digits_run, out=tmp_path / "a.png")["png"])

    def tile(row: int, column: int) -> Pixels:
        """An 8×8 picture of the page, from the middle of each of its enlarged pixels."""
        x, y, box = MARGIN + 64 + 72 * column, HEADER + 72 * row + 8 * (row > 0), 64
        part = drawn[y * SCALE : (y + box) * SCALE, x * SCALE : (x + box) * SCALE, 0]
        return part[8::16, 8::16]

    originals = [tile(0, column) for column in range(10)]
    assert len({picture.tobytes() for picture in originals}) == 10
    assert all(picture.tobytes() in known for picture in originals)
    assert not any(picture.tobytes() in held_out for picture in originals)
    moved = 0
    for row in (1, 2, 3):
        for column, original in enumerate(originals):
            padded = np.pad(original, 1, mode="reflect")  # what the recipe's crop of 1 may cut out
            crops = [padded[y : y + 8, x : x + 8].tobytes() for y in range(3) for x in range(3)]
            assert tile(row, column).tobytes() in crops
            moved += not np.array_equal(tile(row, column), original)
    assert moved > 15  # of 30, each stays with probability 1/9


def test_without_augmentation_there_is_nothing_to_draw(digits_run: Run) -> None:
    settings = digits_run.checkpoint["config"]
    plain = settings | {"data": settings["data"] | {"augment": None}}
    run = Run(digits_run.path, digits_run.checkpoint | {"config": plain}, digits_run.model)
    with pytest.raises(UsageError, match="was trained without augmentation"):
        look_at_augmentation(run)


def bright_spot_run(folder: Path) -> tuple[Run, Picture]:
    """A network for 16×24 pictures that calls them `bright` for what is bright, and a spot on the right, above."""
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 2, 3, padding=1)
    head = nn.Linear(2, 2)
    with torch.no_grad():
        conv.weight[0], conv.weight[1] = 1 / 27, -1 / 27
        conv.bias.zero_()
        head.weight.copy_(torch.tensor([[-1.0, 1.0], [1.0, -1.0]]))
        head.bias.copy_(torch.tensor([-5.0, 5.0]))
    layers = {"conv": conv, "relu": nn.ReLU(), "pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "head": head}
    checkpoint = {"classes": ["dark", "bright"], "mean": [0.3] * 3, "std": [0.2] * 3, "input_shape": [3, 16, 24]}
    pixels = np.full((3, 16, 24), 30, np.uint8)
    pixels[:, 2:5, 18:22] = 250
    return Run(folder, checkpoint, nn.Sequential(OrderedDict(layers)).eval()), Picture(pixels, "spot", 1)


def test_the_heat_lies_where_the_evidence_is_beside_the_picture(tmp_path: Path) -> None:
    run, picture = bright_spot_run(tmp_path)
    values = explain_picture(run, picture, layer="relu")
    assert (values["label"], values["target"], values["evidence"]) == ("bright", 1, "positive")
    assert Path(values["png"]).parent == tmp_path / "views"
    drawn = page(values["png"]).astype(int)
    box, gap = 160 * SCALE, 4 * SCALE
    left, top = MARGIN * SCALE, (HEADER + 4) * SCALE
    half = box / 2

    expected = enlarge(picture.pixels.transpose(1, 2, 0), box)  # 13 pixels for each of 24, in the middle of the box
    rows, columns = expected.shape[:2]
    room = math.ceil(160 * 16 / 24) * SCALE  # a wide picture gets no more height than it needs
    y, x = top + (room - rows) // 2, left + (box - columns) // 2
    assert np.abs(drawn[y : y + rows, x : x + columns] - expected)[3:-3, 3:-3].mean() < 3

    heated = drawn[top : top + room, left + box + gap : left + 2 * box + gap]
    hot_rows, hot_columns = np.nonzero(np.ptp(heated, axis=2) > 60)  # the picture is grey, so all colour is heat
    assert len(hot_rows) > 500
    scale = box / 24  # drawn pixels of each of the picture's
    assert (hot_rows.mean() - room / 2) / scale == pytest.approx(3.5 - 16 / 2, abs=0.5)
    assert (hot_columns.mean() - half) / scale == pytest.approx(20 - 24 / 2, abs=0.5)


def test_a_real_picture_stands_beside_its_overlay(digits_run: Run, tmp_path: Path) -> None:
    for index in (0, 5):
        picture = choose_picture(digits_run, None, index, None)
        _, test = load("digits")
        assert np.array_equal(picture.pixels, test.images[index])
        assert picture.true == test.labels[index]
        target = (test.labels[index] + 1) % 10  # the class asked for, not the predicted one
        out = tmp_path / f"{index}.png"
        drawn = page(explain_picture(digits_run, picture, target=str(target), out=out)["png"]).astype(int)
        x = preprocess(
            torch.from_numpy(picture.pixels[None]), digits_run.checkpoint["mean"], digits_run.checkpoint["std"]
        )
        heat = explain(digits_run.model, x, int(target)).heatmaps(display_size(8, 8))[0]
        box = 160 * SCALE
        expected = enlarge(overlay(picture.pixels, heat), box).astype(int)
        size = len(expected)
        top, left = (HEADER + 4) * SCALE + (box - size) // 2, (MARGIN + 164) * SCALE + (box - size) // 2
        found = drawn[top : top + size, left : left + size]
        edge = slice(3, -3)
        assert np.abs(found - expected)[edge, edge].mean() < 3
        assert np.abs(found - expected.transpose(1, 0, 2))[edge, edge].mean() > 10


def test_a_class_by_name_or_number(tmp_path: Path) -> None:
    run, _ = bright_spot_run(tmp_path)
    assert [choose_target(run, target) for target in (None, "bright", "0", "1", "BriGht")] == [None, 1, 0, 1, 1]
    for wrong in ("2", "-1", "brigh", ""):
        with pytest.raises(UsageError, match="choose from dark, bright or 0 to 1"):
            choose_target(run, wrong)


def test_case_matters_only_where_it_tells_classes_apart(tmp_path: Path) -> None:
    run, _ = bright_spot_run(tmp_path)
    run = Run(run.path, run.checkpoint | {"classes": ["Turkey", "turkey", "2", "STRASSE"]}, run.model)
    assert [choose_target(run, target) for target in ("turkey", "Turkey", "2", "1", "straße")] == [1, 0, 2, 1, 3]
    with pytest.raises(UsageError, match="unknown class 'TURKEY'"):
        choose_target(run, "TURKEY")


def view_of(run: Run, file: Path, pixels: Pixels, **options: str) -> Path:
    Image.fromarray(pixels.transpose(1, 2, 0)).save(file)
    picture = choose_picture(run, file, None, None)
    return Path(explain_picture(run, picture, layer="relu", **options)["png"])


def test_no_view_replaces_that_of_another_picture_class_or_layer(tmp_path: Path) -> None:
    run, spot = bright_spot_run(tmp_path)
    picture = {"size": [16, 24], "mode": "RGB", "crop": "resize"}
    run = Run(run.path, run.checkpoint | {"picture": picture, "classes": ["猫", "犬"]}, run.model)
    (tmp_path / "other").mkdir()
    names = ["a.png", "other/a.png", "a.bmp", "ä.png", "ö.png", f"{'long' * 50}1.png", f"{'long' * 50}2.png"]
    views = [view_of(run, tmp_path / name, spot.pixels, target=target) for name in names for target in "01"]
    assert len(set(views)) == len(views) == len(list((tmp_path / "views").iterdir())) == 14
    tested = [explain_picture(run, spot, layer="relu", target=target)["png"] for target in "01"]
    assert tested[0] != tested[1]  # neither class has a letter that stands in the file's name
    assert view_of(run, tmp_path / "a.png", spot.pixels, target="0") == views[0]  # the same again replaces its own
    assert views[0].name.startswith("a-grad-cam-")


def test_what_is_explained_predicted_and_true(tmp_path: Path) -> None:
    run, spot = bright_spot_run(tmp_path)
    values = explain_picture(run, spot, layer="relu", target="dark")
    assert list(values)[-3:] == ["predicted", "true", "pictures_changed"]
    assert (values["label"], values["predicted"], values["true"]) == ("dark", "bright", "bright")
    unknown = explain_picture(run, Picture(spot.pixels, "spot"), layer="relu")
    assert (unknown["predicted"], unknown["true"]) == ("bright", None)
    with torch.no_grad():
        run.model.head.bias.neg_()  # now everything is dark
    mistake = explain_picture(run, spot, layer="relu")
    assert (mistake["label"], mistake["predicted"], mistake["true"]) == ("dark", "dark", "bright")
