"""Checkpoints: plain tensors and plain values that rebuild the model by themselves, read so that no code can run."""

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from convscope.errors import ConvscopeError, UsageError
from convscope.models import build_model
from convscope.pictures import MAX_PIXELS
from convscope.runs.artifacts import write_file
from convscope.runs.weights import from_safetensors

FORMAT = 1
PROBES = 4  # pictures of zeros that building a model may send through it, to see the sizes of its layers
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
FOR_TRAINING = ("optimizer_state", "schedule_state", "run_dir")  # what only going on needs, and an export leaves out
FOR_USE = tuple(key for key in KEYS if key not in FOR_TRAINING)


def _list_of(kind: type, least: int, most: int | None = None) -> Callable[[Any], bool]:
    """Whether a value is a list of `least` to `most` values of one kind."""
    return lambda value: (
        isinstance(value, list)
        and least <= len(value) <= (most or len(value))
        and all(type(item) is kind for item in value)
    )


# what rebuilding and using a model relies on; the rest matters only for going on with training
CONTENT: dict[str, Callable[[Any], bool]] = {
    "model": lambda m: isinstance(m, dict) and isinstance(m.get("name"), str) and isinstance(m.get("options"), dict),
    "model_state": lambda state: isinstance(state, dict) and all(isinstance(v, torch.Tensor) for v in state.values()),
    "epoch": lambda epoch: type(epoch) is int,
    "classes": lambda names: _list_of(str, 2)(names) and all(name.splitlines() in ([], [name]) for name in names),
    "input_shape": lambda shape: _list_of(int, 3, 3)(shape) and min(shape) > 0 and math.prod(shape[1:]) <= MAX_PIXELS,
    "mean": _list_of(float, 1),
    "std": _list_of(float, 1),
    "picture": lambda picture: isinstance(picture, dict),
    "config": lambda config: isinstance(config, dict),
}


def save_checkpoint(path: Path, checkpoint: dict[str, Any]) -> None:
    """Write `checkpoint` (its keys are `KEYS`) to memory first and then, in one rename, to `path`."""
    assert checkpoint.keys() == set(KEYS), checkpoint.keys() ^ set(KEYS)
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    write_file(path, buffer.getvalue())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; only tensors and plain values can come out of the file, never code.

    A `.safetensors` file that `convscope export` made has only the keys `FOR_USE`.

    Raises:
        ConvscopeError: no such file, not a checkpoint, or one of another format; one line.
    """
    exported = path.suffix == ".safetensors"
    try:
        checkpoint = from_safetensors(path) if exported else torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ConvscopeError(f"no checkpoint {path}; give the folder of a run that convscope trained") from None
    except ConvscopeError:
        raise
    except Exception as error:  # garbage makes torch's restricted unpickler raise anything: KeyError, IndexError, …
        reason = error.strerror if isinstance(error, OSError) else None
        reason = reason or "damaged, or holding more than tensors and plain values"
        raise ConvscopeError(f"{path} is not a readable checkpoint: {reason}") from None
    keys = FOR_USE if exported else KEYS
    if not isinstance(checkpoint, dict) or not set(keys) <= checkpoint.keys():
        raise ConvscopeError(f"{path} is not a convscope checkpoint: it lacks some of {', '.join(keys)}")
    if checkpoint["format"] != FORMAT:
        raise ConvscopeError(
            f"{path} has checkpoint format {checkpoint['format']!r}; this version reads format {FORMAT}"
        )
    if wrong := next((key for key, is_right in CONTENT.items() if not is_right(checkpoint[key])), None):
        raise ConvscopeError(f"{path} is not a usable checkpoint: its {wrong!r} is {checkpoint[wrong]!r:.60}")
    if not len(checkpoint["mean"]) == len(checkpoint["std"]) == checkpoint["input_shape"][0]:
        raise ConvscopeError(f"{path} is not a usable checkpoint: it normalises another number of channels than it has")
    return cast(dict[str, Any], checkpoint)


def rebuild_model(checkpoint: dict[str, Any]) -> nn.Module:
    """The trained model, in eval mode, from its checkpoint alone.

    However large the model that the checkpoint names, no more memory is asked for than its weights take.

    Raises:
        ConvscopeError: there is no such model, or the weights do not fit it.
    """
    named, state = checkpoint["model"], checkpoint["model_state"]
    shape, numbers = tuple(checkpoint["input_shape"]), sum(value.numel() for value in state.values())
    try:
        with Budget(numbers + PROBES * math.prod(shape)):
            model = build_model(named["name"], shape, len(checkpoint["classes"]), **named["options"])
    except UsageError as error:
        raise ConvscopeError(f"the checkpoint's model, {named!r:.200}, cannot be built: {error}") from None
    except MemoryError:
        raise ConvscopeError(
            f"the checkpoint's weights do not fit {named!r:.200}: it has more numbers than their {numbers:,}"
        ) from None
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        _, *reasons = " ".join(str(error).split()).split(": ", 1)  # the first part names torch's function
        raise ConvscopeError(f"the checkpoint's weights do not fit {named!r:.200}: {''.join(reasons)}") from None
    return model.eval()


class Budget(TorchFunctionMode):
    """While entered, a MemoryError as soon as more than so many numbers in all would be set up in new tensors."""

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.left = numbers

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count what `func` makes, if it makes tensors of the size that its arguments say."""
        if func in (torch.empty, torch.zeros, torch.ones):
            self.left -= math.prod(args[0] if len(args) == 1 and not isinstance(args[0], int) else args)
            if self.left < 0:
                raise MemoryError(f"{func.__name__}{args} is over the budget")
        return func(*args, **(kwargs or {}))
