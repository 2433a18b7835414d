"""A model and pictures in, an Explanation out: chooses the layer and the class, then runs one method."""

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convscope.errors import ConvscopeError, UsageError
from convscope.explain.capture import EvalCopy, Progress
from convscope.explain.explanation import Evidence, Explanation
from convscope.explain.methods import INPUT, Method, is_of_input
from convscope.explain.random_streams import streams_kept
from convscope.registry import METHODS

Target = int | Sequence[int] | NDArray[np.integer[Any]] | Tensor | None


def explain(
    model: nn.Module,
    images: Tensor,
    target: Target = None,
    layer: str | None = None,
    method: str = "grad-cam",
    progress: Progress | None = None,
) -> Explanation:
    """Explain a prediction: where in the picture a layer finds what argues for a class.

    The function explained is the model in eval mode, whatever mode it is in. The model is left exactly as
    found (hooks, `.grad`, modes, buffers, random state), also after an exception; it may be frozen, called
    under `no_grad` or `inference_mode`, and shared by threads. Pictures are explained independently of each
    other.

    Args:
        model: any module that maps (N, C, H, W) to logits (N, classes).
        images: float, (N, C, H, W), normalised as in training, on the model's device.
        target: the class to explain: None for the predicted one, one number for all, or one for each picture.
        layer: a dotted module name; `name#2` is the second call of a module that runs repeatedly. None takes
            `model.cam_layer` if the model has one, else the layer that finishes last of those whose output is
            at least 4×4 for these pictures. Methods for the picture's own pixels take none.
        method: a name in `METHODS`.
        progress: called as ``progress(done, total)`` after each part of the passes of a method that makes very many
            of them: `score-cam`, `ablation-cam`, `occlusion`.

    Raises:
        UsageError: images, target, layer or method cannot be used; the message says why and lists the
            choices.
        ConvscopeError: the model cannot be copied, or its maps are not finite.

    Example:
        >>> from torch import nn, zeros
        >>> head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), *head)
        >>> explain(model, zeros(5, 3, 12, 20), target=1).maps.shape
        (5, 10, 18)
    """
    run = METHODS.load(method)
    _check_images(images)
    return streams_kept(model, images.device, lambda: _explain(model, images, target, layer, method, run, progress))


def _explain(
    model: nn.Module,
    images: Tensor,
    target: Target,
    layer: str | None,
    method: str,
    run: Method,
    progress: Progress | None,
) -> Explanation:
    """`explain`, its arguments checked but for what the model has to say about them."""
    copy = EvalCopy(model, progress)
    if is_of_input(run):
        if layer is not None:
            raise UsageError(f"{method} explains the picture's own pixels; leave layer {layer!r} out")
        layer, logits = INPUT, copy.logits(images)
    else:
        if layer is None:
            layer = copy.default_layer(images)
        _, logits = copy.forward_at(layer, images)  # the method gets the same pass when it asks for it
    targets = _class_of_each(target, logits)  # (N,)
    maps = run(copy, layer, images, targets).detach().cpu().to(torch.float32).numpy()  # (N, h, w)
    _check_finite(maps, method, layer)
    evidence: tuple[Evidence, ...] = tuple("positive" if m.max() > 0 else "none" for m in maps)
    return Explanation(
        maps=maps,
        targets=targets.cpu().numpy(),
        layer=layer,
        method=method,
        evidence=evidence,
        logits=logits.detach().cpu().to(torch.float32).numpy(),
    )


def _check_images(images: Tensor) -> None:
    """Refuse what is not a batch of normalised pictures."""
    if not isinstance(images, Tensor):
        raise UsageError(f"images must be a torch tensor (N, C, H, W), got {type(images).__name__}")
    if images.ndim != 4 or len(images) == 0:
        hint = "; for one picture pass images[None]" if images.ndim == 3 else ""
        raise UsageError(f"images must be (N, C, H, W) with N of at least 1, got {tuple(images.shape)}{hint}")
    if not images.is_floating_point():
        raise UsageError(f"images must be normalised floats as in training, got {images.dtype}; preprocess them first")


def _class_of_each(target: Target, logits: Tensor) -> Tensor:
    """The class to explain for each picture, int64 (N,) on the device of the logits (N, classes)."""
    count, classes = logits.shape
    if target is None:
        return logits.detach().argmax(dim=1)
    plain = target.tolist() if isinstance(target, Tensor | np.ndarray) else target
    if isinstance(plain, str | bytes):
        raise UsageError(f"target must be a class number or one for each picture, got {plain!r}")
    given = list(plain) if isinstance(plain, Sequence) else [plain] * count
    if len(given) != count:
        raise UsageError(f"got {len(given)} targets for {count} pictures; give one for each, or one for all")
    numbers = [_class_number(value, classes) for value in given]
    return torch.tensor(numbers, dtype=torch.int64, device=logits.device)


def _class_number(value: Any, classes: int) -> int:
    """One class number, checked: an integer from 0 to classes - 1."""
    try:
        number = operator.index(value)
    except TypeError:
        raise UsageError(f"a target is an integer from 0 to {classes - 1}, got {value!r}") from None
    if isinstance(value, bool) or not 0 <= number < classes:
        raise UsageError(f"target {value} is not a class: the model has {classes}, 0 to {classes - 1}")
    return number


def _check_finite(maps: NDArray[np.float32], method: str, layer: str) -> None:
    """Refuse NaN and infinity: they stem from model or pictures and must not pass for an empty map."""
    if math.isfinite(maps.sum(dtype=np.float64)):  # in which no sum of finite float32 numbers overflows
        return
    broken = np.flatnonzero(~np.isfinite(maps).all(axis=(1, 2)))
    raise ConvscopeError(
        f"{method} at layer {layer!r} is not finite for {len(broken)} of {len(maps)} pictures "
        f"(first: {broken[0]}); look for NaN or infinity in the pictures and in the weights"
    )
