"""Nothing in, findings about this machine out: versions, threads, device, disk, and whether torch can convolve."""

import os
import platform
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from torch import Tensor

from convscope.data.locations import cache_folder
from convscope.doctor.finding import Finding
from convscope.numpy_nn import Conv2D

LEAST_FREE = 1e9  # bytes; the largest download with what it unpacks to stays below half of it
TOLERANCE = 1e-4  # of the largest value, as in `prove`
PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def examine_environment() -> list[Finding]:
    """What convscope needs of the machine, looked at in half a second; nothing is changed."""
    python, requirements = asked_for()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    driver = shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()
    return [
        check_python(platform.python_version(), python),
        check_packages(requirements, installed_version),
        check_threads(torch.get_num_threads(), cores, os.environ.get("OMP_NUM_THREADS")),
        check_device(torch.cuda.is_available(), torch.version.cuda or torch.version.hip, driver),
        check_disk(Path.cwd(), cache_folder()),
        check_convolution(F.conv2d),
    ]


def asked_for() -> tuple[str, list[str]]:
    """(Python version, requirements) as the installed package declares them, or the pyproject.toml of a checkout."""
    try:
        declared = metadata.metadata("convscope")
        return declared["Requires-Python"], metadata.requires("convscope") or []
    except metadata.PackageNotFoundError:
        project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
        return project["requires-python"], project["dependencies"]


def check_python(found: str, asked: str) -> Finding:
    """The interpreter's version against a specifier such as ">=3.11"."""
    if SpecifierSet(asked).contains(found, prereleases=True):
        return Finding("python", "fine", f"Python {found} ({asked} is asked for).")
    return Finding(
        "python",
        "problem",
        f"This is Python {found}; convscope needs {asked}.",
        "Install a newer Python and make the virtual environment again with it.",
    )


def installed_version(name: str) -> str | None:
    """The version that Python would import, of several the first on its path; None where there is none.

    As `importlib.metadata.version`, but a folder without metadata, which a broken-off `pip` leaves, hides no other.
    """
    found = (distribution.metadata for distribution in metadata.distributions(name=name))
    return next((described["Version"] for described in found if "Version" in described), None)


def check_packages(requirements: Sequence[str], version_of: Callable[[str], str | None]) -> Finding:
    """Requirements such as "torch>=2.4" against the versions that are installed; extras are nobody's duty."""
    wrong = []
    wanted = [r for r in map(Requirement, requirements) if r.marker is None or r.marker.evaluate({"extra": ""})]
    for requirement in wanted:
        version = version_of(requirement.name)
        if version is None:
            wrong.append(f"{requirement.name} is missing ({requirement.specifier} is asked for)")
        elif not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} is {version} ({requirement.specifier} is asked for)")
    if wrong:
        advice = "Run `pip install -c constraints.txt -e .` in the checkout, or `pip install --upgrade convscope`."
        return Finding("packages", "problem", f"{'; '.join(wrong)}.", advice)
    return Finding(
        "packages", "fine", f"PyTorch {torch.__version__}, NumPy {np.__version__}; all {len(wanted)} packages fit."
    )


def check_threads(threads: int, cores: int, variable: str | None) -> Finding:
    """Threads that torch computes with, cores that this process may use, and the value of OMP_NUM_THREADS."""
    seen = f"PyTorch computes with {threads} {_plural(threads, 'thread')} on {cores} {_plural(cores, 'core')}"
    if variable is not None:
        seen += f"; OMP_NUM_THREADS is {variable!r}"
        # OpenMP takes a list, one number a level of nesting
        if not all(part.strip().isdecimal() and int(part) > 0 for part in variable.split(",")):
            advice = f"Set OMP_NUM_THREADS to a whole number from 1 to {cores}, or unset it."
            return Finding("threads", "warning", f"{seen}, which is no number of threads.", advice)
    if threads > cores:
        advice = f"They wait for each other: set OMP_NUM_THREADS={cores}, or --set train.threads={cores}."
        return Finding("threads", "warning", f"{seen}.", advice)
    return Finding("threads", "fine", f"{seen}.")


def check_device(available: bool, build: str | None, driver: bool) -> Finding:
    """Whether torch sees a GPU, for what it was built (None: the CPU), and whether an NVIDIA driver is there."""
    if available:
        return Finding("device", "fine", f"PyTorch, built for CUDA {build}, sees a GPU.")
    if driver and build is None:
        return Finding(
            "device",
            "warning",
            "This machine has an NVIDIA driver, but PyTorch is a CPU build and cannot use the GPU.",
            "Install PyTorch's CUDA build with the line that PyTorch's own site gives for your system.",
        )
    if driver:
        return Finding(
            "device",
            "warning",
            f"This machine has an NVIDIA driver, but PyTorch, built for CUDA {build}, sees no GPU.",
            "See whether `nvidia-smi` lists one, whether its driver is new enough for that CUDA, "
            "and whether CUDA_VISIBLE_DEVICES hides it.",
        )
    return Finding("device", "fine", "No GPU; the CPU computes.")


def check_disk(here: Path, cache: Path) -> Finding:
    """Whether runs can be written below `here`, and downloads into `cache`, and what is free there."""
    exists = next(folder for folder in (cache, *cache.parents) if _is_there(folder))
    for folder, remedy in (
        (here, "Change into a folder of your own, or name one with --out."),
        (exists, "Let XDG_CACHE_HOME name a folder of your own, or give data sets with --data-dir."),
    ):
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            return Finding("disk", "warning", f"{folder} cannot be written to: {error.strerror}.", remedy)
    free = shutil.disk_usage(exists).free
    if free < LEAST_FREE:
        advice = "Make room, or let XDG_CACHE_HOME name a folder on another disk."
        return Finding("disk", "warning", f"Only {free / 1e9:.2f} GB are free for downloads in {cache}.", advice)
    return Finding("disk", "fine", f"{here} can be written to; {free / 1e9:,.0f} GB are free in {cache}.")


def _is_there(folder: Path) -> bool:
    """False too where nobody may look, for which `exists` raises before Python 3.14."""
    try:
        return folder.exists()
    except OSError:
        return False


def check_convolution(convolve: Callable[..., Tensor]) -> Finding:
    """Hold a convolution and its gradients against `numpy_nn`: shapes that take torch's different routes, in float32.

    Args:
        convolve: ``convolve(x, weight, bias, stride, padding)``, as torch.nn.functional.conv2d.
    """
    worst = max(_differences(convolve))
    if worst <= TOLERANCE:  # false for NaN
        return Finding(
            "convolution", "fine", f"PyTorch's and NumPy's convolution differ by {worst:.0e} of the largest."
        )
    return Finding(
        "convolution",
        "problem",
        f"PyTorch's convolution differs from the one in NumPy by {worst:.0e} of the largest value; "
        f"rounding alone stays below {TOLERANCE:.0e}.",
        "Install another version of PyTorch; until then trust no training on this machine.",
    )


def _differences(convolve: Callable[..., Tensor]) -> Iterator[float]:
    """Relative differences of output and gradients over a few shapes; infinity where one is no number."""
    rng = np.random.default_rng(0)
    for n, channels, filters, height, width, kernel, stride in ((2, 3, 5, 9, 12, 3, 2), (3, 16, 8, 10, 7, 1, 1)):
        layer = Conv2D(channels, filters, kernel, stride, padding=kernel // 2, rng=rng)
        for name in layer.params:
            layer.params[name] = layer.params[name].astype(np.float32)
        x = rng.standard_normal((n, channels, height, width), dtype=np.float32)
        ours = layer(x)
        upstream = rng.standard_normal(ours.shape, dtype=np.float32)
        with torch.inference_mode(False), torch.enable_grad():
            tensors = [torch.tensor(a, requires_grad=True) for a in (x, layer.params["weight"], layer.params["bias"])]
            theirs = convolve(*tensors, stride, kernel // 2)
            gradients = torch.autograd.grad(theirs, tensors, torch.from_numpy(upstream))
        expected = (ours, layer.backward(upstream), layer.grads["weight"], layer.grads["bias"])
        for a, b in zip(expected, (theirs, *gradients), strict=True):
            difference = float(np.abs(a - b.detach().numpy()).max() / np.abs(a).max())
            yield difference if np.isfinite(difference) else float("inf")


def _plural(count: int, noun: str) -> str:
    return noun if count == 1 else f"{noun}s"
