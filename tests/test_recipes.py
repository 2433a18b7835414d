"""Every shipped recipe runs, and those that the README quotes reach what they should, on real data."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convscope import prove, train
from convscope.config import load_config, recipe_names
from convscope.data import load
from convscope.verify import verify

NEED_FILES = ("cifar10", "mnist")


def write_files(folder: Path) -> Path:
    """Two hundred PNG files, one folder a class."""
    pictures, _ = load("shapes", n=200)
    for i, (pixels, label) in enumerate(zip(pictures.images, pictures.labels, strict=True)):
        path = folder / pictures.classes[label] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.transpose(1, 2, 0)).save(path)
    return folder


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * name.startswith("cifar10-")) for name in recipe_names()]
)
def test_a_recipe_runs_for_an_epoch(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    data = load_config(name).data.name
    data_dir = request.getfixturevalue("data_dir") if data in NEED_FILES else None
    if data == "folder":  # the user's own; here they are scenes of the other recipe, as files
        data_dir = write_files(tmp_path / "pictures")
    small = {"train__epochs": 1, "data__subset": 128, "train__tta": False}  # which takes a minute on 10,000 pictures
    run = train(name, out=tmp_path / name, data_dir=data_dir, **small)
    assert run.config.recipe == name
    assert 0 < run.results["test_accuracy"] < 1
    assert verify(run.path).ok


def test_the_demo_reaches_its_bar(tmp_path: Path) -> None:
    run = train("digits", out=tmp_path / "digits")
    assert run.results["test_accuracy"] >= 0.97
    assert prove(run, load("digits")[1].images).ok


@pytest.mark.slow
def test_lenet5_on_all_of_mnist(tmp_path: Path, data_dir: Path) -> None:
    run = train("mnist-lenet5", out=tmp_path / "mnist", data_dir=data_dir)
    assert run.results["test_accuracy"] >= 0.989
    _, test = load("mnist", data_dir)
    assert prove(run, test.images[:500]).ok


@pytest.mark.slow
def test_tiny_resnet_learns_cifar10(tmp_path: Path, data_dir: Path) -> None:
    run = train("cifar10-5k", out=tmp_path / "cifar10", data_dir=data_dir, train__epochs=4)
    assert run.results["test_accuracy"] >= 0.6
    _, test = load("cifar10", data_dir)
    proof = prove(run, test.images[:300])
    assert proof.ok
    right = run.probabilities(test.images).argmax(axis=1) == test.labels
    assert np.mean(right) == run.results["test_accuracy"]
    assert verify(run.path).ok


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # within torch's own compiler
@pytest.mark.skipif(shutil.which("g++") is None and shutil.which("clang++") is None, reason="needs a C++ compiler")
def test_a_compiled_network_learns_the_same(tmp_path: Path) -> None:
    small = {"train__epochs": 3, "model__base_channels": 8}
    plain = train("digits", out=tmp_path / "plain", **small)
    compiled = train("digits", out=tmp_path / "compiled", train__compile=True, **small)
    assert compiled.model.state_dict().keys() == plain.model.state_dict().keys()
    for ours, theirs in zip(compiled.metrics, plain.metrics, strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=0.05)
    assert verify(compiled.path).ok
