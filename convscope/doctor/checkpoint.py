"""A run folder in, a finding on its checkpoint out: is there one, and are its weights those of the model it names?"""

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from convscope.doctor.finding import Finding, sentence
from convscope.doctor.stage import AGAIN, Stage
from convscope.errors import ConvscopeError
from convscope.models import build_model
from convscope.models.base import Shape
from convscope.registry import MODELS
from convscope.runs.artifacts import BEST, CONFIG, LATEST, weights_of
from convscope.runs.checkpoint import Budget, load_checkpoint
from convscope.runs.environment import resume_command


def check_checkpoint(folder: Path, stage: Stage) -> Finding:
    """Whether there is a checkpoint and its weights are those of the model that it names."""
    weights = weights_of(folder)
    nothing = not weights.exists() and not (folder / LATEST).exists()
    if nothing and stage == "at work":
        return Finding("checkpoint", "fine", "There is none yet: the training has just begun.")
    try:
        checkpoint = _first_or_best(folder, stage)
    except ConvscopeError as error:
        begun = nothing and stage == "broken off" and (folder / CONFIG).is_file()
        advice = f"`{resume_command(folder)}` begins again." if begun else AGAIN
        return Finding("checkpoint", "problem", sentence(str(error)), advice)
    named, shape, classes = checkpoint["model"], tuple(checkpoint["input_shape"]), len(checkpoint["classes"])
    state: dict[str, Tensor] = checkpoint["model_state"]
    try:
        expected = _wanted(named["name"], shape, classes, **named["options"])
    except ConvscopeError as error:
        seen = f"Its model cannot be built: {error}."
        return Finding("checkpoint", "problem", seen, _advice(state, shape, classes))
    differences = _differences(expected, state)
    if not differences:
        early = "" if weights.exists() else f" in {LATEST}; {BEST} comes with the end of an epoch"
        return Finding("checkpoint", "fine", f"The weights fit {named['name']}, {len(state)} tensors{early}.")
    more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
    options = "".join(f", {key}={value}" for key, value in named["options"].items())
    seen = f"The weights do not fit {named['name']}{options}: {'; '.join(differences[:3])}{more}."
    return Finding("checkpoint", "problem", seen, _advice(state, shape, classes))


def _first_or_best(folder: Path, stage: Stage) -> dict[str, Any]:
    """The content of best.pt, or of its place in an export; of latest.pt while a training is in its first epoch."""
    if stage != "finished" and not (folder / BEST).exists() and (folder / LATEST).exists():
        latest = load_checkpoint(folder / LATEST)
        if latest["epoch"] == 0:
            return latest
    return load_checkpoint(weights_of(folder))


def _wanted(name: str, shape: Shape, classes: int, **options: Any) -> dict[str, Tensor]:
    """The weights that a model takes: names and shapes without numbers, which a checkpoint may ask any amount of."""
    try:
        with torch.device("meta"), Budget(sys.maxsize):
            return build_model(name, shape, classes, **options).state_dict()
    except MemoryError:
        raise ConvscopeError(f"{name} would have more numbers than any machine holds") from None


def _differences(expected: dict[str, Tensor], found: dict[str, Tensor]) -> list[str]:
    """What of the model lacks its weights, what is over, and what has another shape."""
    return [
        *(f"{name} is missing" for name in expected if name not in found),
        *(f"{name} has no place" for name in found if name not in expected),
        *(
            f"{name} is {tuple(found[name].shape)}, the model has {tuple(tensor.shape)}"
            for name, tensor in expected.items()
            if name in found and found[name].shape != tensor.shape
        ),
    ]


def _advice(state: dict[str, Tensor], shape: Shape, classes: int) -> str:
    """Names the registered models whose layers have these names; shapes depend on options, so they may differ."""
    fitting = []
    for name in MODELS:
        try:
            expected = _wanted(name, shape, classes)
        except ConvscopeError:  # the pictures are too small for it
            continue
        if expected.keys() == state.keys():
            same = all(expected[key].shape == tensor.shape for key, tensor in state.items())
            fitting.append(name if same else f"{name} with other options")
    names = " or ".join(fitting) or "none of convscope's models"
    return (
        f"The weights fit {names}. Take the checkpoint of the model that you mean, "
        "or build the model that these weights were trained in."
    )
