"""Nothing in, a plain dictionary out that says on what a figure was measured: machine, device, threads, versions."""

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from convscope import __version__
from convscope.errors import ConvscopeError
from convscope.runs.artifacts import ENVIRONMENT, unreadable

PACKAGES = ("torch", "numpy", "pillow", "matplotlib", "scikit-learn")


def describe_environment(device: str) -> dict[str, Any]:
    """The machine, the device, the threads in use and the versions of what computes.

    `command` is the command line where convscope was run as a program, None where it was called from Python.
    """
    program = Path(sys.argv[0])
    as_program = program.stem == "convscope" or (program.stem, program.parent.name) == ("__main__", "convscope")
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "packages": {"convscope": __version__} | {name: version(name) for name in PACKAGES},
        "command": command_line(["convscope", *sys.argv[1:]]) if as_program else None,
    }


def read_environment(folder: Path) -> dict[str, Any]:
    """What `environment.json` of a run folder says; ConvscopeError where it cannot be read."""
    try:
        return dict(json.loads((folder / ENVIRONMENT).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ConvscopeError(f"{folder / ENVIRONMENT} {unreadable(error)}") from None


def command_line(words: Sequence[str]) -> str:
    """The words as one line that this system's shell takes apart again."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def resume_command(folder: Path) -> str:
    """The command line that goes on with a run that broke off."""
    return command_line(["convscope", "train", "--resume", str(folder)])


def _processor() -> str:
    """The processor's model as Linux names it, or what Python knows elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
