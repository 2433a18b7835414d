"""A run's own pictures, found again: unchanged, changed, moved; what each command says then, and what it refuses."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convscope import train
from convscope.evaluate import evaluate_held_out
from convscope.runs import Run, load_run
from convscope.runs.own_pictures import own_pictures

Cli = Callable[..., tuple[int, str, str]]
RNG = np.random.default_rng(3)


def add(folder: Path, name: str, count: int = 1) -> list[Path]:
    """New pictures of noise, 9 high and 12 wide, in a class."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    paths = [folder / name / f"{len(list((folder / name).iterdir())) + i:03}.png" for i in range(count)]
    for path in paths:
        Image.fromarray(RNG.integers(0, 256, (9, 12, 3), dtype=np.uint8)).save(path)
    return paths


def trained(folder: Path, path: Path | str) -> Run:
    small = {"data__size": (9, 12), "train__epochs": 1, "model__base_channels": 4, "data__val_fraction": 0.25}
    return train("folder", out=folder, data__path=str(path), **small)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on pictures whose split was drawn, one on a split that was given; 40 and 40 + 16 pictures."""
    home = tmp_path_factory.mktemp("originals")
    for folder, count in ((home / "drawn", 20), (home / "given" / "train", 20), (home / "given" / "test", 8)):
        for name in ("ant", "bee"):
            add(folder, name, count)
    for split in ("drawn", "given"):
        trained(home / f"{split}-run", home / split)
    return home


@pytest.fixture(params=["drawn", "given"])
def split(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def home(originals: Path, tmp_path: Path) -> Path:
    """Copies of the pictures to change; the runs do not know of them unless --data-dir says so."""
    for split in ("drawn", "given"):
        shutil.copytree(originals / split, tmp_path / split)
    return tmp_path


def test_moved_pictures_are_found_by_data_dir(
    split: str, originals: Path, home: Path, cli: Cli, caplog: pytest.LogCaptureFixture
) -> None:
    run, moved = originals / f"{split}-run", (home / split).rename(home / "elsewhere")
    (originals / split).rename(originals / "hidden")
    try:
        code, _, error = cli("evaluate", run)
        assert code == 1
        assert f"{split}: no such folder" in error
        for command in (
            ["evaluate"],
            ["explain", "--index", 2],
            ["look", "maps"],
            ["look", "augment"],
            ["prove", "--images", 9],
        ):
            name, *rest = command
            out = [] if name in ("evaluate", "prove") else ["--out", home / "a.png"]
            code, answer, _ = cli(name, run, *rest, *out, "--data-dir", moved, "--json")
            assert (code, caplog.messages) == (0, []), command
            assert json.loads(answer)["pictures_changed"] is False
        assert "skipped" not in cli("verify", run, "--data-dir", moved)[1]
    finally:
        (originals / "hidden").rename(originals / split)
    assert (
        json.loads(cli("evaluate", run, "--data-dir", moved, "--json")[1])["test_accuracy"]
        == (load_run(run).results["test_accuracy"])
    )


@pytest.mark.parametrize("data_dir", [".", "there", "there/mine"], ids=str)
def test_a_relative_path_is_seen_from_data_dir_or_is_it(
    data_dir: str, originals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(originals / "drawn", "mine")
    run = trained(Path("run"), "mine")
    if data_dir != ".":
        Path("there").mkdir()
        Path("mine").rename("there/mine")
    assert own_pictures(run, Path(data_dir)).changed("test") is False


def test_a_drawn_split_that_would_be_drawn_anew_is_not_evaluated(originals: Path, home: Path, cli: Cli) -> None:
    add(home / "drawn", "ant")
    run = originals / "drawn-run"
    code, out, error = cli("evaluate", run, "--data-dir", home / "drawn")
    assert (code, out, error.count("\n")) == (1, "", 1)
    assert f"the pictures of {run} have changed since its training, so its test set may hold some that it" in error


def test_a_picture_that_went_from_training_to_test_is_not_evaluated(originals: Path, home: Path, cli: Cli) -> None:
    (home / "given" / "train" / "bee" / "004.png").rename(home / "given" / "test" / "bee" / "new.png")
    assert cli("evaluate", originals / "given-run", "--data-dir", home / "given")[0] == 1


@pytest.mark.parametrize("change", ["more", "fewer"])
def test_other_test_pictures_alone_are_evaluated_with_a_warning(
    change: str, originals: Path, home: Path, cli: Cli, caplog: pytest.LogCaptureFixture
) -> None:
    tested, run = home / "given" / "test", originals / "given-run"
    add(tested, "ant", 3) if change == "more" else (tested / "bee" / "002.png").unlink()
    warning = f"warning: the test pictures are not those of {run}'s training: they have changed"
    code, out, _ = cli("evaluate", run, "--data-dir", home / "given", "--json")
    assert (code, caplog.messages) == (0, [warning])
    answer = json.loads(out)
    assert answer["pictures_changed"] is True
    assert sum(row["pictures"] for row in answer["classes"]) == (19 if change == "more" else 15)
    out_of_the_way = ["--data-dir", home / "given", "--out", home / "a.png"]
    for command in (["explain", run, "--index", 1], ["look", run, "maps"], ["look", run, "augment"]):
        assert cli(*command, *out_of_the_way)[0] == 0
    assert cli("prove", run, "--data-dir", home / "given")[0] == 0
    assert caplog.messages == 4 * [warning]  # not for `look augment`, which shows training pictures


def test_the_warning_is_a_line_on_standard_error(originals: Path, home: Path) -> None:
    add(home / "given" / "test", "bee")
    run = originals / "given-run"
    command = [sys.executable, "-m", "convscope", "evaluate", str(run), "--data-dir", str(home / "given")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == f"warning: the test pictures are not those of {run}'s training: they have changed\n"


def test_other_training_pictures_alone_change_no_test_result(
    originals: Path, home: Path, cli: Cli, caplog: pytest.LogCaptureFixture
) -> None:
    run = originals / "given-run"
    add(home / "given" / "train", "bee", 2)
    code, out, _ = cli("evaluate", run, "--data-dir", home / "given", "--json")
    assert (code, caplog.messages) == (0, [])
    assert json.loads(out)["pictures_changed"] is False
    code, out, _ = cli("look", run, "augment", "--data-dir", home / "given", "--out", home / "a.png", "--json")
    assert caplog.messages == [f"warning: the training pictures are not those of {run}'s training: they have changed"]
    assert json.loads(out)["pictures_changed"] is True


def test_too_few_pictures_for_the_split_are_changed_ones(originals: Path, home: Path) -> None:
    for path in [*(home / "given" / "train").rglob("0[01]?.png")]:
        if path.name != "000.png":
            path.unlink()
    own = own_pictures(load_run(originals / "given-run"), home / "given")
    assert len(own.pictures) == 2
    assert (own.changed("test"), own.changed("training"), own.changed("validation")) == (False, True, True)


def test_another_class_is_named(originals: Path, home: Path, cli: Cli) -> None:
    add(home / "drawn", "cat", 5)
    for command in (["evaluate"], ["explain", "--index", 0], ["prove"]):
        code, _, error = cli(command[0], originals / "drawn-run", *command[1:], "--data-dir", home / "drawn")
        assert code == 2
        assert "was trained on the classes ant, bee; these are ant, bee, cat" in error


def test_without_a_record_nobody_knows(originals: Path, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "bare").mkdir()
    shutil.copy(originals / "drawn-run" / "best.pt", tmp_path / "bare")
    code, out, error = cli("evaluate", tmp_path / "bare", "--data-dir", originals / "drawn", "--json")
    assert (code, error) == (0, "")
    assert json.loads(out)["pictures_changed"] is None
    _, changed = evaluate_held_out(load_run(tmp_path / "bare"))
    assert changed is None
