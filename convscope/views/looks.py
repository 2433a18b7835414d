"""A run in, for some also a picture; a PNG out: kernels, feature maps, augmentation, the network itself."""

from pathlib import Path

import torch

from convscope.data import build_augment
from convscope.data.batches import mirrored
from convscope.errors import UsageError
from convscope.explain import feature_maps, learned_filters
from convscope.runs import Run, plots
from convscope.runs.anatomy import anatomy
from convscope.runs.canvas import class_labels
from convscope.runs.captions import verdict
from convscope.runs.own_pictures import own_pictures
from convscope.views.file import Values, write_view
from convscope.views.picture import Picture


def look_at_filters(run: Run, layer: str | None = None, out: Path | None = None) -> Values:
    """Draw the learned kernels of a convolution, by default the first."""
    name, kernels = learned_filters(run.model, layer)
    png = plots.filters(kernels, name)
    return {"layer": name, "shape": list(kernels.shape), "png": write_view(run, out, png, "filters", name)}


def look_at_maps(run: Run, picture: Picture, layer: str | None = None, out: Path | None = None) -> Values:
    """Draw what every layer makes of a picture, or every channel of the layer named."""
    maps = feature_maps(run.model, run.preprocess(picture.pixels[None]), None if layer is None else [layer])
    names = class_labels(run.classes, 130, 9.5)
    caption = verdict(names, picture.true, run.probabilities(picture.pixels[None])[0])
    title = f"What {layer or 'each layer'} makes of {picture.file.name if picture.file else picture.name}"
    first = {name: value[0] for name, value in maps.items()}
    if layer is None:
        png = plots.feature_maps(picture.pixels, first, caption, title)
    else:
        png = plots.layer_maps(picture.pixels, first[layer], caption, title)
    name = ["maps", picture.name] + ([layer] if layer else [])
    written = write_view(run, out, png, *name, file=picture.file)
    return {
        "layers": list(maps),
        "silent": {name: [k for k, plane in enumerate(value) if not plane.any()] for name, value in first.items()},
        "png": written,
        "pictures_changed": picture.changed,
    }


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
    written = write_view(run, out, png, "augmentation")
    return {"augment": run.config.data.augment.model_dump(), "png": written, "pictures_changed": own.warn("training")}


def look_at_network(run: Run, out: Path | None = None) -> Values:
    """Draw the network itself, its layers in their order, into a PNG, or an SVG if `out` ends in .svg."""
    found = anatomy(run.model, run.input_shape)
    form = "svg" if out is not None and out.suffix.lower() == ".svg" else "png"
    written = write_view(run, out, plots.network(found, run.model_name, form), "network", endings=(".png", ".svg"))
    return {
        "model": run.model_name,
        "parameters": found.parameters,
        "multiply_adds": found.multiply_adds,
        form: written,
    }
