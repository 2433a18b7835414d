"""A model and a batch in, findings on its answers out: no logits, the same for all, probabilities, blank heatmaps."""

import math

import torch
from torch import Tensor, nn

from convscope.doctor.finding import Finding, Severity
from convscope.doctor.passes import REFUSALS, SAME, are_logits, first_line, forward, shape_text
from convscope.doctor.score import Score
from convscope.errors import ConvscopeError, UsageError
from convscope.explain import explain, feature_maps

MISSED = 5  # pictures of other classes that a model which always gives one answer must have got wrong
SUM = 1e-4  # by how much probabilities may miss 1; in 16 bits, one step of rounding there
MANY_BLANK = 0.5  # of the heatmaps; a few pictures without evidence for the answer are an honest result


def logits_or_finding(model: nn.Module, images: Tensor) -> Tensor | Finding:
    """The logits in eval mode, (N, classes) and finite; else a finding that says what comes in their place."""
    try:
        answer = forward(model, images)
    except UsageError:  # not the batch: the model cannot be looked into at all
        raise
    except REFUSALS as error:
        wrong = f"The model cannot take this batch: {first_line(error)}."
        advice = "Compare the shapes in that line; a Linear layer fits one size of picture only."
        return Finding("output", "problem", wrong, advice)
    if not are_logits(answer, len(images)):
        n = len(images)
        wrong = f"The model gives {shape_text(answer)} for {n} pictures; expected logits ({n}, classes)."
        advice = "Return one float tensor; end the model with Flatten and a Linear layer of one output a class."
        return Finding("output", "problem", wrong, advice)
    if not torch.isfinite(answer).all():
        largest = max((float(p.detach().abs().max()) for p in model.parameters() if p.numel()), default=0.0)
        wrong = f"The logits contain NaN or infinity; the pictures are finite, the largest weight is {largest:.2g}."
        advice = "If it is huge, the training diverged: lower the learning rate; else look for a log or a division."
        return Finding("output", "problem", wrong, advice)
    return answer


def check_output(model: nn.Module, images: Tensor, labels: Tensor | None, logits: Tensor) -> Finding:
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


def check_softmax(model: nn.Module, images: Tensor, logits: Tensor) -> Finding:
    """Whether the network ends in a softmax, which cross-entropy would take once more.

    That its outputs are probabilities is sure, how it was trained is not to be seen; what gives them in eval mode alone
    was trained on something else. A log-softmax is harmless: a second one changes neither loss nor gradient.
    """
    if _sum_to_one(logits.exp()) and bool((logits <= 0).all()):
        seen = "The model gives log-probabilities, as NLLLoss takes them; CrossEntropyLoss gives the same on them."
        return Finding("softmax", "fine", seen)
    if not _sum_to_one(logits):
        return Finding("softmax", "fine", "The outputs are logits, not probabilities.")
    try:
        trained_on = forward(model, images, lambda module: True)
    except REFUSALS:
        trained_on = logits
    if not (isinstance(trained_on, Tensor) and are_logits(trained_on, len(images)) and _sum_to_one(trained_on)):
        return Finding("softmax", "fine", "The model gives probabilities in eval mode only.")
    classes = logits.shape[1]
    floor = math.log(1 + (classes - 1) / math.e)
    return Finding(
        "softmax",
        "warning",
        f"Each picture's {classes} outputs are positive and sum to 1: the network ends in a softmax. If it is trained "
        f"with CrossEntropyLoss, which takes the softmax itself, its loss never falls below {floor:.2f}.",
        "Return the logits; take the softmax only where probabilities are shown.",
    )


def _sum_to_one(rows: Tensor) -> bool:
    """Whether each row is a distribution, (N, K)."""
    tolerance = max(SUM, torch.finfo(rows.dtype).eps)
    return bool((rows >= 0).all() and ((rows.double().sum(dim=1) - 1).abs() <= tolerance).all())


def check_heatmaps(model: nn.Module, images: Tensor, known: Score | None) -> Finding:
    """Grad-CAM of the predicted classes: on how many pictures is it blank? What works without one has no problem."""
    other = (
        "convscope.explain.explain(model, images, layer=NAME) looks at a layer of your choice, and so does "
        "`convscope explain RUN --layer NAME`"
    )
    try:
        found = explain(model, images if images.is_floating_point() else images.float())
    except ConvscopeError as error:
        return Finding("heatmap", "warning", f"Grad-CAM cannot be drawn: {first_line(error)}.", f"{other}.")
    except REFUSALS as error:
        advice = "It took all of them together: look for a batch size that is written into the model."
        return Finding("heatmap", "warning", f"The model refuses a part of the pictures: {first_line(error)}.", advice)
    blank = found.evidence.count("none")
    seen = f"{blank} of {len(images)} Grad-CAM heatmaps at layer {found.layer} are blank"
    if blank <= MANY_BLANK * len(images):
        return Finding("heatmap", "fine", f"{seen}.")
    seen = f"{seen}: nothing there argues for the predicted class"
    if known and known.verdict == "works":
        return Finding("heatmap", "fine", f"{seen}, but the model works: {known.text}.")
    advice = f"{other}; if all are blank, convscope.explain.feature_maps shows which ReLUs are dead."
    severity: Severity = "problem" if known and known.verdict == "fails" else "warning"
    return Finding("heatmap", severity, f"{seen}.", advice)
