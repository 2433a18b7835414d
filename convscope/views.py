"""A run and one picture in, a PNG in `RUN/views/` out: explanations, kernels, feature maps, augmentation."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from convscope.data import build_augment, load_configured
from convscope.errors import UsageError
from convscope.explain import display_size, explain, feature_maps, learned_filters, overlay
from convscope.pictures import prepare
from convscope.runs import Run, plots
from convscope.runs.artifacts import write_file


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture as the network sees it: uint8 (C, H, W); `name` says which, `true` its class where known."""

    pixels: NDArray[np.uint8]
    name: str
    true: str | None = None


Values = dict[str, Any]  # what was drawn, as `--json` prints it; `png` says where


def choose_picture(run: Run, image: Path | None, index: int | None, data_dir: Path | None) -> Picture:
    """The picture file `image`, prepared for the network, or picture `index` of the run's test set.

    Raises:
        UsageError: neither or both given, or no such index.
        DataError: the file is no picture, or the data set is not at hand.
    """
    if image is not None and index is None:
        return Picture(prepare(image, run.checkpoint["picture"]), image.stem)
    if index is None or image is not None:
        raise UsageError("give one picture: either --image FILE or --index N (of the test set)")
    _, test = load_configured(run.config.data, data_dir)
    if not 0 <= index < len(test):
        raise UsageError(f"--index {index}: the test set has pictures 0 to {len(test) - 1}")
    return Picture(test.images[index], f"test-{index}", test.classes[test.labels[index]])


def choose_target(run: Run, target: str | None) -> int | None:
    """A class by name or number; None stays None (the predicted class)."""
    if target is None:
        return None
    if target in run.classes:
        return run.classes.index(target)
    if target.isdecimal() and int(target) < len(run.classes):
        return int(target)
    raise UsageError(f"unknown class {target!r}; choose from {', '.join(run.classes)} or 0 to {len(run.classes) - 1}")


def explain_picture(
    run: Run,
    picture: Picture,
    method: str = "grad-cam",
    target: str | None = None,
    layer: str | None = None,
    out: Path | None = None,
) -> Values:
    """Draw where the evidence for a class lies, beside the picture itself."""
    batch = picture.pixels[None]
    found = explain(run.model, run.preprocess(batch), choose_target(run, target), layer, method)
    index = int(found.targets[0])
    probabilities = run.probabilities(batch)[0]
    label, probability = run.classes[index], float(probabilities[index])
    answer, confidence = run.classes[int(probabilities.argmax())], float(probabilities.max())
    caption = f"{label} ({probability:.1%})"
    if label != answer:
        caption += f", the network says {answer} ({confidence:.1%})"
    if picture.true is not None:
        caption += f", true class {picture.true}"
    empty = found.evidence[0] == "none"
    png = plots.explanation_gallery(
        batch,
        [overlay(picture.pixels, found.heatmaps(display_size(*picture.pixels.shape[1:]))[0])],
        [caption],
        [picture.true == label if picture.true is not None and label == answer else None],
        title=f"Evidence for {label}",
        subtitle=f"Nothing at {found.layer} argues for it: an empty map." if empty else f"{method} at {found.layer}",
    )
    path = _write(run, out, f"{picture.name}-{method}-{label}-{found.layer}", png)
    return {
        "method": method,
        "layer": found.layer,
        "target": index,
        "label": label,
        "probability": probability,
        "evidence": found.evidence[0],
        "png": str(path),
    }


def look_at_filters(run: Run, layer: str | None = None, out: Path | None = None) -> Values:
    """Draw the learned kernels of a convolution, by default the first."""
    name, kernels = learned_filters(run.model, layer)
    path = _write(run, out, f"filters-{name}", plots.filters(kernels, name))
    return {"layer": name, "shape": list(kernels.shape), "png": str(path)}


def look_at_maps(run: Run, picture: Picture, layer: str | None = None, out: Path | None = None) -> Values:
    """Draw what every layer, or the one named, makes of a picture."""
    maps = feature_maps(run.model, run.preprocess(picture.pixels[None]), None if layer is None else [layer])
    png = plots.feature_maps(picture.pixels, {name: value[0] for name, value in maps.items()}, picture.name)
    path = _write(run, out, f"maps-{picture.name}" + (f"-{layer}" if layer else ""), png)
    return {"layers": list(maps), "png": str(path)}


def look_at_augmentation(run: Run, data_dir: Path | None = None, out: Path | None = None) -> Values:
    """Draw ten training pictures and, below them, three times what the run's augmentation made of them.

    Raises:
        UsageError: the run trained on its pictures as they are.
    """
    training, _ = load_configured(run.config.data, data_dir)
    augment = build_augment(run.config.data.augment, training.shape[1:], run.checkpoint["mean"])
    if augment is None:
        raise UsageError(f"{run.path} was trained without augmentation; data.augment says what there is")
    pictures = training.subset(min(10, len(training)), run.config.train.seed).images
    generator = torch.Generator().manual_seed(run.config.train.seed)
    varied = [augment(torch.from_numpy(pictures), generator).numpy() for _ in range(3)]
    path = _write(run, out, "augmentation", plots.augmentation(pictures, varied))
    return {"augment": run.config.data.augment.model_dump(), "png": str(path)}


def _write(run: Run, out: Path | None, name: str, png: bytes) -> Path:
    path = out or run.path / "views" / f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)}.png"
    write_file(path, png)
    return path
