"""A trained run and its test pictures in, the rest of the run folder out: results, plots, card, report, manifest."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convscope.explain import display_size, explain, feature_maps, learned_filters, overlay
from convscope.runs import plots
from convscope.runs.anatomy import anatomy
from convscope.runs.artifacts import CARD, CONFIG, REPORT, RESULTS, write_file, write_json, write_manifest
from convscope.runs.canvas import class_labels
from convscope.runs.captions import heat_source, percent, verdict
from convscope.runs.card import card
from convscope.runs.environment import read_environment
from convscope.runs.layer_table import layer_rows
from convscope.runs.notes import notes
from convscope.runs.report import Note, ReportData, render_report
from convscope.runs.run import Run
from convscope.schedules import learning_rate

GALLERY = 12  # pictures in the explanation gallery, at most a third of them mistakes
NAME = (130, 9.5)  # points that the name of a class may take in a caption, and its type size


def finish(
    run: Run,
    results: dict[str, Any],
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    confusion: NDArray[np.int64],
    training: int,
    validation: int,
) -> list[Note]:
    """Write everything that a run folder holds besides configuration, metrics, checkpoints and environment.

    Args:
        results: what `train --json` prints.
        images, labels, probabilities: the test set, uint8 (N, C, H, W) and (N,), and what the run says of it, (N, K).
        confusion: counts, (K, K), rows true, columns predicted.
        training, validation: how many pictures the network learned from, and how many chose the best epoch.

    Returns:
        What to make of the run, in plain sentences.
    """
    folder, classes = run.path, run.classes
    write_json(folder / RESULTS, results)
    remarks = notes(run, training, validation, len(images))
    shown = gallery_choice(labels, probabilities)

    pictures = {
        "curves": plots.curves(run.metrics, learning_rates(run)),
        "confusion": plots.confusion(confusion, classes),
        "filters": draw_filters(run),
        "feature_maps": draw_feature_maps(run, images[shown[0]], labels[shown[0]]),
        "explain": draw_explanations(run, images[shown], labels[shown]),
        "network": plots.network(anatomy(run.model, run.input_shape), run.model_name),
    }
    for name, png in pictures.items():
        write_file(folder / "plots" / f"{name}.png", png)
    write_file(folder / CARD, card(run, remarks, len(images)))
    report = ReportData(
        run=str(folder),
        recipe=run.config.recipe,
        model=run.model_name,
        dataset=run.config.data.name,
        classes=classes,
        confusion=confusion,
        parameters=run.parameters,
        epochs=results["epochs"],
        best_epoch=run.checkpoint["epoch"] if validation else None,
        train_seconds=results["train_seconds"],
        images_per_second=results["images_per_second"],
        accuracy_tta=results.get("test_accuracy_tta"),
        layers=layer_rows(run),
        pictures=pictures,
        config_yaml=(folder / CONFIG).read_text(encoding="utf-8"),
        environment=read_environment(folder),
        notes=remarks,
        explain_index=int(shown[-1]),
    )
    write_file(folder / REPORT, render_report(report))
    write_manifest(folder)
    return remarks


def gallery_choice(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which test pictures to explain: the first right answer of each class, then the most confident mistakes."""
    predictions = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predictions != labels)
    wrong = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")][: GALLERY // 3]
    right = np.flatnonzero(predictions == labels)
    _, first = np.unique(labels[right], return_index=True)
    return np.concatenate([right[first][: GALLERY - len(wrong)], wrong])


def choice_text(correct: Sequence[bool], classes: int) -> str:
    """How `gallery_choice` came to pictures of which these were answered right, of so many classes."""
    parts, right = [], sum(correct)
    if right:
        parts.append(
            f"the first right answer of {'each class' if right == classes else f'{right} of {classes} classes'}"
        )
    if right < len(correct):
        parts.append("the most confident mistakes (framed, ✗)")
    return f"Shown: {', then '.join(parts)}."


def learning_rates(run: Run) -> NDArray[np.float64]:
    """The learning rate of every optimiser step that the run made, (steps,), as its schedule gives it."""
    settings, last = run.config.train, run.metrics[-1]
    steps, epochs = int(last["step"] or 0), int(last["epoch"] or 0)
    return np.array([learning_rate(settings, step, steps // epochs) for step in range(steps)])


def draw_filters(run: Run) -> bytes:
    """The kernels of the first convolution."""
    name, kernels = learned_filters(run.model)
    return plots.filters(kernels, name)


def draw_feature_maps(run: Run, picture: NDArray[np.uint8], label: int) -> bytes:
    """What every layer makes of one picture, uint8 (C, H, W), of the class `label`."""
    maps = feature_maps(run.model, run.preprocess(picture[None]))
    caption = verdict(class_labels(run.classes, *NAME), label, run.probabilities(picture[None])[0])
    return plots.feature_maps(picture, {name: value[0] for name, value in maps.items()}, caption)


def draw_explanations(run: Run, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> bytes:
    """Grad-CAM of each picture, uint8 (N, C, H, W), for the class it was taken for.

    The pictures are those of `gallery_choice`, as the line above them says; `labels` are their true classes.
    """
    found = explain(run.model, run.preprocess(images))
    names = class_labels(run.classes, *NAME)
    captions, correct = [], []
    for row, true, evidence in zip(run.probabilities(images), labels, found.evidence, strict=True):
        best = int(row.argmax())
        mistake = "" if best == true else f", taken for {names[best]}"
        empty = "; nothing argues for it" if evidence == "none" else ""
        captions.append(f"{names[true]}{mistake} ({percent(row[best])}){empty}")
        correct.append(best == int(true))
    heatmaps = found.heatmaps(display_size(*images.shape[2:]))
    overlays = [overlay(p, h) for p, h in zip(images, heatmaps, strict=True)]
    return plots.explanation_gallery(
        images, overlays, captions, correct, heat_source(found), subtitle=choice_text(correct, len(names))
    )
