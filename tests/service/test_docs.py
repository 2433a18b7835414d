"""docs/service.md tells the truth: its curl lines and its Python client are run, its settings are those of today."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from convscope.predict import predict
from convscope.runs import find_run, load_run
from convscope.service.models import Models, load_served
from convscope.service.settings import Settings
from tests.service.conftest import Here
from tests.service.pictures import encoded, noise

PAGE = (Path(__file__).parents[2] / "docs" / "service.md").read_text(encoding="utf-8")
CURL = re.findall(r"^curl .*$", PAGE, re.MULTILINE)
(CLIENT,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def here() -> Iterator[Here]:
    """What `convscope serve` starts, as far as its answers go."""
    with Here(Settings(), Models([load_served("cifar10-94", find_run("cifar10-94"))])) as started:
        yield started


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The pictures that the page speaks of."""
    for seed, name in enumerate(("cat.png", "dog.png")):
        (tmp_path / name).write_bytes(encoded(noise(seed, (40, 40, 3))))
    return tmp_path


@pytest.mark.parametrize("line", CURL)
def test_curl(here: Here, folder: Path, line: str) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    line = line.replace("http://127.0.0.1:8000", str(here.client.base_url).rstrip("/"))
    done = subprocess.run(f"{line} -sS --fail", shell=True, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_client_in_python(here: Here, folder: Path) -> None:
    names: dict[str, Any] = {}
    exec(CLIENT, names)
    paths = [folder / "cat.png", folder / "dog.png"]
    answers = names["label"](*paths, url=str(here.client.base_url).rstrip("/"))
    expected = predict(load_run("cifar10-94"), paths)
    assert [label for label, _ in answers] == [prediction.label for prediction in expected]
    assert [p for _, p in answers] == pytest.approx([prediction.probability for prediction in expected], abs=2e-6)


def test_there_are_as_many_as_the_page_shows() -> None:
    assert len(CURL) == 8


def test_every_code_is_explained() -> None:
    codes = set()
    for path in (Path(__file__).parents[2] / "convscope" / "service").glob("*.py"):  # the trace is the page's own
        codes |= set(re.findall(r'Problem\(\s*(?:self\.)?\d+, "(\w+)"', path.read_text(encoding="utf-8")))
    explained = set(re.findall(r"`(\w+)`", PAGE))
    assert codes <= explained | {"internal", "client_gone"}, codes - explained
    assert len(codes) > 10
