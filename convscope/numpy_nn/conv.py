"""Conv2D: pictures (N, C, H, W) -> feature maps (N, O, OH, OW), as one matrix product (im2col)."""

import numpy as np

from convscope.numpy_nn import fast
from convscope.numpy_nn.im2col import col2im, im2col, output_hw
from convscope.numpy_nn.layer import Layer, xavier_uniform
from convscope.numpy_nn.shapes import (
    Array,
    IntPair,
    check_images,
    convolution_edges,
    generator,
    pad_images,
    pair,
    plural,
    whole,
)


class Conv2D(Layer):
    """Slide O kernels over the input; each output is one kernel times one patch, summed.

    y[n, o, p, q] = b[o] + Σ_c Σ_i Σ_j  w[o, c, i, j] · x[n, c, p·S + i·D - P, q·S + j·D - P]

    This is cross-correlation, as in every deep learning library: the kernel is not flipped. With `groups` G,
    kernel o sees only the C/G channels of its own group. With a kernel in each row of W and a patch in each
    column of X̂ = im2col(x), within each group:

        Y = W X̂ + b        dW = dY X̂ᵀ        db = Σ dY        dX̂ = Wᵀ dY,  dx = col2im(dX̂)

    Args:
        in_channels, out_channels: C and O, each a multiple of `groups`.
        kernel_size, stride, dilation: a number or a (height, width) pair.
        padding: zeros added at each edge: a number, a pair, or "same" (keeps H and W; stride 1 only).
        groups: into how many independent convolutions the channels are split.
        bias: whether each kernel adds a learned number.
        rng: draws the kernels, Xavier uniform; the bias starts at zero.

    Attributes:
        params: `weight`, (O, C/G, KH, KW); `bias`, (O,).
        plain: True computes by the formulas above, as this page has them; False, the default, takes the same sums in
            another order (`fast.py`), several times faster. 3×3 kernels over many channels then also mix neighbouring
            pixels (`winograd.py`): infinite ones, and float32 beyond 1e37, make NaN of their neighbours.

    Raises:
        ValueError: an argument out of range; a call with an input of another rank or number of channels, or
            one that is smaller than the kernel once padded.

    >>> edge = Conv2D(1, 1, kernel_size=(1, 2), bias=False)
    >>> edge.params["weight"] = np.array([[[[-1.0, 1.0]]]])  # the step from each pixel to the next
    >>> x = np.array([[[[0.0, 0, 5, 5], [0, 5, 5, 5]]]])
    >>> print(edge(x)[0, 0])
    [[0. 5. 0.]
     [5. 0. 0.]]
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntPair,
        stride: IntPair = 1,
        padding: IntPair | str = 0,
        dilation: IntPair = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = whole("Conv2D", "in_channels", in_channels, at_least=1)
        self.out_channels = whole("Conv2D", "out_channels", out_channels, at_least=1)
        self.groups = whole("Conv2D", "groups", groups, at_least=1)
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(
                f"Conv2D got in_channels {in_channels} and out_channels {out_channels}: "
                f"groups {groups} must divide both"
            )
        self.kernel_size = pair("Conv2D", "kernel_size", kernel_size, at_least=1)
        self.stride = pair("Conv2D", "stride", stride, at_least=1)
        self.dilation = pair("Conv2D", "dilation", dilation, at_least=1)
        self.padding = padding
        self._edges = convolution_edges("Conv2D", padding, self.kernel_size, self.stride, self.dilation)
        self.plain = False

        area = self.kernel_size[0] * self.kernel_size[1]
        fan_in = self.in_channels // self.groups * area
        self._weight_shape = self.out_channels, self.in_channels // self.groups, *self.kernel_size
        self._matrix_shape = self.groups, self.out_channels // self.groups, fan_in  # (G, O/G, C/G*KH*KW)
        self.params["weight"] = xavier_uniform(
            self._weight_shape, fan_in, self.out_channels * area, generator("Conv2D", rng)
        )
        if bias:
            self.params["bias"] = np.zeros(self.out_channels)

    def _forward(self, x: Array) -> Array:
        self._check(x)
        self._by_the_page = self.plain  # of this forward; it may change before backward
        batch = len(x)
        out = output_hw("Conv2D", x.shape, self.kernel_size, self.stride, self.dilation, self._edges)
        weight = self._param("weight", self._weight_shape, x.dtype)
        bias = self._param("bias", (self.out_channels,), x.dtype) if "bias" in self.params else None
        if not self._by_the_page:
            self._geometry = fast.Geometry(
                (x.shape[2], x.shape[3]), self.kernel_size, self.stride, self.dilation, self._edges, out
            )
            self._x, self._weight = x, weight
            return fast.forward(x, weight, bias, self._geometry, self.groups)
        self._kernels = weight.reshape(self._matrix_shape)  # (G, O/G, C/G*KH*KW)
        # the padded input is kept, not its columns: they would take KH*KW times the memory, in eval mode too
        self._padded = pad_images(x, self._edges)
        self._height, self._width = x.shape[2:]

        y = self._kernels @ self._columns(batch * out[0] * out[1])  # (G, O/G, N*OH*OW)
        y = np.ascontiguousarray(y.reshape(self.out_channels, batch, *out).transpose(1, 0, 2, 3))
        return y if bias is None else y + bias[:, None, None]  # (N, O, OH, OW)

    def _backward(self, dy: Array) -> Array:
        dx = self._plain_backward(dy) if self._by_the_page else self._fast_backward(dy)
        if "bias" in self.params:
            self.grads["bias"] = dy.sum(axis=(0, 2, 3))
        return dx

    def _fast_backward(self, dy: Array) -> Array:
        self.grads["weight"] = fast.weight_gradient(self._x, dy, self._geometry, self.groups)
        return fast.input_gradient(dy, self._weight, self._geometry, self.groups)

    def _plain_backward(self, dy: Array) -> Array:
        batch, _, *out = dy.shape
        places = batch * out[0] * out[1]
        dy_rows = dy.transpose(1, 0, 2, 3).reshape(*self._matrix_shape[:2], places)  # (G, O/G, N*OH*OW)

        dweight = dy_rows @ self._columns(places).transpose(0, 2, 1)  # (G, O/G, C/G*KH*KW)
        self.grads["weight"] = dweight.reshape(self._weight_shape)

        dcolumns = self._kernels.transpose(0, 2, 1) @ dy_rows  # (G, C/G*KH*KW, N*OH*OW)
        dpadded = col2im(
            dcolumns.reshape(self.groups * self._matrix_shape[2], places),
            self._padded.shape,
            self.kernel_size,
            self.stride,
            dilation=self.dilation,
        )
        (top, _), (left, _) = self._edges
        return np.ascontiguousarray(dpadded[:, :, top : top + self._height, left : left + self._width])

    def _columns(self, places: int) -> Array:
        """The patches of the last input, split into groups: (G, C/G*KH*KW, N*OH*OW)."""
        columns = im2col(self._padded, self.kernel_size, self.stride, dilation=self.dilation)
        made = columns.shape[1]
        assert made == places, f"im2col made {made} columns for an output of {places} places"
        return columns.reshape(self.groups, self._matrix_shape[2], places)

    def _check(self, x: Array) -> None:
        check_images("Conv2D", x)
        if x.shape[1] != self.in_channels:
            raise ValueError(
                f"Conv2D got input {x.shape}: {plural(x.shape[1], 'channel')}, its kernels expect {self.in_channels}"
            )
