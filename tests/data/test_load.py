"""`load` and `available`: by name, from text or a path, and with a line that lists the choices."""

import operator
import subprocess
import sys
from pathlib import Path

import pytest

import convscope.data
from convscope.config import DataConfig, make_config, override
from convscope.data import available, hold_out, is_at_hand, load, load_configured
from convscope.errors import DataError, UsageError
from convscope.registry import DATASETS


def test_an_unknown_data_set_lists_the_known_ones() -> None:
    with pytest.raises(
        UsageError,
        match=r"unknown data set 'cifar'; choose from digits, synthetic, shapes, folder, cifar10, cifar100, mnist",
    ):
        load("cifar")


def test_an_unknown_option_lists_those_that_the_data_set_takes() -> None:
    with pytest.raises(UsageError, match=r"'synthetic' takes no option 'm'; choose from n, classes, size, seed"):
        load("synthetic", m=3)
    with pytest.raises(UsageError, match=r"'digits' takes no option 'data_folder'; it takes none"):
        load("digits", data_folder="x")


def test_options_reach_the_data_set() -> None:
    train, test = load("synthetic", n=12, size=16)
    assert (len(train), len(test), train.shape) == (12, 6, (3, 16, 16))


def test_a_configuration_passes_on_what_it_says_and_no_more() -> None:
    train, test = load_configured(DataConfig(name="synthetic", size=20))
    assert (len(train), len(test), train.shape) == (512, 256, (3, 20, 20))
    for wrong in ({"size": 20}, {"path": "x"}, {"shortcut": 0.0}, {"crop": "center"}, {"labels": "fine"}):
        with pytest.raises(UsageError, match=f"'digits' takes no option '{next(iter(wrong))}'; it takes none"):
            load_configured(DataConfig(name="digits", **wrong))
    with pytest.raises(UsageError, match="one number of at least 16 pixels, got"):
        load_configured(DataConfig(name="synthetic", size=(20, 24)))


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist", "fashion-mnist"])
def test_what_is_not_there_is_said_in_one_line(name: str, tmp_path: Path) -> None:
    for folder in (tmp_path, str(tmp_path), tmp_path / "nowhere"):
        with pytest.raises(DataError, match=f"{name}: found no .* in {folder}; put it there as") as error:
            load(name, folder)
        assert "\n" not in str(error.value)


def test_available_tells_what_is_at_hand(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "train-images-idx3-ubyte.gz").touch()  # one of four is not enough
    found = {entry["name"]: entry for entry in available(tmp_path)}
    assert list(found) == list(DATASETS)
    assert {name: entry["available"] for name, entry in found.items()} == {
        "digits": True,
        "synthetic": True,
        "shapes": True,
        "folder": True,
        "cifar10": True,
        "cifar100": False,
        "mnist": False,
        "fashion-mnist": False,
    }
    assert found["cifar10"]["where"] == str(tmp_path / "cifar-10-batches-py")
    assert "train-labels-idx1-ubyte" in found["mnist"]["where"]


def test_every_public_name_is_there() -> None:
    for name in convscope.data.__all__:
        assert getattr(convscope.data, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        operator.attrgetter("nothing")(convscope.data)


def test_reading_pictures_needs_no_torch() -> None:
    script = (
        "import sys, convscope.data as d; d.load('synthetic', n=8); d.load('shapes', n=40); d.load('digits'); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(("share", "subset", "least"), [(0.001, 60, "0.017"), (1e-5, 500, "0.002"), (0.1, 3, "0.33")])
def test_a_validation_split_of_nothing_says_what_would_work(share: float, subset: int, least: str) -> None:
    pictures, _ = load("digits")
    config = make_config({"data": {"subset": subset, "val_fraction": share}})
    with pytest.raises(UsageError, match=f"of {subset} pictures is not one; give at least {least}, or 0 to hold none"):
        hold_out(pictures, config)
    _, held = hold_out(pictures, override(config, {"data.val_fraction": float(least)}))
    assert held is not None
    assert len(held) == 1
    assert hold_out(pictures, override(config, {"data.val_fraction": 0}))[1] is None


def test_whether_pictures_are_at_hand_is_seen_without_reading_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONVSCOPE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def at_hand(folder: Path | None = None, **data: object) -> bool:
        return is_at_hand(make_config({"data": data}).data, folder)

    assert at_hand(name="digits")
    assert not at_hand(tmp_path, name="cifar10")
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"not looked into")
    assert at_hand(tmp_path, name="cifar10")
    assert not at_hand(name="cifar10")
    assert not at_hand(name="folder")
    assert at_hand(name="folder", path=str(tmp_path))
    assert not at_hand(tmp_path, name="folder", path="pets")
    (tmp_path / "pets").mkdir()
    assert at_hand(tmp_path, name="folder", path="pets")
