"""A run and, for some, a picture in; a PNG out: explanations, kernels, feature maps, augmentation, network."""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from convscope.data import build_augment
from convscope.data.batches import mirrored
from convscope.errors import UsageError
from convscope.evaluate import check_fit
from convscope.explain import display_size, explain, feature_maps, learned_filters, overlay
from convscope.pictures import prepare
from convscope.runs import Run, plots
from convscope.runs.anatomy import anatomy
from convscope.runs.artifacts import write_file
from convscope.runs.canvas import class_labels
from convscope.runs.captions import heat_source, percent, verdict
from convscope.runs.own_pictures import own_pictures


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture as the network sees it.

    Attributes:
        pixels: uint8, (C, H, W).
        name: what to call it.
        true: the number of its class, where known.
        file: where it came from, unless from the test set.
        changed: whether that test set is another than the training's; None for a file, or where nobody knows.
    """

    pixels: NDArray[np.uint8]
    name: str
    true: int | None = None
    file: Path | None = None
    changed: bool | None = None


Values = dict[str, Any]  # what was drawn, as `--json` prints it; `png` says where


def choose_picture(run: Run, image: Path | None, index: int | None, data_dir: Path | None) -> Picture:
    """The picture file `image`, prepared for the network, or picture `index` of the run's test set.

    Raises:
        UsageError: neither or both given, no such index, or a test set that does not fit the network.
        DataError: the file is no picture, or the data set is not at hand.
    """
    if image is not None and index is None:
        return Picture(prepare(image, run.checkpoint["picture"]), image.stem, file=image)
    if index is None or image is not None:
        raise UsageError("give one picture: either --image FILE or --index N (of the test set)")
    own = own_pictures(run, data_dir)
    test = own.test
    check_fit(run, test)
    if not 0 <= index < len(test):
        raise UsageError(f"--index {index}: the test set has pictures 0 to {len(test) - 1}")
    return Picture(test.images[index], f"test-{index}", int(test.labels[index]), changed=own.warn("test"))


def choose_target(run: Run, target: str | None) -> int | None:
    """A class by name, in whatever case if that leaves one, or by number; None stays None (the predicted class)."""
    if target is None:
        return None
    if target in run.classes:
        return run.classes.index(target)
    if target.isdecimal() and int(target) < len(run.classes):
        return int(target)
    alike = [k for k, name in enumerate(run.classes) if name.casefold() == target.casefold()]
    if len(alike) == 1:
        return alike[0]
    raise UsageError(f"unknown class {target!r}; choose from {', '.join(run.classes)} or 0 to {len(run.classes) - 1}")


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
        "png": _write(run, out, png, picture.name, method, label, found.layer, file=picture.file),
        "predicted": run.classes[predicted],
        "true": None if picture.true is None else run.classes[picture.true],
        "pictures_changed": picture.changed,
    }


def look_at_filters(run: Run, layer: str | None = None, out: Path | None = None) -> Values:
    """Draw the learned kernels of a convolution, by default the first."""
    name, kernels = learned_filters(run.model, layer)
    png = plots.filters(kernels, name)
    return {"layer": name, "shape": list(kernels.shape), "png": _write(run, out, png, "filters", name)}


def look_at_maps(run: Run, picture: Picture, layer: str | None = None, out: Path | None = None) -> Values:
    """Draw what every layer, or the one named, makes of a picture."""
    maps = feature_maps(run.model, run.preprocess(picture.pixels[None]), None if layer is None else [layer])
    names = class_labels(run.classes, 130, 9.5)
    caption = verdict(names, picture.true, run.probabilities(picture.pixels[None])[0])
    png = plots.feature_maps(
        picture.pixels,
        {name: value[0] for name, value in maps.items()},
        caption,
        title=f"What {layer or 'each layer'} makes of {picture.file.name if picture.file else picture.name}",
    )
    name = ["maps", picture.name] + ([layer] if layer else [])
    written = _write(run, out, png, *name, file=picture.file)
    return {"layers": list(maps), "png": written, "pictures_changed": picture.changed}


def look_at_augmentation(run: Run, data_dir: Path | None = None, out: Path | None = None) -> Values:
    """Draw ten training pictures and, below them, three times what the run's augmentation made of them.

    Raises:
        UsageError: the run trained on its pictures as they are.
    """
    own = own_pictures(run, data_dir)
    training = own.pictures
    augment = build_augment(run.config.data.augment, training.shape[1:], run.checkpoint["mean"])
    in_turn = run.config.data.augment.flip == "alternating"
    if augment is None and not in_turn:
        raise UsageError(f"{run.name} was trained without augmentation; data.augment says what there is")
    pictures = training.subset(min(10, len(training)), run.config.train.seed).images
    generator = torch.Generator().manual_seed(run.config.train.seed)
    varied = []
    for epoch in range(3):
        images = torch.from_numpy(pictures)
        if in_turn:
            images = mirrored(images, torch.arange(len(images)) % 2 == epoch % 2)
        varied.append((augment(images, generator) if augment else images).numpy())
    png = plots.augmentation(pictures, varied)
    written = _write(run, out, png, "augmentation")
    return {"augment": run.config.data.augment.model_dump(), "png": written, "pictures_changed": own.warn("training")}


def look_at_network(run: Run, out: Path | None = None) -> Values:
    """Draw the network itself, its layers in their order, into a PNG, or an SVG if `out` ends in .svg."""
    found = anatomy(run.model, run.input_shape)
    form = "svg" if out is not None and out.suffix.lower() == ".svg" else "png"
    written = _write(run, out, plots.network(found, run.model_name, form), "network", endings=(".png", ".svg"))
    return {
        "model": run.model_name,
        "parameters": found.parameters,
        "multiply_adds": found.multiply_adds,
        form: written,
    }


def _write(
    run: Run,
    out: Path | None,
    drawn: bytes,
    *name: str,
    file: Path | None = None,
    endings: Sequence[str] = (".png",),
) -> str:
    """Write a view where `out` says, or among the run's views under its name; returns the path.

    Only the same view of the same picture goes by the same name: where the words alone do not say it (a picture from
    a `file`, a name with characters that a file name had better not have, or a long one), a short hash does.

    Raises:
        UsageError: `out` has none of the `endings`.
    """
    if out is not None and out.suffix.lower() not in endings:
        raise UsageError(
            f"--out {out}: no kind of picture that this can be; give a name that ends in {' or '.join(endings)}"
        )
    words = "-".join(name)
    plain = re.sub(r"[^A-Za-z0-9_.]+", "-", words)[:100]
    if file is not None or plain != words:
        exact = "\0".join([*name, str(file.resolve()) if file else ""])
        plain += "-" + hashlib.sha256(exact.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    path = out or run.views / f"{plain}.png"
    write_file(path, drawn)
    return str(path)
