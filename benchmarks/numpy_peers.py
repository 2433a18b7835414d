"""The convolution of other pure-NumPy packages: kernels in, calls of the same form and the same sums out.

They come with `pip install convscope[bench]`. Each is used in the way, the layout and the precision that suit it best:
float32 throughout, channels last where it wants them so, no graph for a forward pass where it can do without. A change
of layout is never timed.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.timing import Calls, medians
from convscope import numpy_nn

Array = NDArray[np.float32]
Shape = tuple[int, int, int]  # channels in, channels out, size; 3×3, stride 1, padding 1

CHANNELS_LAST, CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


@dataclass(frozen=True)
class Convolution:
    """One package's 3×3 convolution of stride 1 and padding 1, its kernels and bias set.

    `forward(x)` gives y; `train(x, dy)` goes forward and back and gives (y, dx, dweight, dbias). Arrays are
    (N, C, H, W), or (N, H, W, C) if `channels_last`; dweight is (O, C, 3, 3) and dbias (O,) either way.
    """

    forward: Callable[[Array], Array]
    train: Callable[[Array, Array], tuple[Array, Array, Array, Array]]
    channels_last: bool = False

    def arrange(self, x: Array) -> Array:
        """(N, C, H, W) in the package's own layout, contiguous."""
        return np.ascontiguousarray(x.transpose(CHANNELS_LAST)) if self.channels_last else x

    def restore(self, y: Array) -> Array:
        """Back to (N, C, H, W)."""
        return y.transpose(CHANNELS_FIRST) if self.channels_last else y


def ours(weight: Array, bias: Array) -> Convolution:
    """numpy_nn.Conv2D as it is by default."""
    kernels, channels, size, _ = weight.shape
    layer = numpy_nn.Conv2D(channels, kernels, size, padding=size // 2)
    layer.params.update(weight=weight, bias=bias)

    def train(x: Array, dy: Array) -> tuple[Array, Array, Array, Array]:
        y = layer(x)
        dx = layer.backward(dy)
        return y, dx, layer.grads["weight"], layer.grads["bias"]

    return Convolution(layer, train)


def neuralnetworknumpy(weight: Array, bias: Array) -> Convolution:
    """A strided view of the patches, copied into columns; back by nine strided sums."""
    from neuralnetworknumpy import Conv2D

    layer = Conv2D(len(weight), weight.shape[2:], padding="same")
    layer.build(weight.shape[1])
    layer.W, layer.b = weight.transpose(CHANNELS_LAST).copy(), bias[:, None]

    def train(x: Array, dy: Array) -> tuple[Array, Array, Array, Array]:
        y, dx = layer.forward(x), layer.backward(dy)
        return y, dx, layer.dW.transpose(CHANNELS_FIRST), layer.db[:, 0]

    return Convolution(layer.forward, train, channels_last=True)


def tinynn(weight: Array, bias: Array) -> Convolution:
    """Columns one place at a time, for the whole batch; back the same way."""
    from tinynn.core.layer import Conv2D

    kernels, channels, *size = weight.shape
    layer = Conv2D([*size, channels, kernels])
    layer.params, layer.is_init = {"w": weight.transpose(2, 3, 1, 0).copy(), "b": bias}, True

    def train(x: Array, dy: Array) -> tuple[Array, Array, Array, Array]:
        y, dx = layer.forward(x), layer.backward(dy)
        return y, dx, layer.grads["w"].transpose(3, 2, 0, 1), layer.grads["b"]

    return Convolution(layer.forward, train, channels_last=True)


def pydynet(weight: Array, bias: Array) -> Convolution:
    """A strided view of the patches, copied into columns; back through its graph."""
    from pydynet import Tensor, nn, no_grad

    kernels, channels, size, _ = weight.shape
    layer = nn.Conv2d(channels, kernels, size, padding=size // 2, dtype=weight.dtype)
    layer.weight.data[...], layer.bias.data[...] = weight, bias[:, None, None]

    def forward(x: Array) -> Any:
        with no_grad():
            return layer(Tensor(x, dtype=x.dtype)).data

    def train(x: Array, dy: Array) -> tuple[Array, Array, Array, Array]:
        layer.weight.zero_grad()
        layer.bias.zero_grad()
        leaf = Tensor(x, dtype=x.dtype, requires_grad=True)
        y = layer(leaf)
        (y * Tensor(dy, dtype=dy.dtype)).sum().backward()  # it goes back from a number only
        return y.data, leaf.grad, layer.weight.grad, layer.bias.grad.reshape(-1)

    return Convolution(forward, train)


PEERS = {"neuralnetworknumpy": neuralnetworknumpy, "tinynn": tinynn, "pydynet": pydynet}


def installed() -> dict[str, str]:
    """The peers that can be imported and their versions; a line for each that cannot."""
    found = {}
    for name, build in PEERS.items():
        try:
            with warnings.catch_warnings(action="ignore"):  # that there is no CuPy
                build(np.zeros((1, 1, 3, 3), np.float32), np.zeros(1, np.float32))
        except ImportError as error:
            print(f"{name} is left out ({error}): pip install 'convscope[bench]'")
        else:
            found[name] = version(name)
    return found


def compare(shape: Shape, names: list[str], batch: int, rounds: int) -> dict[str, dict[str, float]]:
    """Median seconds of `forward` and `train` for ours and each peer, after a `check` of them."""
    channels, kernels, size = shape
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((kernels, channels, 3, 3), dtype=np.float32) / np.float32(3 * channels**0.5)
    bias = rng.standard_normal(kernels, dtype=np.float32)
    builders = {"ours": ours} | {name: PEERS[name] for name in names}
    convolutions = {name: build(weight, bias) for name, build in builders.items()}

    def draw() -> tuple[Array, Array]:
        return tuple(rng.standard_normal((batch, of, size, size), dtype=np.float32) for of in (channels, kernels))

    check(convolutions, *draw())

    def make(_: int) -> Calls:
        x, dy = draw()
        calls: Calls = {}
        for name, convolution in convolutions.items():
            mine, upstream = convolution.arrange(x), convolution.arrange(dy)
            calls[f"{name} forward"] = lambda of=convolution, x=mine: of.forward(x)
            calls[f"{name} train"] = lambda of=convolution, x=mine, dy=upstream: of.train(x, dy)
        return calls

    seconds = medians(make, rounds)
    return {name: {way: seconds[f"{name} {way}"] for way in ("forward", "train")} for name in convolutions}


def check(convolutions: dict[str, Convolution], x: Array, dy: Array) -> None:
    """AssertionError, with its name, if one gives other outputs or gradients than ours, by 1e-4 of the largest."""
    found = {}
    for name, convolution in convolutions.items():
        y, dx, dweight, dbias = convolution.train(convolution.arrange(x), convolution.arrange(dy))
        again = convolution.restore(convolution.forward(convolution.arrange(x)))
        found[name] = (again, convolution.restore(y), convolution.restore(dx), dweight, dbias)
    for name, arrays in found.items():
        for ours, theirs in zip(found["ours"], arrays, strict=True):
            np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-4 * float(abs(ours).max()), err_msg=name)
