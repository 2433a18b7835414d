"""A run is found by path or by name, paths first; a network in the package works from anywhere and stays as it is."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import convscope
from convscope.errors import ConvscopeError
from convscope.runs import Run, load_run
from convscope.runs.shipped import find_run, is_shipped, shipped_names


@pytest.fixture
def trained(exported_run: Run, tmp_path: Path) -> Path:
    """A place of networks as the package has one: two of them, and a folder that is none."""
    for name in ("tiny", "mnist-99.5"):
        shutil.copytree(exported_run.path, tmp_path / "trained" / name)
    (tmp_path / "trained" / "empty").mkdir()
    return tmp_path / "trained"


def test_a_name_is_found_among_the_trained(trained: Path) -> None:
    assert shipped_names(trained) == ["mnist-99.5", "tiny"]
    assert find_run("tiny", trained) == find_run(Path("tiny"), trained) == trained / "tiny"
    assert find_run("mnist-99.5", trained) == trained / "mnist-99.5"
    assert load_run(find_run("tiny", trained)).parameters == 10_978


def test_a_path_that_exists_wins(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()
    assert find_run("tiny", trained) == Path("tiny")
    with pytest.raises(ConvscopeError, match=r"no checkpoint tiny/best\.pt"):
        load_run("tiny")
    (tmp_path / "tiny").rmdir()
    (tmp_path / "tiny").write_text("")
    with pytest.raises(ConvscopeError, match="tiny is a file; give the run folder that it lies in"):
        find_run("tiny", trained)


@pytest.mark.parametrize("name", ["nowhere", "./nowhere/tiny", "runs/tiny", "empty", "TINY", "tiny/model.safetensors"])
def test_what_is_neither_is_refused_with_the_names(name: str, trained: Path, tmp_path: Path) -> None:
    said = f"no run folder {Path(name)}; `convscope train RECIPE --out {Path(name)}` makes one"
    with pytest.raises(ConvscopeError) as caught:
        find_run(name, trained)
    assert str(caught.value) == f"{said}; with convscope come mnist-99.5, tiny"
    with pytest.raises(ConvscopeError) as caught:
        find_run(name, tmp_path / "no-such-place")
    assert str(caught.value) == said


def test_only_what_lies_in_the_place_itself_is_shipped(trained: Path, tmp_path: Path) -> None:
    assert is_shipped(trained / "tiny", trained)
    assert is_shipped(trained / "empty" / ".." / "tiny", trained)
    assert not is_shipped(trained / "tiny" / "views", trained)
    assert not is_shipped(tmp_path / "tiny", trained)


def test_every_command_takes_the_name_and_writes_nothing_into_the_package(exported_run: Run, tmp_path: Path) -> None:
    """A copy of the package with a network in it, as installed, used from another folder."""
    package, here = tmp_path / "site" / "convscope", tmp_path / "here"
    ignored = shutil.ignore_patterns("__pycache__", "trained")
    shutil.copytree(Path(convscope.__file__).parent, package, ignore=ignored)
    shutil.copytree(exported_run.path, package / "trained" / "tiny")
    here.mkdir()
    before = {path: path.stat().st_mtime_ns for path in (package / "trained").rglob("*")}
    lines = [
        ["evaluate", "tiny", "--json"],
        ["explain", "tiny", "--index", "0"],
        ["look", "tiny", "filters"],
        ["verify", "tiny"],
        ["doctor", "tiny"],
        ["predict", "tiny", "runs/tiny-views/filters-stem.conv.png", "--json"],
        ["prove", "tiny", "--images", "2", "--json"],
        ["look", "tiny", "layers", "--json"],
        ["evaluate", "tinny"],
    ]
    script = f"from convscope.cli import main\nfor line in {lines!r}: print('exit', main(line), flush=True)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=here,
        env=os.environ | {"PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    evaluate, explain, look, verify, doctor, predict, prove, layers, unknown, end = done.stdout.split("exit ")
    assert json.loads(evaluate)["run"] == "tiny"
    assert json.loads(evaluate)["test_accuracy"] == exported_run.results["test_accuracy"]
    views = Path("runs", "tiny-views")
    assert explain.splitlines()[0] == "0"
    assert Path(explain.splitlines()[-1]).parent == views
    assert look.splitlines() == ["0", str(views / "filters-stem.conv.png")]
    assert verify.splitlines()[-1] == "tiny: all 12 checks passed"
    assert doctor.splitlines()[0] == predict.splitlines()[0] == prove.splitlines()[0] == layers.splitlines()[0] == "0"
    assert [json.loads(out.splitlines()[1])["run"] for out in (predict, prove, layers)] == ["tiny"] * 3
    assert (unknown.strip(), end.strip()) == ("0", "1")
    assert "no run folder tinny; " in done.stderr
    assert done.stderr.strip().endswith("; with convscope come tiny")
    assert {path: path.stat().st_mtime_ns for path in (package / "trained").rglob("*")} == before
    assert sorted(path.name for path in (here / views).iterdir())[0] == "filters-stem.conv.png"
