"""How much two correct programs may differ: a model and pictures in, the rounding error of every layer out.

**Forward, float32.** A sum of n terms goes through n roundings, as often up as down, so its error comes to about
√n·u of the size of what is summed, with u = 2⁻²⁴ (Higham & Mary 2019, "A new approach to probabilistic rounding error
analysis", theorem 2.4). That is what a layer adds. What it inherits from the layers before it, and what it amplifies
of that (a BatchNorm that subtracts a mean far larger than the deviation, say), no formula of sizes knows, so it is
measured: the distance of PyTorch's float32 output from PyTorch's float64 output. The larger of the two is the layer's
*rounding*, relative to its largest value. `SAFETY` times that is allowed: two programs err, and the worst of all
pictures is further out than the worst of the few that are measured. Never more than `CEILING` is allowed: a network so
badly conditioned cannot be proved in float32, and a mistake of a thousandth never passes.

**Backward, float64.** The gradient jumps where a ReLU or a max pooling switches, and among a million activations some
lie within float32 rounding of the switch. So gradients, optimiser step and Grad-CAM are compared in float64, whose
rounding is 2⁻²⁹ of float32's: no value lies that close, and no tolerance needs to be tuned. √N·u stays below 2⁻³⁹ with
N = 2²⁸ terms; `FLOAT64` = 2⁻³⁰ leaves 500 times that for what a network amplifies, and is still a million times finer
than a thousandth.
"""

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from convscope.convert import Array
from convscope.numpy_nn import Layer
from convscope.proof.difference import largest
from convscope.proof.walk import run_forward

UNIT = 2.0**-24  # u: half the distance from 1 to the next float32
SAFETY = 8.0
CEILING = 1e-4
FLOAT64 = 2.0**-30
ELEMENTWISE = 4  # roundings of a layer besides its sum: bias, centring, scaling, shifting


def forward_rounding(model: nn.Module, network: Layer, x: Tensor) -> dict[str, float]:
    """The rounding error of every layer's float32 output, relative to its largest value.

    Args:
        model: float32, in eval mode; left alone.
        network: its counterpart, of which only the layers' sizes count here.
        x: float32, (N, C, H, W), a few pictures.
    """
    own = own_rounding(network, x.numpy())
    exact: dict[str, Tensor] = {}
    observe(copy.deepcopy(model).double(), x.double(), set(own), lambda name, y: exact.update({name: y.clone()}))
    rounding: dict[str, float] = {}

    def measure(name: str, output: Tensor) -> None:
        scale = largest(exact[name].numpy())
        error = largest((output - exact.pop(name)).numpy())
        rounding[name] = float(np.fmax(error / scale, own[name])) if scale else own[name]

    observe(model, x, set(own), measure)
    return rounding


def own_rounding(network: Layer, x: Array) -> dict[str, float]:
    """√n·u for every layer, n being the roundings between its input and its output."""
    found: dict[str, float] = {}

    def count(layer: Layer, x: Array, y: Array) -> None:
        weight = layer.params.get("weight", np.empty(0))
        terms = weight[0].size if weight.ndim > 1 else x.size // y.size  # of one output: a kernel's, or a window's
        found[layer.name] = UNIT * (terms + ELEMENTWISE) ** 0.5

    run_forward(network, x, count, remember=False)
    return found


@torch.no_grad()
def observe(model: nn.Module, x: Tensor, names: set[str], seen: Callable[[str, Tensor], None]) -> Tensor:
    """The output of `model`; `seen` gets name and output of every module in `names` as soon as it is there.

    What it gets belongs to the model, which may write over it afterwards (an in-place ReLU). The hooks are gone when
    this returns, but a model that other threads use must be copied first.
    """
    hooks = [
        module.register_forward_hook(lambda _, __, output, name=name: seen(name, output))
        for name, module in model.named_modules()
        if name in names
    ]
    try:
        output: Tensor = model(x)
    finally:
        for hook in hooks:
            hook.remove()
    return output
