"""A run folder in, findings out: its checkpoint, how its training went, its pictures, and the model on its test set."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor, nn

from convscope.data import ImageSet, hold_out, load_at_hand
from convscope.data.lock import locked
from convscope.doctor.finding import Finding, sentence
from convscope.doctor.model import examine
from convscope.errors import ConvscopeError
from convscope.models import build_model
from convscope.registry import MODELS
from convscope.runs import Run, load_run
from convscope.runs.artifacts import BEST, CONFIG, LATEST, MANIFEST, METRICS, RESULTS
from convscope.runs.captions import percent
from convscope.runs.checkpoint import load_checkpoint
from convscope.runs.claim import LOCK
from convscope.runs.environment import command_line
from convscope.runs.notes import Remark, few_pictures, near_guessing, overfitting

Stage = Literal["finished", "at work", "broken off"]

AGAIN = "Copy the run again, or train again."
SMALLER = "train again with a smaller train.lr or a longer train.warmup"
SAMPLE = 512  # test pictures that are looked at, balanced over the classes
DIVERGED = 2.0  # times the loss of guessing
OFF_CENTRE = 0.5  # mean of a channel after normalisation, which should be 0
OFF_SCALE = 1.5  # its standard deviation, which should be 1, or the inverse
ROUNDING = 0.05  # of either, from pictures added or decoded otherwise


def examine_run(folder: Path, data_dir: Path | None = None) -> list[Finding]:
    """Look for the classic mistakes in a run folder, finished or not; nothing is downloaded.

    The model is held against a part of its test set, balanced over the classes, as `examine` does it. What cannot be
    looked at because of an earlier problem is left out.

    Args:
        data_dir: where the data set lies, and nowhere else.

    Raises:
        ConvscopeError: `folder` is no folder.
    """
    if not folder.is_dir():
        raise ConvscopeError(f"no run folder {folder}; `convscope train RECIPE --out {folder}` makes one")
    return list(_examine_run(folder, data_dir))


def _examine_run(folder: Path, data_dir: Path | None) -> Iterator[Finding]:
    stage = stage_of(folder)
    yield (checkpoint := check_checkpoint(folder, stage))
    yield (training := check_training(folder, stage))
    if checkpoint.severity == "problem" or not (folder / BEST).exists():
        return
    run = load_run(folder)
    recorded = training.severity == "fine" and stage == "finished"
    if recorded:
        yield _from_remarks("overfitting", overfitting(run), _gap(run))
    try:
        pictures, test = load_at_hand(run.config.data, data_dir)
        training_set, validation = hold_out(pictures, run.config)
    except ConvscopeError as error:
        advice = "Name the folder that has it with --data-dir, or let `convscope data fetch` download it."
        seen = f"The data set is not at hand ({error}): neither normalisation nor answers were looked at."
        yield Finding("data", "warning", seen, advice)
        if recorded:
            reached = f"Test accuracy was {percent(run.results['test_accuracy'])}."
            yield _from_remarks("accuracy", near_guessing(run), reached)
        return
    counts = len(training_set), len(validation or ()), len(test)
    if (training_set.shape, training_set.classes) != (run.input_shape, run.classes):
        advice = "Give the data set of the training with --data-dir, or train again on this one."
        seen = (
            f"The data set has pictures {training_set.shape} of {len(training_set.classes)} classes; "
            f"the run was trained on {run.input_shape} of {len(run.classes)}, or on others of other names."
        )
        yield Finding("data", "problem", seen, advice)
        return
    numbers = "{:,} training, {:,} validation and {:,} test pictures.".format(*counts)
    yield _from_remarks("data", few_pictures(run, *counts) if recorded else iter(()), numbers)
    yield check_normalisation(run, training_set)
    sample = test.subset(min(SAMPLE, len(test)), seed=0)
    yield from examine(run.model, run.preprocess(sample.images), sample.labels)


def stage_of(folder: Path) -> Stage:
    """Whether the run in `folder` has all its files, is being trained by a process right now, or neither."""
    if (folder / MANIFEST).exists():  # it is written last
        return "finished"
    try:
        if (folder / LOCK).exists():  # else nobody holds it, and to look must not make one
            with locked(folder / LOCK, wait=False):
                pass
    except BlockingIOError:
        return "at work"
    except OSError:  # another user's: only they can tell
        pass
    return "broken off"


def check_checkpoint(folder: Path, stage: Stage) -> Finding:
    """Whether there is a checkpoint and its weights are those of the model that it names."""
    nothing = not any((folder / name).exists() for name in (BEST, LATEST))
    if nothing and stage == "at work":
        return Finding("checkpoint", "fine", "There is none yet: the training has just begun.")
    try:
        checkpoint = _first_or_best(folder, stage)
    except ConvscopeError as error:
        begun = nothing and stage == "broken off" and (folder / CONFIG).is_file()
        advice = f"`{_resume(folder)}` begins again." if begun else AGAIN
        return Finding("checkpoint", "problem", sentence(str(error)), advice)
    named, shape, classes = checkpoint["model"], tuple(checkpoint["input_shape"]), len(checkpoint["classes"])
    state: dict[str, Tensor] = checkpoint["model_state"]
    advice = (
        f"The weights fit {_fitting(state, shape, classes)}. Take the checkpoint of the model that you mean, "
        "or build the model that these weights were trained in."
    )
    try:
        expected = build_model(named["name"], shape, classes, **named["options"]).state_dict()
    except ConvscopeError as error:
        return Finding("checkpoint", "problem", f"Its model cannot be built: {error}.", advice)
    differences = _differences(expected, state)
    if not differences:
        early = "" if (folder / BEST).exists() else f" in {LATEST}; {BEST} comes with the end of an epoch"
        return Finding("checkpoint", "fine", f"The weights fit {named['name']}, {len(state)} tensors{early}.")
    more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
    options = "".join(f", {key}={value}" for key, value in named["options"].items())
    seen = f"The weights do not fit {named['name']}{options}: {'; '.join(differences[:3])}{more}."
    return Finding("checkpoint", "problem", seen, advice)


def _first_or_best(folder: Path, stage: Stage) -> dict[str, Any]:
    """The content of best.pt; of latest.pt while a training is in its first epoch."""
    if stage != "finished" and not (folder / BEST).exists() and (folder / LATEST).exists():
        latest = load_checkpoint(folder / LATEST)
        if latest["epoch"] == 0:
            return latest
    return load_checkpoint(folder / BEST)


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


def _fitting(state: dict[str, Tensor], shape: Any, classes: int) -> str:
    """The registered models whose layers have these names; shapes depend on options, so they may differ."""
    fitting = []
    for name in MODELS:
        try:
            expected = build_model(name, shape, classes).state_dict()
        except ConvscopeError:  # the pictures are too small for it
            continue
        if expected.keys() == state.keys():
            same = all(expected[key].shape == tensor.shape for key, tensor in state.items())
            fitting.append(name if same else f"{name} with other options")
    return " or ".join(fitting) or "none of convscope's models"


def check_training(folder: Path, stage: Stage) -> Finding:
    """How the training went, by its records: NaN, diverged, never finished."""
    if not (folder / METRICS).exists():
        return _unfinished(folder, stage, 0)
    run = Run(folder, {}, nn.Identity())  # only its records are read: the checkpoint may be another's
    try:
        rows = run.metrics
        if not rows or not {"train_loss", "train_accuracy", "val_accuracy"} <= rows[0].keys():
            raise ConvscopeError(f"{folder / METRICS} has no row, or lacks columns")
        if stage == "finished" and not 0 <= run.results.get("test_accuracy", -1) <= 1:
            raise ConvscopeError(f"{folder / RESULTS} has no test accuracy in [0, 1]")
    except (ConvscopeError, TypeError) as error:
        return Finding("training", "problem", f"The records cannot be read: {error}.", AGAIN)
    losses = [row["train_loss"] or 0.0 for row in rows]
    broken = [i for i, row in enumerate(rows, 1) if not all(math.isfinite(v) for v in row.values() if v is not None)]
    if broken:
        return Finding(
            "training", "problem", f"The metrics of epoch {broken[0]} contain NaN or infinity.", sentence(SMALLER)
        )
    if (classes := _classes(folder)) and losses[-1] > DIVERGED * math.log(classes):
        seen = f"The training loss ended at {losses[-1]:.3g}; guessing gives {math.log(classes):.3g}: it has diverged."
        return Finding("training", "problem", seen, sentence(SMALLER))
    if stage != "finished":
        return _unfinished(folder, stage, len(rows))
    return Finding("training", "fine", f"{len(rows)} epochs, training loss {losses[0]:.3f} to {losses[-1]:.3f}.")


def _unfinished(folder: Path, stage: Stage, epochs: int) -> Finding:
    """A run without a manifest, or without records, after so many epochs."""
    if stage == "at work":
        return Finding("training", "fine", f"Still training: {epochs} epoch{'s' * (epochs != 1)} done so far.")
    seen = f"The training stopped after epoch {epochs}: there is no {RESULTS}."
    advice = f"If it was interrupted, `{_resume(folder)}` goes on; if the loss became nan: {SMALLER}."
    if not epochs:
        seen = f"There is no {METRICS}: no epoch was ever finished."
    elif (folder / RESULTS).exists():
        seen = f"The training ended while its results were being written: there is no {MANIFEST}."
        advice = f"`{_resume(folder)}` finishes it."
    resumable = stage == "broken off" and (folder / CONFIG).is_file()
    return Finding("training", "problem", seen, advice if resumable else AGAIN)


def _resume(folder: Path) -> str:
    """The command line that goes on with a run."""
    return command_line(["convscope", "train", "--resume", str(folder)])


def check_normalisation(run: Run, training: ImageSet) -> Finding:
    """The training pictures as the checkpoint normalises them: every channel's mean should be 0, its deviation 1."""
    means, stds = (np.array(values) for values in training.channel_stats())
    scale = np.array([std or 1.0 for std in run.checkpoint["std"]])
    centre, spread = (means - run.checkpoint["mean"]) / scale, np.where(stds > 0, stds / scale, 1.0)
    worst = int(np.argmax(np.maximum(abs(centre), abs(np.log(spread)))))
    seen = f"Normalised, the training pictures have mean {centre[worst]:.2g} and standard deviation {spread[worst]:.3g}"
    if abs(centre).max() > OFF_CENTRE or not (1 / OFF_SCALE < spread.min() <= spread.max() < OFF_SCALE):
        advice = (
            "The checkpoint's mean and std are not those of these pictures on [0, 1]: train again with the pictures' "
            "own (ImageSet.channel_stats), or give the pictures that it was trained on with --data-dir."
        )
        return Finding("normalisation", "problem", f"{seen} in channel {worst}.", advice)
    if max(abs(centre).max(), abs(spread - 1).max()) > ROUNDING:
        advice = "See whether the pictures have changed since the training, or whether mean and std are of another set."
        return Finding("normalisation", "warning", f"{seen} in channel {worst}.", advice)
    return Finding("normalisation", "fine", f"{seen}.")


def _from_remarks(name: str, remarks: Iterator[Remark], otherwise: str) -> Finding:
    """The first warning among the remarks on a run, else what is to be said of a run without one."""
    for remark in remarks:
        if remark.level == "warning":
            return Finding(name, "warning", remark.seen, remark.advice)
    return Finding(name, "fine", otherwise)


def _gap(run: Run) -> str:
    last = run.metrics[-1]
    validation = "nothing held out" if last["val_accuracy"] is None else f"validation {percent(last['val_accuracy'])}"
    return f"Accuracy at the end: training {percent(last['train_accuracy'] or 0.0)}, {validation}."


def _classes(folder: Path) -> int | None:
    """How many classes the run has, if any of its checkpoints says so."""
    try:
        return len(load_checkpoint(folder / BEST)["classes"])
    except ConvscopeError:
        return None
