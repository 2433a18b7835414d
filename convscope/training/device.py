"""The name of a device in, one that this machine has out."""

import re

import torch

from convscope.errors import UsageError


def choose_device(name: str) -> str:
    """`auto` is CUDA where there is one, else the CPU; UsageError for a device that this machine lacks."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        raise UsageError(f"unknown train.device {name!r}; choose auto, cpu, cuda, cuda:N or mps")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"train.device {name!r} cannot be used here ({reason}); choose auto or cpu") from None
    return name
