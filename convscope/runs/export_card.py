"""An export in, its README.md out: which weights these are, what they reach, how they came to be, how to use them."""

import math
from typing import Any

from convscope.runs.artifacts import WEIGHTS, fingerprint
from convscope.runs.captions import percent
from convscope.runs.environment import command_line, read_environment
from convscope.runs.report import wilson_interval
from convscope.runs.run import Run

FILES = f"""\
| file | what |
|---|---|
| `{WEIGHTS}` | the network: weights in float16, and all that rebuilding it takes, in the metadata |
| `config.yaml` | the configuration; `convscope train config.yaml` trains such a network |
| `results.json` | the accuracies of these weights |
| `metrics.csv` | losses and accuracies of every epoch of the training, in its own precision |
| `environment.json` | on what it was trained: machine, device, threads and versions |
| `manifest.json` | size and SHA-256 of each of these; `convscope verify` checks them |
"""


def export_card(run: Run, test: int) -> str:
    """The README of an export as Markdown; `test` is the number of test pictures.

    Raises:
        ConvscopeError: `environment.json` or `results.json` cannot be read.
    """
    results = run.results
    low, high = wilson_interval(round(results["test_accuracy"] * test), test)
    augmented = results.get("test_accuracy_tta")
    lines = [
        f"# {run.config.recipe}: {run.model_name} on {run.config.data.name}",
        "",
        f"These weights classify {percent(results['test_accuracy'], 2)} of {test:,} held-out test pictures correctly "
        f"(95 % interval {percent(low)} to {percent(high)})"
        + (f", and {percent(augmented, 2)} with test-time augmentation" if augmented is not None else "")
        + ". They were rounded to float16 first, and measured afterwards.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {what} | {said} |" for what, said in _facts(run, results, read_environment(run.path))),
        "",
        "## In this folder",
        "",
        FILES,
        "## Using it, from the folder above",
        "",
        "```",
        *(
            command_line(["convscope", command, run.path.name, *rest])
            for command, *rest in [("predict", "picture.png"), ("evaluate",), ("explain", "--index", "0"), ("verify",)]
        ),
        "```",
    ]
    return "\n".join(lines) + "\n"


def _facts(run: Run, results: dict[str, Any], record: dict[str, Any]) -> list[tuple[str, str]]:
    """What there is to know of the weights, a row each; what nobody wrote down has none."""
    train, weights = run.config.train, fingerprint(run.path / WEIGHTS)
    channels, height, width = run.input_shape
    options = ", ".join(f"{key}={value}" for key, value in run.config.model.options.items())
    validation = results["val_accuracy"]
    rows = [
        ("recipe", f"{run.config.recipe}, seed {train.seed}"),
        ("model", f"{run.model_name}{f' ({options})' if options else ''}, {run.parameters:,} parameters"),
        ("weights", f"`{WEIGHTS}`, {weights['bytes']:,} bytes, of epoch {run.checkpoint['epoch']}"),
        ("SHA-256", f"`{weights['sha256']}`"),
        ("input", f"{channels}×{height}×{width} (C×H×W)"),
        ("classes", f"{len(run.classes)}: {', '.join(run.classes)}"),
        ("validation accuracy", "nothing held out" if validation is None else percent(validation, 2)),
        ("training", _training(run, results)),
        ("command", f"`{record['command']}`" if record.get("command") else ""),
        ("machine", _listed(record, "processor", "platform")),
        ("computed on", _computed_on(record)),
        ("versions", _pairs({"Python": record.get("python")} | _mapping(record, "packages"))),
        *((f"{name} pictures", f"fingerprint `{value}`") for name, value in _mapping(record, "pictures").items()),
    ]
    return [(what, said) for what, said in rows if said]


def _training(run: Run, results: dict[str, Any]) -> str:
    seconds, rate = results["train_seconds"], results["images_per_second"]
    time = "" if seconds is None else f", {seconds / 60:.1f} minutes" if seconds >= 60 else f", {seconds:.1f} s"
    speed = f", {rate:,.0f} images/s" if rate is not None and math.isfinite(rate) else ""
    return f"{results['epochs']} epochs of {run.config.train.optimizer}{time}{speed}"


def _computed_on(record: dict[str, Any]) -> str:
    """The device, of how many cores how many threads, and the numbers of a training step."""
    precision = _mapping(record, "arithmetic").get("precision")
    parts = {"threads": record.get("threads"), "of cores": record.get("cores"), "steps in": precision}
    return ", ".join(filter(None, [_listed(record, "device"), _pairs(parts)]))


def _listed(record: dict[str, Any], *keys: str) -> str:
    return ", ".join(str(record[key]) for key in keys if record.get(key))


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items() if value)


def _mapping(record: dict[str, Any], key: str) -> dict[str, Any]:
    found = record.get(key)
    return {name: value for name, value in found.items() if value} if isinstance(found, dict) else {}
