"""A model and a labelled batch in, findings out: on the batch, the weights, the mode and the answers."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convscope.doctor.answers import check_heatmaps, check_output, check_softmax, logits_or_finding
from convscope.doctor.batch import check_labels, check_pictures, expected_shape
from convscope.doctor.finding import Finding
from convscope.doctor.layers import check_determinism, check_mode, check_statistics, check_weights
from convscope.doctor.score import check_accuracy, score
from convscope.doctor.values import judge_values
from convscope.errors import UsageError

EXPLAINED = 32  # pictures of the batch whose heatmaps are looked at


def examine(
    model: nn.Module,
    images: Tensor | NDArray[Any],
    labels: Tensor | NDArray[Any] | Sequence[int],
    num_classes: int | None = None,
) -> list[Finding]:
    """Look for the classic mistakes in your own model and batch, in the mode in which you evaluate.

    The model is left as found: everything runs on a private copy (see `explain`). What cannot be looked at because
    of an earlier problem is left out. A model that gets more right than guessing has no problem with its pictures'
    layout and values or with blank heatmaps, unless a correction, tried out, gets more of them right.

    Args:
        model: any module that maps (N, C, H, W) to logits (N, classes).
        images: what you feed it: should be normalised floats, (N, C, H, W). Best a batch it was not trained on.
        labels: should be int64, (N,).
        num_classes: by default `model.num_classes`; never more than the model gives logits.

    Raises:
        UsageError: no module, no pictures, something that is no array, or a scripted model.

    Example:
        >>> from torch import nn, randint
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(96, 2))
        >>> bytes_, labels = randint(0, 256, (8, 6, 5, 3)), randint(0, 2, (8,))
        >>> [finding.seen for finding in examine(model, bytes_, labels) if finding.severity == "problem"]
        ['The pictures are channels-last (8, 6, 5, 3).', 'The pictures are torch.int64.']
    """
    _check_module(model)
    pictures, truth = _tensor("images", images), _tensor("labels", labels)
    if not pictures.ndim or not pictures.numel():
        raise UsageError(f"examine needs at least one picture, got images {tuple(pictures.shape)}")
    return list(_examine(model, pictures, truth, num_classes or getattr(model, "num_classes", None)))


def _examine(model: nn.Module, images: Tensor, labels: Tensor, num_classes: int | None) -> Iterator[Finding]:
    reference = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    in_shape = expected_shape(model, images)
    layout, values = check_pictures(images, in_shape, reference.dtype)
    weights, finite = check_weights(model), bool(torch.isfinite(images).all())
    pictures = images.detach().to(reference.device)
    answer: Tensor | Finding | None = None
    if finite and weights.severity == "fine":
        pictures, answer = _first_answer(model, pictures, reference.dtype)
    logits = answer if isinstance(answer, Tensor) else None
    classes = [number for number in (num_classes, None if logits is None else logits.shape[1]) if number]
    truth = check_labels(images, labels, in_shape, min(classes, default=None))
    known = None
    if logits is not None and truth.severity == "fine":
        known = score(logits, labels.detach().to(logits.device))
    if layout.severity == "problem" and known and known.verdict == "works":
        layout = Finding("layout", "fine", f"{layout.seen[:-1]}; the model works on them: {known.text}.")
    if layout.severity == "fine" and logits is not None and pictures.dtype == images.dtype:
        values = judge_values(values, model, pictures, known)
    yield from (layout, values, truth)
    if layout.severity == "problem" or not finite or not (images.is_floating_point() or logits is not None):
        return
    yield weights
    if isinstance(answer, Finding):
        yield answer
    if logits is None:
        return
    yield check_statistics(model, pictures, known)
    yield check_mode(model, pictures, logits)
    yield check_determinism(model, pictures, logits)
    yield check_output(model, pictures, known.labels if known else None, logits)
    yield check_softmax(model, pictures, logits)
    if known:
        yield check_accuracy(known)
    yield check_heatmaps(model, pictures[:EXPLAINED], known)


def _first_answer(model: nn.Module, images: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor | Finding]:
    """The pictures as the model takes them, and its answer: as they are, else floats in the weights' precision."""
    answer = logits_or_finding(model, images)
    if isinstance(answer, Tensor) or not images.is_floating_point() or images.dtype == dtype:
        return images, answer
    return images.to(dtype), logits_or_finding(model, images.to(dtype))


def _check_module(model: object) -> None:
    if not isinstance(model, nn.Module):
        got = f"the class {model.__name__}" if isinstance(model, type) else f"a {type(model).__name__}"
        raise UsageError(
            f"examine needs a torch.nn.Module that maps pictures (N, C, H, W) to logits, got {got}; make one whose "
            "forward does that (of a run: load_run(folder).model)"
        )


def _tensor(what: str, values: Any) -> Tensor:
    try:
        return torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"{what}: expected a tensor or an array, got {type(values).__name__}: {error}") from None
