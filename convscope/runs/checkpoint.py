"""Checkpoints: plain tensors and plain values that rebuild the model by themselves, read with `weights_only`."""

import io
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from convscope.errors import ConvscopeError
from convscope.models import build_model
from convscope.runs.artifacts import write_file

FORMAT = 1
KEYS = (
    "format",
    "model",
    "model_state",
    "optimizer_state",
    "schedule_state",
    "epoch",
    "step",
    "best_val_accuracy",
    "classes",
    "input_shape",
    "mean",
    "std",
    "picture",
    "config",
    "run_dir",
)


def save_checkpoint(path: Path, checkpoint: dict[str, Any]) -> None:
    """Write `checkpoint` (its keys are `KEYS`) to memory first and then, in one rename, to `path`."""
    assert checkpoint.keys() == set(KEYS), checkpoint.keys() ^ set(KEYS)
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    write_file(path, buffer.getvalue())


def load_checkpoint(path: Path, device: str = "cpu") -> dict[str, Any]:
    """Read a checkpoint; only tensors and plain values can come out of the file, never code.

    Raises:
        ConvscopeError: no such file, not a checkpoint, or one of another format; one line.
    """
    try:
        checkpoint = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise ConvscopeError(f"no checkpoint {path}; give the folder of a run that convscope trained") from None
    except Exception as error:  # garbage makes torch's restricted unpickler raise anything: KeyError, IndexError, …
        reason = next(iter(str(error).strip().splitlines()), "it ends too early")
        raise ConvscopeError(f"{path} is not a readable checkpoint: {reason}") from None
    if not isinstance(checkpoint, dict) or not set(KEYS) <= checkpoint.keys():
        raise ConvscopeError(f"{path} is not a convscope checkpoint: it lacks some of {', '.join(KEYS)}")
    if checkpoint["format"] != FORMAT:
        raise ConvscopeError(
            f"{path} has checkpoint format {checkpoint['format']!r}; this version reads format {FORMAT}"
        )
    return cast(dict[str, Any], checkpoint)


def rebuild_model(checkpoint: dict[str, Any]) -> nn.Module:
    """The trained model, in eval mode, from its checkpoint alone.

    Raises:
        ConvscopeError: the weights do not fit the architecture that the checkpoint names.
    """
    model = build_model(
        checkpoint["model"]["name"],
        tuple(checkpoint["input_shape"]),
        len(checkpoint["classes"]),
        **checkpoint["model"]["options"],
    )
    try:
        model.load_state_dict(checkpoint["model_state"])
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ConvscopeError(f"the checkpoint's weights do not fit {checkpoint['model']}: {reason}") from None
    return model.eval()
