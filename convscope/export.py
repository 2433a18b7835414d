"""A finished run in, a small run folder out: weights in float16, their accuracy, how they came to be; no training."""

import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from convscope.config import RunConfig
from convscope.errors import ConvscopeError, DataError
from convscope.evaluate import evaluate, summary
from convscope.runs import Run, load_run
from convscope.runs.artifacts import (
    CARD,
    CONFIG,
    ENVIRONMENT,
    MANIFEST,
    METRICS,
    RESULTS,
    WEIGHTS,
    write_file,
    write_json,
    write_manifest,
)
from convscope.runs.checkpoint import FOR_USE, rebuild_model
from convscope.runs.claim import free_folder
from convscope.runs.environment import read_environment
from convscope.runs.export_card import export_card
from convscope.runs.own_pictures import own_pictures
from convscope.runs.weights import rounded, to_safetensors

WORD = re.compile(r"'[^']*'|\"[^\"]*\"|\S+")  # of a command line, quoted or not


def export_safetensors(run: Run, folder: str | Path, data_dir: Path | None = None) -> Run:
    """Write a run folder that holds what using the network takes, and return it opened.

    `model.safetensors` rebuilds the network by itself: weights in float16, everything else in its metadata. Loaded,
    they are float32 tensors of the rounded values. `results.json` and the card give the accuracies of these values,
    measured here; `metrics.csv` stays the training's. Where files lay on this machine is left out. Every command works
    on such a folder, but for going on with the training.

    Args:
        run: a finished one, or an export.
        folder: to be made, or empty.
        data_dir: where the run's data set lies, and nowhere else; by default where the training found it.

    Raises:
        UsageError: `folder` holds something already.
        DataError: the data set is missing, or holds other pictures by now.
        ConvscopeError: the run is not finished, or float16 cannot hold its weights.
    """
    if not (run.path / MANIFEST).exists():
        raise ConvscopeError(f"{run.name} is not finished: it has no {MANIFEST}; export a finished run")
    config = without_place(run.config)
    folder = free_folder(folder, config)
    checkpoint = {key: run.checkpoint[key] for key in FOR_USE} | {"config": config.model_dump(mode="json")}
    record, metrics = read_environment(run.path), (run.path / METRICS).read_bytes()
    results, tested = measure(run, data_dir)
    weights = to_safetensors(checkpoint | {"best_val_accuracy": results["val_accuracy"]})

    write_file(folder / WEIGHTS, weights)
    write_file(folder / CONFIG, config.as_yaml())
    write_file(folder / METRICS, metrics)
    write_json(folder / ENVIRONMENT, without_places(record))
    write_json(folder / RESULTS, results | {"run": folder.name})
    exported = load_run(folder)
    write_file(folder / CARD, export_card(exported, tested))
    write_manifest(folder)
    return exported


def measure(run: Run, data_dir: Path | None) -> tuple[dict[str, Any], int]:
    """What `results.json` of the export says, from its rounded weights, and the number of test pictures."""
    state = rounded(run.checkpoint["model_state"])
    checkpoint = run.checkpoint | {"model_state": state}
    again = Run(run.path, checkpoint, rebuild_model(checkpoint))
    own = own_pictures(run, data_dir)
    if changed := [name for name in ("training", "validation", "test") if own.changed(name)]:
        raise DataError(
            f"the {' and '.join(changed)} pictures of {run.name} have changed since its training, so what the exported "
            "weights reach cannot be measured; give the folder that has them as they were with --data-dir"
        )
    results = summary(again, evaluate(again, own.test, run.config.train.tta))
    _, validation = own.split
    if validation is not None:
        results["val_accuracy"] = evaluate(again, validation).accuracy
    return results, len(own.test)


def without_place(config: RunConfig) -> RunConfig:
    """The configuration without the way to the user's pictures: of an absolute path, its last part."""
    if config.data.path is None:
        return config
    return config.model_copy(update={"data": config.data.model_copy(update={"path": last_part(config.data.path)})})


def without_places(record: dict[str, Any]) -> dict[str, Any]:
    """The content of `environment.json` without where files lay; of the command's absolute paths, the last parts."""
    kept = {key: value for key, value in record.items() if key != "data_dir"}
    if isinstance(command := kept.get("command"), str):
        kept["command"] = WORD.sub(lambda found: _shortened(found.group()), command)
    return kept


def last_part(path: str) -> str:
    """`pictures` of `/home/me/pictures` or `C:\\pictures`; what is not absolute stays."""
    kinds = PurePosixPath(path), PureWindowsPath(path)
    return next((kind.name or "." for kind in kinds if kind.is_absolute()), path)


def _shortened(word: str) -> str:
    """A word of a command line, ``path`` or ``key=path``, with the last part of an absolute path; quotes stay."""
    quote = word[0] if word[0] in "'\"" and word[-1] == word[0] else ""
    key, equals, value = word.strip(quote or None).rpartition("=")
    return f"{quote}{key}{equals}{last_part(value)}{quote}"
