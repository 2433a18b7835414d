"""The user's own pictures through the command line: train on a folder, then predict a file it never saw."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from convscope.data import ImageSet, load, load_configured
from convscope.runs import Run, load_run

Cli = Callable[..., tuple[int, str, str]]
CLASSES = ("blush", "ocean")


def paint(path: Path, rng: np.random.Generator) -> Path:
    """A photograph-like file of odd size: noise over the colour of its class, or of none."""
    height, width = rng.integers(24, 70, 2)
    tone = {"blush": (200, 110, 120), "ocean": (50, 110, 190)}[path.parent.name]
    pixels = np.clip(rng.normal(tone, 40, (height, width, 3)), 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with forty pictures of either class."""
    folder, rng = tmp_path_factory.mktemp("own") / "pictures", np.random.default_rng(0)
    for name in CLASSES:
        for i in range(40):
            paint(folder / name / f"{i}.{('png', 'jpg')[i % 2]}", rng)
    return folder


@pytest.fixture(scope="module")
def own_run(own: Path) -> Run:
    """A run trained on it, by the command itself; an odd preparation, so that nothing fits by chance."""
    from convscope.cli import main

    settings = {"data.path": own, "data.size": "[20, 28]", "data.crop": "center", "data.val_fraction": "0.2"}
    settings |= {"model.base_channels": 8, "train.epochs": 4, "train.batch_size": 16}
    sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    assert main(["train", "folder", "--out", str(own.parent / "run"), *sets]) == 0
    return load_run(own.parent / "run")


def test_it_learns_and_says_how_a_picture_is_prepared(own_run: Run) -> None:
    assert own_run.classes == CLASSES
    assert own_run.input_shape == (3, 20, 28)
    assert own_run.checkpoint["picture"] == {"size": [20, 28], "mode": "RGB", "crop": "center"}
    assert own_run.results["test_accuracy"] > 0.8
    saved = yaml.safe_load((own_run.path / "config.yaml").read_text())
    assert saved["data"]["size"] == [20, 28]


def test_a_file_that_it_never_saw_is_predicted(cli: Cli, own_run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    files = [paint(tmp_path / name / f"{i}.jpg", rng) for name in CLASSES for i in range(5)]
    code, out, _ = cli("predict", own_run.path, *files, "--json")
    assert code == 0
    found = json.loads(out)["results"]
    assert sum(answer["label"] == Path(answer["image"]).parent.name for answer in found) >= 9


def every(own: Path, run: Run) -> ImageSet:
    """All pictures of the folder as the loader gives them, training and test."""
    train, test = load_configured(run.config.data)
    images, labels = (np.concatenate([getattr(p, name) for p in (train, test)]) for name in ("images", "labels"))
    return ImageSet(images, labels, train.classes)


def test_predict_on_a_file_equals_the_loaded_picture(cli: Cli, own: Path, own_run: Run) -> None:
    loaded = every(own, own_run)
    files = sorted(own.glob("*/*"))
    assert len(files) == len(loaded) == 80
    code, out, _ = cli("predict", own_run.path, *files, "--json", "--top", 2)
    assert code == 0
    predicted = np.zeros((80, 2))
    for row, answer in zip(predicted, json.loads(out)["results"], strict=True):
        for choice in answer["top"]:
            row[choice["index"]] = choice["probability"]
    direct = own_run.probabilities(loaded.images)
    order_a, order_b = np.lexsort(predicted.T), np.lexsort(direct.T)
    np.testing.assert_allclose(predicted[order_a], direct[order_b], atol=1e-6)


def test_every_command_finds_the_pictures_again(cli: Cli, own_run: Run, tmp_path: Path) -> None:
    code, out, _ = cli("evaluate", own_run.path, "--json")
    assert code == 0
    assert json.loads(out).items() >= own_run.results.items()
    assert cli("prove", own_run.path, "--images", 5)[0] == 0
    assert cli("explain", own_run.path, "--index", 3, "--out", tmp_path / "a.png")[0] == 0
    assert cli("look", own_run.path, "augment", "--out", tmp_path / "b.png")[0] == 0
    assert cli("verify", own_run.path)[0] == 0


def test_other_preparations_end_up_in_the_checkpoint_too(own: Path, tmp_path: Path) -> None:
    from convscope import train

    small = {"data__size": 16, "data__mode": "grey", "train__epochs": 1, "model__base_channels": 4}
    run = train("folder", out=tmp_path / "run", data__path=str(own), **small)
    assert run.checkpoint["picture"] == {"size": [16, 16], "mode": "L", "crop": "resize"}


def test_the_shortcut_reaches_the_training_pictures(tmp_path: Path) -> None:
    from convscope import train

    small = {"data__subset": 64, "data__val_fraction": 0, "train__epochs": 1, "model__base_channels": 4}
    seen: list[torch.Tensor] = []

    def watch(images: torch.Tensor) -> torch.Tensor:
        seen.append(images)
        return images

    train("shapes", out=tmp_path / "run", data__shortcut=1.0, augment=watch, **small)
    marks = torch.cat(seen)[:, :, 27:31, 27:31].reshape(64, 3, 16)
    assert (marks == marks[:, :, :1]).all()
    clean, _ = load("shapes", n=400)
    assert not (clean.images[:, :, 27:31, 27:31] == clean.images[:, :, 27:28, 27:28]).all(axis=(1, 2, 3)).any()


@pytest.mark.parametrize(
    ("sets", "code", "message"),
    [
        ([], 2, "folder: no folder was named; give yours as --data-dir FOLDER, with"),
        (["data.path=EMPTY/none"], 1, "EMPTY/none: no such folder"),
        (["data.path=EMPTY"], 1, "at least two classes, found none"),
        (["data.name=digits", "data.size=null", "data.path=x"], 2, "data set 'digits' takes no option 'path'"),
        (["data.name=digits"], 2, "data set 'digits' takes no option 'size'; it takes none"),
        (["data.name=shapes", "data.mode=grey"], 2, "'shapes' takes no option 'mode'; choose from n, size, seed"),
    ],
)
def test_what_does_not_fit_is_one_line(cli: Cli, tmp_path: Path, sets: list[str], code: int, message: str) -> None:
    arguments = [part.replace("EMPTY", str(tmp_path)) for key in sets for part in ("--set", key)]
    found, out, error = cli("train", "folder", "--out", tmp_path / "run", *arguments)
    assert (found, out, error.count("\n")) == (code, "", 1)
    assert message.replace("EMPTY", str(tmp_path)) in error
    assert list(tmp_path.iterdir()) == []


def test_a_broken_file_is_named_and_skipped_where_asked(cli: Cli, own: Path, own_run: Run, tmp_path: Path) -> None:
    for path in own.glob("*/*"):
        (tmp_path / "in" / path.parent.name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / path.parent.name / path.name).write_bytes(path.read_bytes())
    bad = tmp_path / "in" / "ocean" / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n")
    small = ["--set", "train.epochs=1", "--set", "model.base_channels=4", "--set", f"data.path={tmp_path / 'in'}"]
    code, _, error = cli("train", "folder", "--out", tmp_path / "run", *small)
    assert code == 1
    assert error.startswith(f"convscope: {bad}: ")
    assert not (tmp_path / "run").exists()
    code, _, error = cli("train", "folder", "--out", tmp_path / "run", *small, "--set", "data.corrupt=skip", "--json")
    assert code == 0


def test_data_info_describes_a_folder(cli: Cli, own: Path) -> None:
    code, _, error = cli("data", "info", "folder")
    assert code == 2
    assert "give yours as --data-dir FOLDER" in error
    code, out, _ = cli("data", "info", "folder", "--data-dir", own)
    assert code == 0
    assert out.startswith("folder: 64 training and 16 test pictures, 3×32×32")
