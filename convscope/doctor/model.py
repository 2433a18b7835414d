"""A model and a labelled batch in, findings out: on the batch, the weights, the mode and the answers."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeGuard

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from convscope.doctor.batch import check_labels, check_pictures, expected_shape
from convscope.doctor.finding import Finding
from convscope.errors import ConvscopeError, UsageError
from convscope.explain import explain, feature_maps
from convscope.explain.capture import recording
from convscope.explain.clone import eval_clone
from convscope.runs.captions import percent
from convscope.runs.report import wilson_interval

HANDFUL = 30  # pictures; if all of fewer are right, the true accuracy may still be below 89 %
MISSED = 5  # pictures of other classes that a model which always gives one answer must have got wrong
SAME = 1e-5  # of the largest logit: what rounding makes of equal answers
EXPLAINED = 32  # pictures of the batch whose heatmaps are looked at
MANY_BLANK = 0.5  # of them; a few pictures without evidence for the answer are an honest result
MODAL = (_BatchNorm, _DropoutNd)  # what behaves otherwise in train mode
# what a model's own code raises on a batch that it cannot take
REFUSALS = (RuntimeError, ValueError, TypeError, AssertionError, LookupError, AttributeError)


def examine(
    model: nn.Module,
    images: Tensor | NDArray[Any],
    labels: Tensor | NDArray[Any] | Sequence[int],
    num_classes: int | None = None,
) -> list[Finding]:
    """Look for the classic mistakes in your own model and batch, in the mode in which you evaluate.

    The model is left as found: everything runs on a private copy (see `explain`). What cannot be looked at because
    of an earlier problem is left out.

    Args:
        model: any module that maps (N, C, H, W) to logits (N, classes).
        images: what you feed it: should be normalised floats, (N, C, H, W). Best a batch it was not trained on.
        labels: should be int64, (N,).
        num_classes: by default `model.num_classes`; never more than the model gives logits.

    Raises:
        UsageError: no pictures, something that is no array, or a scripted model.

    Example:
        >>> from torch import nn, randint
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(96, 2))
        >>> bytes_, labels = randint(0, 256, (8, 6, 5, 3)), randint(0, 2, (8,))
        >>> [finding.seen for finding in examine(model, bytes_, labels) if finding.severity == "problem"]
        ['The pictures are channels-last (8, 6, 5, 3).', 'The pictures are torch.int64.']
    """
    pictures, truth = _tensor("images", images), _tensor("labels", labels)
    if not pictures.ndim or not pictures.numel():
        raise UsageError(f"examine needs at least one picture, got images {tuple(pictures.shape)}")
    return list(_examine(model, pictures, truth, num_classes or getattr(model, "num_classes", None)))


def _examine(model: nn.Module, images: Tensor, labels: Tensor, num_classes: int | None) -> Iterator[Finding]:
    reference = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    in_shape = expected_shape(model, images)
    layout, values = check_pictures(images, in_shape, reference.dtype)
    usable = layout.severity != "problem" and images.is_floating_point() and bool(torch.isfinite(images).all())
    broken = _not_finite(model)
    pictures = images.detach().to(reference) if usable else images
    answer = _answer(model, pictures) if usable and not broken else None
    logits = answer if isinstance(answer, Tensor) else None
    classes = [number for number in (num_classes, None if logits is None else logits.shape[1]) if number]
    truth = check_labels(images, labels, in_shape, min(classes, default=None))
    yield from (layout, values, truth)
    if not usable:
        return
    yield broken or Finding("weights", "fine", "All weights and running statistics are finite.")
    if isinstance(answer, Finding):
        yield answer
    if logits is None:
        return
    known = None if truth.severity == "problem" else labels.detach().to(reference.device)
    yield _mode(model, pictures, logits)
    yield _output(model, pictures, known, logits)
    if known is not None:
        yield _accuracy(logits, known)
    yield _heatmaps(model, pictures[:EXPLAINED])


def _not_finite(model: nn.Module) -> Finding | None:
    """A finding, if a weight or a running statistic is NaN or infinite."""
    tensors = [*model.named_parameters(), *model.named_buffers()]
    broken = [name for name, tensor in tensors if tensor.is_floating_point() and not torch.isfinite(tensor).all()]
    if not broken:
        return None
    more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
    return Finding(
        "weights",
        "problem",
        f"NaN or infinity in {broken[0]}{more}: the training has diverged.",
        "Go back to a checkpoint from before, and train with a smaller learning rate or a longer warm-up.",
    )


def _answer(model: nn.Module, images: Tensor) -> Tensor | Finding:
    """The logits in eval mode, (N, classes) and finite; else a finding that says what comes in their place."""
    try:
        answer = _forward(model, images)
    except UsageError:  # not the batch: the model cannot be looked into at all
        raise
    except REFUSALS as error:
        wrong = f"The model cannot take this batch: {_first_line(error)}."
        advice = "Compare the shapes in that line; a Linear layer fits one size of picture only."
        return Finding("output", "problem", wrong, advice)
    if not _are_logits(answer, len(images)):
        wrong = (
            f"The model gives {_shape(answer)} for {len(images)} pictures; expected logits ({len(images)}, classes)."
        )
        advice = "Return one float tensor; end the model with Flatten and a Linear layer of one output a class."
        return Finding("output", "problem", wrong, advice)
    if not torch.isfinite(answer).all():
        largest = max((float(p.detach().abs().max()) for p in model.parameters() if p.numel()), default=0.0)
        wrong = f"The logits contain NaN or infinity; the pictures are finite, the largest weight is {largest:.2g}."
        advice = "If it is huge, the training diverged: lower the learning rate; else look for a log or a division."
        return Finding("output", "problem", wrong, advice)
    return answer


def _are_logits(answer: object, pictures: int) -> TypeGuard[Tensor]:
    """Whether it is (N, classes) in floats, with at least two classes to choose from."""
    return (
        isinstance(answer, Tensor)
        and answer.is_floating_point()
        and answer.ndim == 2
        and len(answer) == pictures
        and answer.shape[1] >= 2
    )


def _shape(answer: object) -> str:
    """An output in words: a shape where it is a tensor, else its type."""
    if not isinstance(answer, Tensor):
        return f"a {type(answer).__name__}"
    return f"{tuple(answer.shape)}" + ("" if answer.is_floating_point() else f" of {answer.dtype}")


def _mode(model: nn.Module, images: Tensor, logits: Tensor) -> Finding:
    """What the mode that the model is in makes of the batch, against eval mode (`logits`)."""
    layers = [m for m in model.modules() if isinstance(m, MODAL)]
    training = sum(m.training for m in layers)
    mode = f"{training} of {len(layers)} BatchNorm and Dropout layers are in train mode"
    advice = "Call model.eval() before you evaluate or predict, and model.train() before you train on."
    try:
        as_it_is = _forward(model, images, in_its_own_mode=True)
    except REFUSALS as error:
        wrong = f"{mode}, and so the model refuses this batch: {_first_line(error)}."
        return Finding("mode", "problem", wrong, advice)
    if not isinstance(as_it_is, Tensor) or as_it_is.shape != logits.shape:
        wrong = f"The model is not in eval mode, and so gives {_shape(as_it_is)} instead of logits {_shape(logits)}."
        return Finding("mode", "problem", wrong, advice)
    difference, scale = float((as_it_is - logits).abs().max()), float(logits.abs().max())
    if difference <= SAME * scale:  # false for NaN
        return Finding("mode", "fine", "The answers are those of eval mode.")
    changed = int((as_it_is.argmax(-1) != logits.argmax(-1)).sum())
    wrong = f"{mode}: logits are off by up to {difference:.2g}, and {changed} of {len(logits)} predictions change."
    return Finding("mode", "problem", wrong, advice)


def _output(model: nn.Module, images: Tensor, labels: Tensor | None, logits: Tensor) -> Finding:
    """Do the logits depend on the picture? Labels are None where they cannot be used."""
    differ = len(images) > 1 and not torch.equal(images, images[:1].expand_as(images))
    spread = float((logits - logits.mean(dim=0)).abs().max())
    if differ and spread <= SAME * float(logits.abs().max()):
        dead = _dead_layer(model, images)
        return Finding(
            "output",
            "problem",
            f"Every picture gets the same logits{f', for layer {dead} gives zero for each of them' if dead else ''}.",
            "The network is dead: begin anew with a smaller learning rate, a warm-up or BatchNorm before the ReLUs.",
        )
    answers = logits.argmax(dim=1)  # (N,)
    given = set(answers.tolist())
    others = 0 if labels is None else int((labels != labels.mode().values).sum())
    if len(given) == 1 and others >= MISSED:
        wrong = f"Every picture is taken for class {int(answers[0])}; {others} of {len(images)} belong to others."
        advice = "Balance the classes, look for labels that lost their pictures in shuffling, lower the learning rate."
        return Finding("output", "problem", wrong, advice)
    return Finding("output", "fine", f"The logits differ from picture to picture; {len(given)} classes are named.")


def _dead_layer(model: nn.Module, images: Tensor) -> str | None:
    """The first layer whose output is zero everywhere; None too where layers cannot be looked at."""
    try:
        return next((name for name, maps in feature_maps(model, images).items() if not maps.any()), None)
    except REFUSALS:  # by a model made for one size of batch
        return None


def _accuracy(logits: Tensor, labels: Tensor) -> Finding:
    """Right answers against what guessing gives, as far as so many pictures can tell."""
    n, guessing = len(labels), 1 / logits.shape[1]
    right = int((logits.argmax(dim=1) == labels).sum())
    low, high = wilson_interval(right, n)
    seen = f"{right} of {n} pictures are right ({percent(right / n)}; 95 % interval {percent(low)} to {percent(high)})"
    if right == n and n < HANDFUL:
        advice = f"That many prove little: measure on at least {HANDFUL} that the model has never seen."
        return Finding("accuracy", "warning", f"{seen}.", advice)
    if low > guessing:
        return Finding("accuracy", "fine", f"{seen}; guessing gives {percent(guessing)}.")
    if high < (1 + guessing) / 2 and n >= HANDFUL:
        advice = (
            "If it was trained: are pictures and labels still in the same order, and is the learning rate right? "
            "`convscope smoke` says whether learning works at all; a network should learn ten pictures by heart."
        )
        return Finding("accuracy", "problem", f"{seen}, no better than guessing ({percent(guessing)}).", advice)
    return Finding(
        "accuracy", "warning", f"{seen}; guessing gives {percent(guessing)}.", "Too few to tell: take more pictures."
    )


def _heatmaps(model: nn.Module, images: Tensor) -> Finding:
    """Grad-CAM of the predicted classes: on how many pictures is it blank?"""
    try:
        found = explain(model, images)
    except ConvscopeError as error:
        return Finding("heatmap", "warning", f"Grad-CAM cannot be drawn: {_first_line(error)}.", "Name a layer.")
    except REFUSALS as error:
        advice = "It took all of them together: look for a batch size that is written into the model."
        return Finding("heatmap", "warning", f"The model refuses a part of the pictures: {_first_line(error)}.", advice)
    blank = found.evidence.count("none")
    seen = f"{blank} of {len(images)} Grad-CAM heatmaps at layer {found.layer} are blank"
    if blank <= MANY_BLANK * len(images):
        return Finding("heatmap", "fine", f"{seen}.")
    return Finding(
        "heatmap",
        "problem",
        f"{seen}: nothing there argues for the predicted class.",
        "Explain another layer (layer=, --layer); if all are blank, look for dead ReLUs with feature maps.",
    )


def _first_line(error: Exception) -> str:
    """What an error says first; its type where it says nothing, as a bare assert does."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _forward(model: nn.Module, images: Tensor, in_its_own_mode: bool = False) -> object:
    """What a private copy gives, in eval mode or in the model's own; nothing is recorded, drawn or updated."""
    copy = eval_clone(model)
    if in_its_own_mode:
        for module, original in zip(copy.modules(), model.modules(), strict=True):
            module.training = original.training
    with recording(images.device, record=False):
        answer: object = copy(images.clone())
    return answer


def _tensor(what: str, values: Any) -> Tensor:
    try:
        return torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"{what}: expected a tensor or an array, got {type(values).__name__}: {error}") from None
