"""A finished run in, its README.md out: what was trained, how well it does, what lies in the folder, how to go on."""

from collections.abc import Sequence

from convscope.runs.captions import percent
from convscope.runs.environment import command_line
from convscope.runs.report import Note, wilson_interval
from convscope.runs.run import Run

FILES = """\
| file | what |
|---|---|
| `report.html` | everything on one page, for a browser |
| `config.yaml` | the configuration; `convscope train config.yaml` trains the same network again |
| `metrics.csv` | losses, accuracies, learning rate, seconds and images a second of every epoch |
| `results.json` | the figures above, for a machine |
| `best.pt` | the checkpoint of the best validation accuracy; rebuilds the model by itself |
| `latest.pt` | the checkpoint of the last epoch |
| `environment.json` | machine, device, threads and versions |
| `plots/` | learning curves, confusion matrix, learned filters, feature maps, Grad-CAM gallery, the network as drawn |
| `manifest.json` | size and SHA-256 of each of these; `convscope verify` checks them |
"""


def card(run: Run, notes: Sequence[Note], test: int) -> str:
    """The run's README as Markdown; `test` is the number of test pictures."""
    results, train = run.results, run.config.train
    low, high = wilson_interval(round(results["test_accuracy"] * test), test)
    channels, height, width = run.input_shape
    validation, tta = results["val_accuracy"], results.get("test_accuracy_tta")
    averaged = (
        "" if tta is None else f"Averaged over six views of each (test-time augmentation), {percent(tta, 2)} are. "
    )
    lines = [
        f"# {run.config.recipe}: {run.model_name} on {run.config.data.name}",
        "",
        f"{percent(results['test_accuracy'], 2)} of {test:,} held-out test pictures are classified correctly "
        f"(95 % interval {percent(low)} to {percent(high)}). {averaged}"
        "The test set was looked at once, after training.",
        "",
        "| | |",
        "|---|---|",
        f"| model | {run.model_name}, {run.parameters:,} parameters |",
        f"| input | {channels}×{height}×{width} (C×H×W), normalised with the training pictures' mean and deviation |",
        f"| classes | {len(run.classes)}: {', '.join(run.classes)} |",
        f"| training | {results['epochs']} epochs of {train.optimizer}, seed {train.seed}, "
        f"{results['train_seconds']:.1f} s, {results['images_per_second']:,.0f} images/s |",
        f"| best validation accuracy | {'nothing held out' if validation is None else percent(validation, 2)} |",
        f"| checkpoint chosen | epoch {run.checkpoint['epoch']} |",
        "",
        *(f"> {note.text}\n" for note in notes),
        "## In this folder",
        "",
        FILES,
        "## Going on",
        "",
        "```",
        *(
            command_line(["convscope", command, str(run.path), *rest])
            for command, *rest in [
                ("predict", "picture.png"),
                ("explain", "--index", "0"),
                ("look", "filters"),
                ("prove",),
                ("verify",),
            ]
        ),
        "```",
    ]
    return "\n".join(lines) + "\n"
