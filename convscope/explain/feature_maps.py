"""A model and pictures in; what each of its layers makes of them out."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convscope.errors import UsageError
from convscope.explain.capture import EvalCopy, as_eval_copy


def feature_maps(
    model: nn.Module | EvalCopy, images: Tensor, layers: Sequence[str] | None = None
) -> dict[str, NDArray[np.float32]]:
    """The outputs of the layers for `images`, as the layer gave them: a later in-place change does not show.

    The model is in eval mode for this, and left exactly as found (see `explain`). It may return anything.

    Args:
        model: any module that takes (N, C, H, W).
        images: float, (N, C, H, W), normalised.
        layers: dotted module names, `name#2` for the second call of a module that runs repeatedly. None takes
            every module whose output has four axes and is its own, not passed on by one inside it (so a residual
            sum, but no sequence), in the order in which they finished; a module that runs repeatedly is then there
            once a call, as `name#1`, `name#2`.

    Returns:
        {layer: float32 (N, K, h, w)}, in the order of running, or of `layers`.

    Raises:
        UsageError: a name that does not exist, or whose output has no four axes; the message lists the
            choices.
    """
    copy = as_eval_copy(model)
    if layers is None:
        calls = copy.calls(images, _as_array, copy.layers(images))
        return {call.layer: call.value for call in calls if call.value is not None}
    if isinstance(layers, str):
        raise UsageError(f"layers must be a list of names, got the text {layers!r}; write [{layers!r}]")
    wanted = {layer: copy.resolve(layer, images) for layer in layers}
    calls = copy.calls(images, _as_array, {module for module, _ in wanted.values()})
    values = {name: call.value for call in calls for name in (call.layer, f"{call.module}#{call.index}")}
    maps = {}
    for layer, (module, which) in wanted.items():
        value = values.get(module if which is None else f"{module}#{which}")
        if value is None:
            copy.refuse(layer, images)
        maps[layer] = value
    return maps


def _as_array(output: Tensor) -> NDArray[np.float32]:
    """A copy, because the output may be changed in place later in the pass."""
    array: NDArray[np.float32] = output.detach().to("cpu", torch.float32, copy=True).numpy()
    return array
