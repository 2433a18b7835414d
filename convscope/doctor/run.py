"""A run folder in, findings out: its checkpoint, how its training went, its pictures, and the model on its test set."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from convscope.data import ImageSet
from convscope.doctor.checkpoint import check_checkpoint
from convscope.doctor.finding import Finding
from convscope.doctor.model import examine
from convscope.doctor.records import check_training
from convscope.doctor.stage import stage_of
from convscope.errors import ConvscopeError, UsageError
from convscope.runs import Run, find_run, load_run
from convscope.runs.artifacts import ENVIRONMENT, weights_of
from convscope.runs.captions import percent
from convscope.runs.notes import (
    FEW_VALIDATION,
    Remark,
    few_pictures,
    near_guessing,
    other_test_pictures,
    overfitting,
)
from convscope.runs.own_pictures import OwnPictures, own_pictures

SAMPLE = 512  # test pictures that are looked at, balanced over the classes
OFF_CENTRE = 0.5  # mean of a channel after normalisation, which should be 0
OFF_SCALE = 1.5  # its standard deviation, which should be 1, or the inverse
ROUNDING = 0.05  # of either, from pictures added or decoded otherwise


def examine_run(folder: Path, data_dir: Path | None = None) -> list[Finding]:
    """Look for the classic mistakes in a run folder, finished or not; nothing is downloaded.

    The model is held against a part of its test set, balanced over the classes, as `examine` does it. What cannot be
    looked at because of an earlier problem is left out. Pictures that have changed since the training are said to
    have, and are looked at as they are.

    Args:
        data_dir: where the data set lies, and nowhere else; by default where the training found it.

    Raises:
        ConvscopeError: `folder` is no folder, nor the name of a network that comes with convscope.
    """
    return list(_examine_run(find_run(folder), data_dir))


def _examine_run(folder: Path, data_dir: Path | None) -> Iterator[Finding]:
    stage = stage_of(folder)
    yield (checkpoint := check_checkpoint(folder, stage))
    yield (training := check_training(folder, stage))
    if checkpoint.severity == "problem" or not weights_of(folder).exists():
        return
    run = load_run(folder)
    recorded = training.severity == "fine" and stage == "finished"
    if recorded:
        yield _from_remarks("overfitting", overfitting(run), _gap(run))
    try:
        own = own_pictures(run, data_dir, download=False)
    except ConvscopeError as error:
        advice = "Name the folder that has it with --data-dir, or let `convscope data fetch` download it."
        seen = f"The data set is not at hand ({error}): neither normalisation nor answers were looked at."
        yield Finding("data", "warning", seen, advice)
        if recorded:
            # how many pictures there were is not known: taken to be few
            yield check_shift(run, FEW_VALIDATION, FEW_VALIDATION)
            reached = f"Test accuracy was {percent(run.results['test_accuracy'])}."
            yield _from_remarks("accuracy", near_guessing(run), reached)
        return
    yield (data := check_data(run, own, recorded))
    if data.severity == "problem":
        return
    training_set, validation = own.split
    shift = check_shift(run, len(validation or ()), len(own.test)) if recorded else None
    if shift:
        yield shift
    yield check_normalisation(run, training_set)
    sample = own.test.subset(min(SAMPLE, len(own.test)), seed=0)
    for finding in examine(run.model, run.preprocess(sample.images), sample.labels):
        if finding.name == "accuracy" and finding.advice and shift and shift.advice:
            finding = replace(finding, advice="It did learn, but something else than the test pictures ask: see shift.")
        yield finding


def check_data(run: Run, own: OwnPictures, recorded: bool) -> Finding:
    """Whether the pictures fit the run, are still those of its training, and are enough.

    Args:
        recorded: the run is finished and its records can be read.
    """
    as_before = "Give the folder that has them as they were with --data-dir, or train again on these."
    found = own.pictures.shape, own.pictures.classes
    if found != (run.input_shape, run.classes):
        seen = (
            f"The data set has pictures {own.pictures.shape} of {len(own.pictures.classes)} classes; "
            f"the run was trained on {run.input_shape} of {len(run.classes)}, or on others of other names."
        )
        advice = "Give the data set of the training with --data-dir, or train again on this one."
        return Finding("data", "problem", seen, advice)
    try:
        training, validation = own.split
    except UsageError as error:
        return Finding("data", "problem", f"The pictures are no longer those of the training: {error}.", as_before)
    counts = len(training), len(validation or ()), len(own.test)
    numbers = "{:,} training, {:,} validation and {:,} test pictures".format(*counts)
    if changed := [name for name in ("training", "validation", "test") if own.changed(name)]:
        which = " and ".join([", ".join(changed[:-1]), changed[-1]] if len(changed) > 1 else changed)
        seen = f"The {which} pictures are no longer those of the training; there are {numbers}."
        if "test" in changed and len(changed) > 1:
            seen += " Some that it learned from may be test pictures now, so its accuracy on these says little."
        return Finding("data", "warning", seen, as_before)
    if not own.recorded:
        seen = f"{numbers}, but {ENVIRONMENT} does not say whether the training had these."
        return Finding("data", "warning", f"There are {seen}", as_before)
    return _from_remarks("data", few_pictures(run, *counts) if recorded else iter(()), f"{numbers}.")


def check_shift(run: Run, validation: int, test: int) -> Finding:
    """Whether so many test pictures are like those, so many, that were held out of training."""
    held_out, tested = run.checkpoint["best_val_accuracy"], run.results["test_accuracy"]
    reached = f"Test accuracy {percent(tested)}" + ("" if held_out is None else f", validation {percent(held_out)}")
    return _from_remarks("shift", other_test_pictures(run, validation, test), f"{reached}.")


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
