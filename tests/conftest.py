"""What several rooms' tests share: real trained runs, made once a session, and the real data where it is at hand."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from convscope.runs import Run, load_run


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Whatever a test forgets to say, no data set is asked for outside this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVSCOPE_MIRROR", "http://127.0.0.1:1")  # nobody listens there
        yield


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A small TinyResNet trained for three epochs on the real digits; read it, do not write into it."""
    from convscope import train

    folder = tmp_path_factory.mktemp("runs") / "digits"
    return train("digits", out=folder, train__epochs=3, model__base_channels=8)


@pytest.fixture
def copied_run(digits_run: Run, tmp_path: Path) -> Run:
    """A copy of `digits_run` to break."""
    shutil.copytree(digits_run.path, tmp_path / "run")
    return load_run(tmp_path / "run")


@pytest.fixture(scope="session")
def exported_run(digits_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The export of `digits_run`; read it, do not write into it."""
    from convscope.export import export_safetensors

    return export_safetensors(digits_run, tmp_path_factory.mktemp("exports") / "tiny")


@pytest.fixture
def data_dir() -> Path:
    """The folder with the real archives; the test skips where CONVSCOPE_DATA does not say."""
    if "CONVSCOPE_DATA" not in os.environ:
        pytest.skip("needs CIFAR-10 and MNIST: set CONVSCOPE_DATA to the folder that holds them")
    return Path(os.environ["CONVSCOPE_DATA"])


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command line in this process; gives (exit code, standard output, standard error)."""
    from convscope.cli import main

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run
