"""A NumPy network and an input in, a call for every layer as it runs, forward or backward; in PyTorch's names."""

from collections.abc import Callable

import numpy as np

from convscope.convert import Array
from convscope.numpy_nn import Layer, Residual, Sequential

Visit = Callable[[Layer, Array, Array], None]  # (layer, its input, its output)


def run_forward(layer: Layer, x: Array, visit: Visit, remember: bool) -> Array:
    """The output of `layer`; `visit` sees every layer that computes something, in order.

    A Sequential computes nothing of its own, a Residual its sum.
    """
    if isinstance(layer, Sequential):
        for child in layer.layers:
            x = run_forward(child, x, visit, remember)
        return x
    if isinstance(layer, Residual):
        shortcut = x if layer.shortcut is None else run_forward(layer.shortcut, x, visit, remember)
        y = np.add(run_forward(layer.branch, x, visit, remember), shortcut)
    else:
        y = layer(x, remember)
    visit(layer, x, y)
    return y


def run_backward(layer: Layer, dy: Array, visit: Callable[[Layer, Array], None]) -> Array:
    """dL/dx after a `run_forward` that was remembered; `visit` sees dL/dy of the output of every layer."""
    visit(layer, dy)
    if isinstance(layer, Sequential):
        for child in reversed(layer.layers):
            dy = run_backward(child, dy, visit)
        return dy
    if isinstance(layer, Residual):
        through = run_backward(layer.branch, dy, visit)
        around = dy if layer.shortcut is None else run_backward(layer.shortcut, dy, visit)
        return np.add(through, around)
    return layer.backward(dy)
