"""A checkpoint in, the bytes of a safetensors file out, its weights in float16; and a checkpoint from such a file."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from convscope.errors import ConvscopeError
from convscope.runs.artifacts import unreadable

ENTRY = "convscope"  # of the file's metadata, which are texts: everything but the tensors, as JSON
LARGEST = torch.finfo(torch.float16).max


def rounded(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights as the file will give them back: rounded to float16, kept in float32; counters as they are.

    Raises:
        ConvscopeError: a value is NaN, infinite or too large for float16.
    """
    halves = {name: _half(name, value) for name, value in state.items()}
    return {name: value.float() if value.is_floating_point() else value for name, value in halves.items()}


def to_safetensors(checkpoint: dict[str, Any]) -> bytes:
    """The whole file: `model_state` in float16, the rest of `checkpoint`, plain values, in its metadata.

    Equal checkpoints give equal bytes.

    Raises:
        ConvscopeError: as `rounded`.
    """
    tensors = {name: _half(name, value) for name, value in checkpoint["model_state"].items()}
    rest = {key: value for key, value in checkpoint.items() if key != "model_state"}
    return save(tensors, {ENTRY: json.dumps(rest, ensure_ascii=False)})


def from_safetensors(path: Path) -> dict[str, Any]:
    """What `to_safetensors` was given, floating-point weights in float32; unchecked but for being whole.

    Raises:
        OSError: the file cannot be read.
        ConvscopeError: it is no whole safetensors file, or not one of ours.
    """
    data = path.read_bytes()
    try:
        tensors = load(data)  # refuses every header that does not fit the bytes behind it
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise ConvscopeError(f"{path} is not a readable safetensors file: {' '.join(str(error).split())}") from None
    try:
        rest = dict(json.loads(header["__metadata__"][ENTRY]))
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise ConvscopeError(f"{path} does not say which network its weights are of: it {unreadable(error)}") from None
    state = {name: value.float() if value.is_floating_point() else value.clone() for name, value in tensors.items()}
    return rest | {"model_state": state}


def _half(name: str, value: Tensor) -> Tensor:
    """In memory of its own, laid out row by row, as the format wants it."""
    if not value.is_floating_point():
        return value.clone(memory_format=torch.contiguous_format)
    half = value.to(torch.float16, memory_format=torch.contiguous_format)
    if not half.isfinite().all():
        worst = value.abs().max().item()  # NaN where there is one
        raise ConvscopeError(f"{name} holds {worst:.3g}, float16 reaches {LARGEST:,.0f}: `convscope doctor` looks why")
    return half.clone() if half is value else half
