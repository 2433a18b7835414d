"""The wheel, installed with the pinned versions into a clean environment, works outside the checkout."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from convscope.runs import Run

CHECKOUT = Path(__file__).parent.parent
# a user's environment: nothing of ours that would lead back to the checkout or to data
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("CONVSCOPE_", "PYTHON")) and name != "VIRTUAL_ENV"
}

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path, timeout: float = 300) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=timeout
    )
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(exported_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that neither a stale build folder gets in nor a new one is left behind.

    One more trained network is in it, `tiny`.
    """
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(CHECKOUT / "convscope", source / "convscope", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(exported_run.path, source / "convscope" / "trained" / "tiny")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, source / name)
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", out, source, cwd=out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of programs of a new virtual environment with the wheel and its pinned dependencies."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder, cwd=folder)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    pins = CHECKOUT / "constraints.txt"
    # most of PyTorch is never imported here; what is, is compiled when it is first
    install = ["-m", "pip", "install", "--quiet", "--no-compile", "-c", pins, wheel]
    run(programs / "python", *install, cwd=folder, timeout=900)  # PyTorch is large and a line may be slow
    yield programs
    shutil.rmtree(folder)  # more than a gigabyte, which pytest would keep three times over


@pytest.fixture(scope="module")
def convscope(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """The installed program, run in a folder of its own."""
    folder = tmp_path_factory.mktemp("elsewhere")
    return lambda *arguments: run(environment / "convscope", *arguments, cwd=folder)


def test_the_wheel_holds_the_package_and_its_data_and_nothing_else(wheel: Path, exported_run: Run) -> None:
    kept = (".py", ".yaml", ".html", "py.typed")
    expected = {str(path.relative_to(CHECKOUT)) for path in CHECKOUT.glob("convscope/**/*") if path.name.endswith(kept)}
    expected |= {str(path.relative_to(CHECKOUT)) for path in CHECKOUT.glob("convscope/trained/*/*")}
    static = (CHECKOUT / "convscope" / "service" / "static").rglob("*")
    expected |= {str(path.relative_to(CHECKOUT)) for path in static if path.is_file()}
    expected |= {f"convscope/trained/tiny/{path.name}" for path in exported_run.path.iterdir()}
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == {name.replace(os.sep, "/") for name in expected}
    assert {
        "convscope/recipes/digits.yaml",
        "convscope/runs/report.html",
        "convscope/audit/page.html",
        "convscope/service/static/docs/start.js",
        "convscope/py.typed",
    } <= found


def test_it_is_imported_from_where_it_was_installed(environment: Path, tmp_path: Path) -> None:
    script = "import convscope, sys; print(convscope.__file__, sys.prefix, *sys.path, sep='\\n')"
    file, prefix, *paths = run(environment / "python", "-c", script, cwd=tmp_path).splitlines()
    assert Path(prefix) == environment.parent
    assert Path(file).is_relative_to(prefix)
    assert Path(file).parts[-3:] == ("site-packages", "convscope", "__init__.py")
    assert not any(Path(path).is_relative_to(CHECKOUT) for path in paths if path)
    pins = dict(line.split("==") for line in (CHECKOUT / "constraints.txt").read_text().splitlines() if "==" in line)
    script = "from importlib.metadata import version; print(version('torch'), version('numpy'))"
    torch, numpy = run(environment / "python", "-c", script, cwd=tmp_path).split()
    assert (torch.split("+")[0], numpy) == (pins["torch"], pins["numpy"])


def test_smoke_passes(convscope: Callable[..., str]) -> None:
    assert re.match(r"smoke passed: loss [\d.]+ -> [\d.]+, test accuracy (9\d\.\d|100\.0)%", convscope("smoke"))


def test_a_trained_network_is_found_by_its_name(convscope: Callable[..., str], exported_run: Run) -> None:
    found = json.loads(convscope("evaluate", "tiny", "--json"))
    assert (found["run"], found["test_accuracy"]) == ("tiny", exported_run.results["test_accuracy"])
    assert convscope("look", "tiny", "filters").strip() == str(Path("runs", "tiny-views", "filters-stem.conv.png"))
    assert convscope("verify", "tiny").splitlines()[-1] == "tiny: all 12 checks passed"


def test_a_training_from_the_recipe_to_the_explanation(convscope: Callable[..., str]) -> None:
    small = ["--set", "train.epochs=3", "--set", "model.base_channels=8"]
    results = json.loads(convscope("train", "digits", *small, "--out", "run", "--json"))
    assert results["test_accuracy"] > 0.6
    assert convscope("verify", "run").splitlines()[-1] == "run: all 28 checks passed"
    assert convscope("look", "run", "filters").strip() == str(Path("run", "views", "filters-stem.conv.png"))
    explanation = json.loads(convscope("explain", "run", "--index", "3", "--json"))
    assert (explanation["method"], explanation["layer"]) == ("grad-cam", "group2.1.relu")
    assert f"{results['test_accuracy']:.2%} of 360 test pictures right" in convscope("evaluate", "run")
    assert "the same predictions" in convscope("prove", "run")
    assert "problem" not in convscope("doctor", "run").splitlines()[-1]
