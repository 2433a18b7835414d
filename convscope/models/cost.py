"""A network and the shape of one picture in; the multiply-adds that each of its layers spends on that picture out."""

import math
from collections import Counter

from torch import nn

from convscope.layers import Conv2D
from convscope.models.base import Shape, layer_shapes


def multiply_adds(model: nn.Module, in_shape: Shape) -> dict[str, int]:
    """Dotted layer name -> products that one forward pass of one picture (C, H, W) takes, for every layer in order.

    A convolution (O, C/groups, KH, KW) with an output (O, OH, OW) takes ``O*OH*OW * C/groups*KH*KW``, those with
    padding included; a linear layer (O, I) takes ``O*I``. Nothing else counts (biases, BatchNorm, pooling,
    activations, residual sums), as in the papers that compare networks (He et al. 2016, table 1). The sizes of the
    outputs are those that a real pass gives, not computed.
    """
    counts: Counter[str] = Counter()
    for name, shape in layer_shapes(model, in_shape):
        counts[name] += call_multiply_adds(model.get_submodule(name), shape)
    return dict(counts)


def call_multiply_adds(module: nn.Module, shape: tuple[int, ...]) -> int:
    """Those of one call of a layer whose output for one picture has this shape; 0 for a layer that has none."""
    if not isinstance(module, Conv2D | nn.Conv2d | nn.Linear):
        return 0
    return math.prod(shape) * module.weight[0].numel()  # a sum of so many products for each output
