"""A run and a picture in; a PNG of what argues for a class in it out: by one method, or by all."""

from collections.abc import Callable, Sequence
from pathlib import Path

from convscope.explain import display_size, explain, overlay, sweep
from convscope.explain.methods import INPUT
from convscope.explain.sweep import Attempt
from convscope.runs import Run, plots
from convscope.runs.canvas import class_labels
from convscope.runs.captions import heat_source, percent, verdict
from convscope.runs.sweep import SweepTile
from convscope.views.file import Values, check_ending, write_view
from convscope.views.picture import Picture, choose_target


def explain_picture(
    run: Run,
    picture: Picture,
    method: str = "grad-cam",
    target: str | None = None,
    layer: str | None = None,
    out: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Values:
    """Draw where the evidence for a class lies, beside the picture itself; `progress` as in `explain`."""
    batch = picture.pixels[None]
    found = explain(run.model, run.preprocess(batch), choose_target(run, target), layer, method, progress)
    heatmap = found.heatmaps(display_size(*picture.pixels.shape[1:]))[0]
    probabilities = run.probabilities(batch)[0]
    index, predicted = int(found.targets[0]), int(probabilities.argmax())
    names = class_labels(run.classes, 240, 9.5)
    caption = [f"{names[index]} ({percent(probabilities[index])})"] if index != predicted else []
    caption += verdict(names, picture.true, probabilities)
    known = picture.true is not None and index == predicted
    empty = {"subtitle": f"Nothing at {found.layer} argues for it: an empty map."} if not heatmap.any() else {}
    png = plots.explanation_gallery(
        batch,
        [overlay(picture.pixels, heatmap)],
        [", ".join(caption)],
        [picture.true == predicted if known else None],
        heat_source(found),
        title=f"Evidence for {names[index]}",
        **empty,
    )
    label = run.classes[index]
    return {
        "method": method,
        "layer": found.layer,
        "target": index,
        "label": label,
        "probability": float(probabilities[index]),
        "evidence": found.evidence[0],
        "png": write_view(run, out, png, picture.name, method, label, found.layer, file=picture.file),
        "predicted": run.classes[predicted],
        "true": None if picture.true is None else run.classes[picture.true],
        "pictures_changed": picture.changed,
    }


def sweep_picture(
    run: Run,
    picture: Picture,
    method: str = "grad-cam",
    target: str | None = None,
    layer: str | None = None,
    out: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Values:
    """Draw what every method says of a picture, and what `method` says at every layer, on one page.

    Args:
        layer: where the methods look that look at a layer.
        progress: as in `sweep`.
    """
    check_ending(out)
    batch = picture.pixels[None]
    found = sweep(run.model, run.preprocess(batch), choose_target(run, target), layer, method, progress)
    probabilities = run.probabilities(batch)[0]
    predicted = int(probabilities.argmax())
    names, short = class_labels(run.classes, 220, 14), class_labels(run.classes, 110, 10)
    caption = verdict(short, picture.true, probabilities)
    if found.target != predicted:
        caption.append(f"explained {short[found.target]} ({percent(probabilities[found.target])})")
    layered = [a for a in found.methods if a.layer != INPUT]
    own = [a for a in found.methods if a.layer == INPUT]
    png = plots.sweep(
        picture.pixels,
        caption,
        [
            (f"Methods that look at a layer, here {found.layer}", _tiles(picture, layered, by_layer=False)),
            ("Methods that look at the picture's own pixels", _tiles(picture, own, by_layer=False)),
            (f"{method} at each layer, from the input to the answer", _tiles(picture, found.layers, by_layer=True)),
        ],
        title=f"Evidence for {names[found.target]}, by every method and at every layer",
        subtitle="Heat compares the places of one map; each map is scaled to its own maximum.",
    )
    label = run.classes[found.target]
    return {
        "method": method,
        "layer": found.layer,
        "target": found.target,
        "label": label,
        "probability": float(probabilities[found.target]),
        "tiles": [
            {"method": a.method, "layer": a.layer, "evidence": a.evidence, "problem": a.problem}
            for a in (*found.methods, *found.layers)
        ],
        "png": write_view(run, out, png, picture.name, "sweep", method, label, found.layer, file=picture.file),
        "predicted": run.classes[predicted],
        "true": None if picture.true is None else run.classes[picture.true],
        "pictures_changed": picture.changed,
    }


def _tiles(picture: Picture, attempts: Sequence[Attempt], by_layer: bool) -> list[SweepTile]:
    """Attempts as tiles, called by their method or by their layer."""
    tiles = []
    for attempt in attempts:
        name, heat, note = attempt.layer if by_layer else attempt.method, None, "not for this model"
        if attempt.found is not None:
            heat = overlay(picture.pixels, attempt.found.heatmaps(display_size(*picture.pixels.shape[1:]))[0])
            grid = "×".join(map(str, attempt.found.maps.shape[1:]))
            note = grid if attempt.evidence == "positive" else f"{grid}, empty"
        tiles.append(SweepTile(name, note, heat, attempt.problem))
    return tiles
