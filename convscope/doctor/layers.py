"""A model and its answers in, findings on its layers out: weights, BatchNorm statistics, mode, dropout left on."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from convscope.doctor.finding import Finding
from convscope.doctor.passes import REFUSALS, SAME, first_line, forward, forward_twice, shape_text
from convscope.doctor.score import Score

MODAL = (_BatchNorm, _DropoutNd)  # what behaves otherwise in train mode


def check_weights(model: nn.Module) -> Finding:
    """Whether every weight and running statistic is a finite number."""
    tensors = [*model.named_parameters(), *model.named_buffers()]
    broken = [name for name, tensor in tensors if tensor.is_floating_point() and not torch.isfinite(tensor).all()]
    if not broken:
        return Finding("weights", "fine", "All weights and running statistics are finite.")
    more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
    return Finding(
        "weights",
        "problem",
        f"NaN or infinity in {broken[0]}{more}: the training has diverged.",
        "Go back to a checkpoint from before, and train with a smaller learning rate or a longer warm-up.",
    )


def check_statistics(model: nn.Module, images: Tensor, known: Score | None) -> Finding:
    """BatchNorm whose running statistics are those of a new layer, though its network looks trained.

    That they were reset is sure where the statistics of the batch itself get more pictures right, likely where scale
    or shift have moved from 1 and 0; a network that works has none to miss, and a new one is as it should be.
    """
    layers = {n: m for n, m in model.named_modules() if isinstance(m, _BatchNorm) and m.running_mean is not None}
    fresh = {name: module for name, module in layers.items() if _has_new_statistics(module)}
    if not fresh:
        return Finding("statistics", "fine", f"None of {len(layers)} BatchNorm layers has the statistics of a new one.")
    seen = f"{len(fresh)} of {len(layers)} BatchNorm layers, first {next(iter(fresh))}, have mean 0 and variance 1"
    advice = (
        "Load the running statistics with the weights (load_state_dict with strict=True says what is missing), or "
        "pass training pictures through the model in train mode under torch.no_grad()."
    )
    if known and (batch := known.beaten(model, images, lambda module: isinstance(module, _BatchNorm))):
        wrong = f"{seen}: {known.text}; with the statistics of the batch itself, {batch.count} are."
        return Finding("statistics", "problem", wrong, advice)
    if known and known.verdict == "works":
        return Finding("statistics", "fine", f"{seen}, as if new; the model works with them.")
    if moved := sum(_looks_trained(module) for module in fresh.values()):
        wrong = f"{seen}, as if new, though scale or shift of {moved} are trained: the statistics were probably reset."
        return Finding("statistics", "warning", wrong, advice)
    return Finding("statistics", "fine", f"{seen}, and scale 1 and shift 0: they are new.")


def _has_new_statistics(layer: _BatchNorm) -> bool:
    mean, variance = layer.running_mean, layer.running_var
    return mean is not None and variance is not None and not mean.any() and bool((variance == 1).all())


def _looks_trained(layer: _BatchNorm) -> bool:
    """Whether scale or shift differ from how layers begin: one constant (1, or 0 before a residual sum) and 0."""
    if not layer.affine:
        return False
    return bool(layer.bias.any() or (layer.weight != layer.weight[0]).any())


def check_mode(model: nn.Module, images: Tensor, logits: Tensor) -> Finding:
    """What the mode that the model is in makes of the batch, against eval mode (`logits`)."""
    layers = [m for m in model.modules() if isinstance(m, MODAL)]
    training = sum(m.training for m in layers)
    counted = f"{training} of {len(layers)} BatchNorm and Dropout layers are in train mode"
    mode = counted if layers else "The model is in train mode"
    advice = "Call model.eval() before you evaluate or predict, and model.train() before you train on."
    try:
        as_it_is = forward(model, images, lambda module: module.training)
    except REFUSALS as error:
        wrong = f"{mode}, and so the model refuses this batch: {first_line(error)}."
        return Finding("mode", "problem", wrong, advice)
    if not isinstance(as_it_is, Tensor) or as_it_is.shape != logits.shape:
        wrong = (
            f"The model is not in eval mode, and so gives {shape_text(as_it_is)} instead of logits "
            f"{shape_text(logits)}."
        )
        return Finding("mode", "problem", wrong, advice)
    if _same(as_it_is, logits):
        return Finding("mode", "fine", "The answers are those of eval mode.")
    difference, changed = _difference(as_it_is, logits)
    wrong = f"{mode}: logits are off by up to {difference:.2g}, and {changed} of {len(logits)} predictions change."
    return Finding("mode", "problem", wrong, advice)


def check_determinism(model: nn.Module, images: Tensor, logits: Tensor) -> Finding:
    """Two passes over the same pictures in eval mode, which differ where dropout was left on.

    `logits` came of the random numbers of the first pass: if it gives them again, torch's own stream made the
    difference, which is sure; if not, something else changes from pass to pass.
    """
    state = "Look for a counter or a cache that the model keeps from one call to the next."
    try:
        first, second = forward_twice(model, images)
    except REFUSALS as error:
        wrong = f"The model refuses the same pictures when they come again: {first_line(error)}."
        return Finding("determinism", "problem", wrong, state)
    if not (isinstance(first, Tensor) and isinstance(second, Tensor) and first.shape == second.shape == logits.shape):
        wrong = f"Two passes over the same pictures give {shape_text(first)} and {shape_text(second)}."
        return Finding("determinism", "problem", wrong, state)
    if _same(first, second):
        return Finding("determinism", "fine", "Two passes in eval mode give the same answers.")
    difference, changed = _difference(first, second)
    seen = (
        f"In eval mode two passes over the same pictures differ: logits by up to {difference:.2g}, and "
        f"{changed} of {len(logits)} predictions"
    )
    if _same(first, logits):
        seen += "; the same random numbers give the same logits, so it is chance."
        advice = "Look for F.dropout(x, p) without training=self.training, and for noise added in forward."
    else:
        seen += ", also with the same random numbers of torch."
        advice = "Look for numpy.random or random in forward, and for state that the model keeps between calls."
    return Finding("determinism", "problem" if changed else "warning", seen, advice)


def _same(a: Tensor, b: Tensor) -> bool:
    """Equal but for rounding; false where one is NaN."""
    return float((a - b).abs().max()) <= SAME * float(b.abs().max())


def _difference(a: Tensor, b: Tensor) -> tuple[float, int]:
    """The largest difference of two rows of logits, and how many predictions change."""
    return float((a - b).abs().max()), int((a.argmax(-1) != b.argmax(-1)).sum())
