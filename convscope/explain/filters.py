"""A model in; its learned kernels out, as numbers and as tiles of a picture."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convscope.errors import UsageError
from convscope.explain.colors import colorize_signed


def learned_filters(model: nn.Module, layer: str | None = None) -> tuple[str, NDArray[np.float32]]:
    """The kernels of a two-dimensional convolution, copied: what is done to them does not reach the model.

    A convolution is any module with a `weight` (O, I, KH, KW), so also one that is not torch's own;
    transposed convolutions are not, their first two axes mean something else.

    Args:
        model: any module.
        layer: the dotted name of a convolution; None takes the first in the order of definition.

    Returns:
        (name, kernels): kernels float32, (O, I, KH, KW), I input channels a group.

    Raises:
        UsageError: the model has no convolution, or `layer` is not one; the message lists the choices.
    """
    convolutions = {name: weight for name, module in model.named_modules() if (weight := _kernels(module)) is not None}
    if not convolutions:
        raise UsageError(f"{type(model).__name__} has no two-dimensional convolution, so no filters to show")
    name = next(iter(convolutions)) if layer is None else layer
    if name not in convolutions:
        modules = dict(model.named_modules())
        what = f"is a {type(modules[name]).__name__}, not a convolution" if name in modules else "does not exist"
        raise UsageError(f"layer {name!r} {what}; choose from {', '.join(convolutions)}")
    kernels: NDArray[np.float32] = convolutions[name].detach().to("cpu", torch.float32, copy=True).numpy()
    return name, kernels


def filter_tiles(kernels: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Kernels as coloured tiles on one scale, symmetric around zero, so that tiles compare with each other.

    Kernels over three input channels are shown in their own colours: zero is mid-grey, and the largest
    magnitude of all kernels reaches black or full colour. Others are one plane for each input channel: zero
    is white, positive weights orange, negative ones blue.

    Args:
        kernels: (O, I, KH, KW), finite.

    Returns:
        uint8, (O, columns, KH, KW, 3): a row of tiles for each filter; one column if I is 3, else I columns.

    Raises:
        UsageError: not four axes.
    """
    if kernels.ndim != 4:
        raise UsageError(f"kernels must be (O, I, KH, KW), got {kernels.shape}")
    scaled = kernels / (np.abs(kernels).max(initial=0) or 1)  # [-1, 1]
    if kernels.shape[1] == 3:
        colours: NDArray[np.uint8] = np.rint(127.5 + 127.5 * scaled).astype(np.uint8)
        return colours.transpose(0, 2, 3, 1)[:, None]
    return colorize_signed(scaled)


def _kernels(module: nn.Module) -> Tensor | None:
    """The module's weight if it is that of a two-dimensional convolution."""
    weight = getattr(module, "weight", None)
    transposed = getattr(module, "transposed", False)
    return weight if isinstance(weight, Tensor) and weight.ndim == 4 and not transposed else None
