"""Nothing in, a plain dictionary out that says on what a figure was measured: machine, device, threads, versions."""

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("convscope", "torch", "numpy", "pillow", "matplotlib", "scikit-learn")


def describe_environment(device: str) -> dict[str, Any]:
    """The machine, the device, the threads in use and the versions of what computes."""
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "command": " ".join(["convscope", *sys.argv[1:]]) if Path(sys.argv[0]).stem == "convscope" else None,
    }


def _processor() -> str:
    """The processor's model as Linux names it, or what Python knows elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
