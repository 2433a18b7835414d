"""START HERE. One run on one page: load the pictures, build the network, fit it, keep everything in a run folder."""

import math
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from convscope.config import RunConfig, differences, load_config, override
from convscope.errors import ConvscopeError, StoppedError, UsageError
from convscope.evaluate import evaluate, summary
from convscope.runs import Run, load_run
from convscope.runs.artifacts import CONFIG, MANIFEST, METRICS, write_csv
from convscope.runs.claim import claimed, free_folder, held
from convscope.runs.environment import resume_command
from convscope.runs.finish import finish
from convscope.training import Epoch, fit
from convscope.training.allocator import memory_kept
from convscope.training.interrupt import StopSignals, resumable
from convscope.training.job import Augment, Job, out_of_patience, prepare
from convscope.training.progress import Progress
from convscope.training.saving import begin, save, take_up

SAVE_EVERY = 60.0  # seconds between two savings within one epoch


def train(
    recipe: str | Path | RunConfig,
    *,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    augment: Augment | None = None,
    progress: bool = False,
    **overrides: Any,
) -> Run:
    """Train what `recipe` describes and return the finished run.

    Args:
        recipe: a shipped recipe's name, a YAML file, or a configuration.
        out: the run folder to make; by default ``runs/<recipe>-<date>-<time>``.
        data_dir: where the data set lies, and nowhere else.
        augment: any callable on a batch of uint8 pictures (N, C, H, W), after the recipe's own augmentation.
        progress: show it on standard error.
        **overrides: configuration keys, dots written as two underscores: ``train__epochs=5``.

    Raises:
        UsageError: a wrong configuration, or `out` already holds something.
        DataError: the data set is missing or broken.
        StoppedError: by Ctrl-C or SIGTERM; what was done is saved, `resume` goes on.
    """
    config = recipe if isinstance(recipe, RunConfig) else load_config(recipe)
    config = override(config, {key.replace("__", "."): value for key, value in overrides.items()})
    folder = free_folder(out, config)
    with memory_kept(config.train.keep_memory):
        job = prepare(config, data_dir, augment)
        with job.state.arithmetic.on_threads(), claimed(folder, config), resumable(folder):
            begin(job, folder)
            return carry_out(job, folder, [], progress)


def resume(
    folder: str | Path,
    config: RunConfig | None = None,
    *,
    data_dir: str | Path | None = None,
    augment: Augment | None = None,
    progress: bool = False,
) -> Run:
    """Go on with a training that broke off, in place: on a CPU it gives, bit for bit, what an unbroken one gives.

    A finished run comes back as it is. Where the data lay is remembered, unless a `data_dir` says where they are by
    now; an `augment` must be given again.

    Args:
        folder: the run folder.
        config: what the run is believed to be, if it is to be checked.

    Raises:
        UsageError: `config` is not the run's own, or another training is at work in the folder.
        ConvscopeError: no run folder, or it is damaged.
        StoppedError: again.
    """
    folder = Path(folder)
    if not (folder / CONFIG).is_file():
        raise ConvscopeError(f"no run in {folder} to go on with; `convscope train RECIPE --out {folder}` makes one")
    own = load_config(folder / CONFIG)
    if config is not None and (other := differences(own, config)):
        raise UsageError(f"{folder} was begun with {other}; leave out the recipe or --set that says otherwise")
    if (folder / MANIFEST).exists():
        if progress:
            print(f"{folder} is finished; nothing is left to do", file=sys.stderr)
        return load_run(folder)
    with memory_kept(own.train.keep_memory), held(folder, "or end that process"), resumable(folder):
        if (folder / MANIFEST).exists():  # another process finished it meanwhile
            return load_run(folder)
        job, rows = take_up(folder, own, data_dir, augment)
        if progress:
            print(f"going on {job.place(rows)}", file=sys.stderr)
        with job.state.arithmetic.on_threads():
            return carry_out(job, folder, rows, progress)


def carry_out(job: Job, folder: Path, rows: list[Epoch], progress: bool) -> Run:
    """Train from where `job` stands until the end, keeping everything in `folder`; `rows` are the epochs done."""
    settings, state = job.config.train, job.state
    saved = time.monotonic()
    work = [math.prod(size) for size in job.batches.sizes]
    shown = Progress(settings.epochs, job.batches.steps_per_epoch, state.step, progress, work)
    with shown, StopSignals() as stop:
        for record in () if out_of_patience(rows, settings.patience) else fit(state, job.batches):
            shown.show(record)
            done = isinstance(record, Epoch)
            if isinstance(record, Epoch):
                rows.append(record)
                write_csv(folder / METRICS, [asdict(row) for row in rows])
            if done or stop.signum or time.monotonic() - saved > SAVE_EVERY:
                save(job, folder, rows)
                saved = time.monotonic()
            if stop.signum:
                break
            if done and out_of_patience(rows, settings.patience):
                break
    if stop.signum:
        raise StoppedError(f"stopped {job.place(rows)}; `{resume_command(folder)}` goes on", stop.signum)

    run = load_run(folder)  # from the checkpoint alone, as every later command will
    evaluation = evaluate(run, job.test, settings.tta)
    results = summary(run, evaluation)
    counts = len(job.training), len(job.validation or ())
    tested = job.test.images, job.test.labels, evaluation.probabilities, evaluation.confusion
    for note in finish(run, results, *tested, *counts):
        if progress:
            print(f"note: {note.text}", file=sys.stderr)
    return run
