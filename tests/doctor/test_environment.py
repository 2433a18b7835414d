"""This machine passes; each thing that may be wrong with one is told with its number and what to do."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.doctor import CHECKS, Finding, examine_environment
from convscope.doctor.environment import (
    asked_for,
    check_convolution,
    check_device,
    check_disk,
    check_packages,
    check_python,
    check_threads,
    installed_version,
)


def test_this_machine_can_do_it() -> None:
    found = {finding.name: finding for finding in examine_environment()}
    assert list(found) == list(CHECKS["environment"])
    assert {name for name, finding in found.items() if finding.severity == "problem"} == set()
    assert f"PyTorch {torch.__version__}" in found["packages"].seen


def test_what_is_asked_for_is_what_pyproject_says() -> None:
    python, requirements = asked_for()
    assert python == ">=3.11"
    assert any(re.fullmatch(r"torch>=[\d.]+", requirement) for requirement in requirements)


def outcome(finding: Finding) -> tuple[str, str]:
    return finding.severity, finding.seen


def test_python() -> None:
    assert outcome(check_python("3.11.0rc1", ">=3.11")) == (
        "problem",
        "This is Python 3.11.0rc1; convscope needs >=3.11.",
    )
    assert outcome(check_python("3.9.2", ">=3.11")) == ("problem", "This is Python 3.9.2; convscope needs >=3.11.")
    assert check_python("3.14.0", ">=3.11").severity == "fine"


def test_packages() -> None:
    asked = ["torch>=2.4", "numpy>=1.26", "typing_extensions", 'pytest>=8; extra == "dev"']
    good = {"torch": "2.13.0+cpu", "numpy": "2.4.6", "typing_extensions": "4.16"}
    assert outcome(check_packages(asked, good.get))[0] == "fine"
    assert "all 3 packages" in check_packages(asked, good.get).seen
    assert outcome(check_packages(asked, (good | {"torch": "2.3.1+cpu"}).get)) == (
        "problem",
        "torch is 2.3.1+cpu (>=2.4 is asked for).",
    )
    del good["numpy"]
    assert outcome(check_packages(asked, good.get)) == ("problem", "numpy is missing (>=1.26 is asked for).")


def install(folder: Path, name: str, version: str | None) -> None:
    """What `pip` leaves of a package: its folder of metadata; without a version, an empty one."""
    info = folder / f"{name.replace('-', '_')}-{version or '9.9'}.dist-info"
    info.mkdir(parents=True)
    if version:
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_the_version_is_the_one_that_python_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, version in (("second", "1.5"), ("first", "2.5")):
        install(tmp_path / folder, "two-of-them", version)
        monkeypatch.syspath_prepend(tmp_path / folder)
    assert installed_version("two-of-them") == installed_version("Two_Of_Them") == "2.5"
    assert installed_version("none-of-them") is None
    assert installed_version("torch") == torch.__version__


def test_a_folder_without_metadata_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation that broke off left it; the machine is fine all the same."""
    install(tmp_path, "left-over", None)
    install(tmp_path, "torch", None)
    monkeypatch.syspath_prepend(tmp_path)
    assert installed_version("left-over") is None
    assert installed_version("torch") == torch.__version__
    assert {f.severity for f in examine_environment() if f.name == "packages"} == {"fine"}


@pytest.mark.parametrize(
    ("threads", "cores", "variable", "severity", "seen"),
    [
        (2, 2, None, "fine", "PyTorch computes with 2 threads on 2 cores."),
        (1, 4, "1", "fine", "PyTorch computes with 1 thread on 4 cores; OMP_NUM_THREADS is '1'."),
        (4, 4, "4,2", "fine", "4 cores; OMP_NUM_THREADS is '4,2'."),
        (8, 2, None, "warning", "PyTorch computes with 8 threads on 2 cores."),
        (2, 2, "two", "warning", "OMP_NUM_THREADS is 'two', which is no number of threads."),
        (2, 2, "0", "warning", "OMP_NUM_THREADS is '0', which is no number"),
        (2, 2, "-1", "warning", "OMP_NUM_THREADS is '-1', which is no number"),
        (2, 2, "", "warning", "OMP_NUM_THREADS is '', which is no number"),
    ],
)
def test_threads(threads: int, cores: int, variable: str | None, severity: str, seen: str) -> None:
    finding = check_threads(threads, cores, variable)
    assert finding.severity == severity
    assert seen in finding.seen


def test_device() -> None:
    assert outcome(check_device(False, None, False)) == ("fine", "No GPU; the CPU computes.")
    assert outcome(check_device(False, "12.8", False)) == ("fine", "No GPU; the CPU computes.")
    assert outcome(check_device(True, "12.8", True)) == ("fine", "PyTorch, built for CUDA 12.8, sees a GPU.")
    severity, seen = outcome(check_device(False, None, True))
    assert severity == "warning"
    assert "PyTorch is a CPU build" in seen
    severity, seen = outcome(check_device(False, "12.8", True))
    assert severity == "warning"
    assert "built for CUDA 12.8, sees no GPU" in seen


def test_disk(tmp_path: Path) -> None:
    cache = tmp_path / "not" / "yet" / "made"
    assert check_disk(tmp_path, cache).severity == "fine"
    assert not (tmp_path / "not").exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that not even root can write to")
def test_folders_that_cannot_be_written_to(tmp_path: Path) -> None:
    locked = Path("/proc/self")
    finding = check_disk(locked, tmp_path)
    assert finding.severity == "warning"
    assert finding.seen.startswith("/proc/self cannot be written to: ")
    assert "--out" in finding.advice
    assert "XDG_CACHE_HOME" in check_disk(tmp_path, locked / "cache").advice


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may look everywhere, so for a while root is somebody else."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_a_cache_below_a_folder_that_may_not_be_looked_into(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "cache").mkdir(parents=True)
    with TemporaryDirectory() as here:
        Path(here).chmod(0o777)
        closed.chmod(0)
        with as_nobody():
            finding = check_disk(Path(here), closed / "cache" / "convscope")
        closed.chmod(0o700)
    assert finding.severity == "warning"
    assert finding.seen.endswith(" cannot be written to: Permission denied.")
    assert "XDG_CACHE_HOME" in finding.advice


def without_bias(x: Tensor, w: Tensor, b: Tensor, stride: int, padding: int) -> Tensor:
    return F.conv2d(x, w, 0 * b, stride, padding)


def turned_kernel(x: Tensor, w: Tensor, b: Tensor, stride: int, padding: int) -> Tensor:
    return F.conv2d(x, w.flip(2, 3), b, stride, padding)


def coarse(x: Tensor, w: Tensor, b: Tensor, stride: int, padding: int) -> Tensor:
    return F.conv2d(x.bfloat16(), w.bfloat16(), b.bfloat16(), stride, padding).float()


def wrong_gradient_only(x: Tensor, w: Tensor, b: Tensor, stride: int, padding: int) -> Tensor:
    return F.conv2d(x, 0.99 * w + 0.01 * w.detach(), b, stride, padding)


def not_a_number(x: Tensor, w: Tensor, b: Tensor, stride: int, padding: int) -> Tensor:
    return F.conv2d(x, w, b, stride, padding) * float("nan")


def gradient_not_a_number(x: Tensor, w: Tensor, b: Tensor, stride: int, padding: int) -> Tensor:
    return F.conv2d(x, w + 0 * (w - w.detach()).sqrt(), b, stride, padding)


@pytest.mark.parametrize(
    "convolve", [without_bias, turned_kernel, coarse, wrong_gradient_only, not_a_number, gradient_not_a_number]
)
def test_a_wrong_convolution_is_noticed(convolve: object) -> None:
    finding = check_convolution(convolve)
    assert finding.severity == "problem"
    assert finding.seen.startswith("PyTorch's convolution differs")


def test_the_right_convolution_passes_also_where_gradients_are_off() -> None:
    with torch.inference_mode():
        assert check_convolution(F.conv2d).severity == "fine"
