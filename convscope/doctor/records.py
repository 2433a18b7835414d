"""A run folder in, a finding on its records out: did the training come to its end, and did it learn on the way?"""

import math
from contextlib import suppress
from pathlib import Path

from torch import nn

from convscope.doctor.finding import Finding, sentence
from convscope.doctor.stage import AGAIN, Stage
from convscope.errors import ConvscopeError
from convscope.runs import Run
from convscope.runs.artifacts import CONFIG, LATEST, MANIFEST, METRICS, RESULTS, weights_of
from convscope.runs.checkpoint import load_checkpoint
from convscope.runs.environment import resume_command

SMALLER = "train again with a smaller train.lr or a longer train.warmup"
DIVERGED = 2.0  # times the loss of guessing


def check_training(folder: Path, stage: Stage) -> Finding:
    """How the training went, by its records: NaN, diverged, never finished."""
    if not (folder / METRICS).exists():
        name, epoch = _kept(folder)
        if not epoch:
            return _unfinished(folder, stage, 0)
        seen = f"{METRICS} is missing, though {epoch} epoch{'s' * (epoch != 1)} are behind {name}."
        return Finding("training", "problem", seen, AGAIN)
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
    advice = f"If it was interrupted, `{resume_command(folder)}` goes on; if the loss became nan: {SMALLER}."
    if not epochs:
        seen = f"There is no {METRICS}: no epoch was ever finished."
    elif (folder / RESULTS).exists():
        seen = f"The training ended while its results were being written: there is no {MANIFEST}."
        advice = f"`{resume_command(folder)}` finishes it."
    resumable = stage == "broken off" and (folder / CONFIG).is_file()
    return Finding("training", "problem", seen, advice if resumable else AGAIN)


def _kept(folder: Path) -> tuple[str, int]:
    """(name, epochs done) of the checkpoint that got furthest, of those that can be read; ("", 0) without one."""
    kept = [("", 0)]
    for path in (folder / LATEST, weights_of(folder)):
        with suppress(ConvscopeError):
            kept.append((path.name, load_checkpoint(path)["epoch"]))
    return max(kept, key=lambda pair: pair[1])


def _classes(folder: Path) -> int | None:
    """How many classes the run has, if any of its checkpoints says so."""
    for path in (weights_of(folder), folder / LATEST):
        with suppress(ConvscopeError):
            return len(load_checkpoint(path)["classes"])
    return None
