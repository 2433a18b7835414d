"""`python -m convscope.numpy_nn`: every layer at work, printed in numbers, and its difference from PyTorch."""

import importlib.util
import io
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import convscope.numpy_nn as ours
from convscope.numpy_nn.blocks import beside, numbers
from convscope.numpy_nn.shapes import Array

if TYPE_CHECKING:
    from torch import Tensor

WIDTH = 100
TOLERANCE = 1e-10  # what float64 layers may differ by


def main() -> int:
    """Print the examples and the comparison; 1 if a layer differs from PyTorch, else 0."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without × shows ?, and goes on
    print("convscope.numpy_nn: every layer at work")
    print("Arrays are (N, C, H, W): pictures, channels, height, width. dy is the gradient that comes back")
    print("from above, dx the one that goes on below.")
    for example in (convolution, columns, max_pooling, average_pooling, batch_norm, activations):
        example()
    for example in (linear, dropout, cross_entropy, descent, network):
        example()
    return compare()


def convolution() -> None:
    heading("Conv2D(1, 1, kernel_size=2)", "lay the kernel on a patch, multiply, add up; move on to the next patch")
    layer = ours.Conv2D(1, 1, kernel_size=2, bias=False)
    layer.params["weight"] = images([[1, 0], [2, -1]])
    x = images([[1, 2, 0, 3], [4, 1, 1, 0], [0, 5, 2, 1]])
    print(beside(("x", x), "*", ("weight", layer.params["weight"]), "=", ("y", layer(x))))
    patch, kernel = x[0, 0, :2, :2].ravel(), layer.params["weight"].ravel()
    terms = " + ".join(f"{k:g}·{p:g}" if k >= 0 else f"({k:g})·{p:g}" for k, p in zip(kernel, patch, strict=True))
    print(f"\n  the first number: {terms} = {kernel @ patch:g}\n")
    dy = images([[1, 0, 0], [0, 0, 1]])
    dx = layer.backward(dy)
    print(beside(("dy", dy), "→", ("dx", dx), "and", ("dweight", layer.grads["weight"])))


def columns() -> None:
    heading("im2col(x, kernel_size=2)", "a column for each patch, so that the convolution is one product")
    x = images([[1, 2, 0, 3], [4, 1, 1, 0], [0, 5, 2, 1]])
    patches = ours.im2col(x, kernel_size=2)
    kernel = np.array([[1.0, 0, 2, -1]])
    print(beside(("kernel", kernel), "@", ("columns", patches), "=", ("y, as a row", kernel @ patches)))


def max_pooling() -> None:
    heading("MaxPool2D(2)", "keep the largest of each window; its gradient returns to where that was")
    layer = ours.MaxPool2D(2)
    x = images([[1, 3, 2, 2], [5, 4, 2, 2]])
    print(beside(("x", x), "→", ("y", layer(x))), "\n")
    dy = images([[10, 20]])
    print(beside(("dy", dy), "→", ("dx", layer.backward(dy))))


def average_pooling() -> None:
    heading("AveragePool2D(2)", "the mean of each window; the gradient is shared out equally")
    layer = ours.AveragePool2D(2)
    x = images([[1, 3, 2, 2], [5, 4, 2, 2]])
    print(beside(("x", x), "→", ("y", layer(x))), "\n")
    dy = images([[10, 20]])
    print(beside(("dy", dy), "→", ("dx", layer.backward(dy))))


def batch_norm() -> None:
    heading("BatchNorm2D(1)", "centre and scale each channel by its mean and variance over the batch")
    layer = ours.BatchNorm2D(1)
    x = images([[1, 2, 3], [4, 5, 6]])
    print(beside(("x", x), "→", ("y", layer(x))))
    print(f"\n  running mean 0 → {layer.running_mean[0]:.4g}, running variance 1 → {layer.running_var[0]:.4g}")
    print("  In eval mode these recorded values are used instead of the batch's.\n")
    print(beside(("x", x), "→", ("y in eval mode", layer.eval()(x))))


def activations() -> None:
    heading("ReLU(), GELU(), Tanh()", "each number by itself; the slope is what backward multiplies by")
    x = np.array([[-3.0, -1, -0.5, 0, 0.5, 1, 3]])
    row("x", x)
    for layer in (ours.ReLU(), ours.GELU(), ours.Tanh()):
        print()
        row(type(layer).__name__, layer(x))
        row("slope", layer.backward(np.ones_like(x)))


def linear() -> None:
    heading("Linear(3, 2), after Flatten()", "every output is a weighted sum of every input, plus a bias")
    layer = ours.Linear(3, 2)
    layer.params["weight"] = weight = np.array([[1.0, 0, -1], [2, 2, 2]])
    layer.params["bias"] = bias = np.array([0.0, 10])
    x = np.array([[1.0, 2, 3], [4, 5, 6]])
    print(beside(("x", x), "@", ("weight, turned", weight.T), "+", ("bias", bias[None]), "=", ("y", layer(x))))


def dropout() -> None:
    heading("Dropout(0.5)", "in training, zero each number with probability 1/2 and double the others")
    layer = ours.Dropout(0.5, rng=np.random.default_rng(1))
    x = np.array([[1.0, 2, 3, 4, 5, 6]])
    print(beside(("x", x), "→", ("y in training", layer(x)), "or", ("y in eval mode", layer.eval()(x))))


def cross_entropy() -> None:
    heading("CrossEntropyLoss()", "how surprised the network is by the true labels, on average, in nats")
    loss = ours.CrossEntropyLoss()
    logits, labels = np.array([[2.0, 0, 1], [0, 0, 0]]), np.array([0, 2])
    value = loss(logits, labels)
    print(beside(("logits", logits), "and", ("labels", labels[:, None]), "→", ("dlogits", loss.backward())))
    print(f"\n  loss = {value:.4f}; who knows nothing about 3 classes has log 3 = {np.log(3):.4f}")


def descent() -> None:
    heading("SGD, Adam, Muon", "down the slope of 3p² + q², from p = q = 1, in steps of learning rate 0.1")
    for name, make in {"SGD": ours.SGD, "Adam": ours.Adam, "Muon": ours.Muon}.items():
        params = {"kernel": np.ones((1, 1, 1, 2))}
        optimizer = make(params, lr=0.1)
        path = [params["kernel"].copy()]
        for _ in range(7):
            optimizer.step({"kernel": np.array([6.0, 2.0]) * params["kernel"]})  # the derivatives by p and q
            path.append(params["kernel"].copy())
        for place, of in enumerate("pq"):
            row(f"{name} {of}", np.array([point[0, 0, 0, place] for point in path]))


def network() -> None:
    heading("Sequential(…), Residual(…)", "layers one after the other; and a way around some of them")
    net = small_network(np.random.default_rng(0))
    print("  " + repr(net).replace("\n", "\n  ") + "\n")
    x: Array = np.random.default_rng(1).standard_normal((2, 3, 8, 10))
    print(f"  {'input':>12}  {x.shape}")
    for layer in net:
        x = layer(x)
        print(f"  {type(layer).__name__:>12}  {x.shape}")


def small_network(rng: np.random.Generator) -> ours.Sequential:
    """A residual network small enough to print."""
    branch = ours.Sequential(ours.Conv2D(4, 4, 3, padding=1, bias=False, rng=rng), ours.BatchNorm2D(4), ours.GELU())
    return ours.Sequential(
        ours.Conv2D(3, 4, 3, padding="same", rng=rng),
        ours.Residual(branch),
        ours.MaxPool2D(2),
        ours.Flatten(),
        ours.Linear(80, 5, rng=rng),
    )


class Case(NamedTuple):
    """One line of the comparison: a layer, the shape of its input, and the same thing in PyTorch.

    `torch` is called with torch.nn.functional, the input, and the layer's parameters, by name, as tensors.
    """

    what: str
    layer: ours.Layer
    shape: tuple[int, ...]
    torch: Callable[[Any, "Tensor", dict[str, "Tensor"]], "Tensor"]


def cases(rng: np.random.Generator) -> list[Case]:
    """One case a layer, or two where it has more than one side."""
    maps = 4, 6, 9, 11
    labels = np.array([3, 0, 6, 3])
    return [
        Case(
            "Conv2D, kernel 3×5, stride 2",
            ours.Conv2D(6, 8, (3, 5), stride=2, padding=(1, 2), rng=rng),
            maps,
            lambda f, x, p: f.conv2d(x, p["weight"], p["bias"], stride=2, padding=(1, 2)),
        ),
        Case(
            "Conv2D, dilation 2, groups 2",
            ours.Conv2D(6, 4, 3, padding="same", dilation=2, groups=2, rng=rng),
            maps,
            lambda f, x, p: f.conv2d(x, p["weight"], p["bias"], padding="same", dilation=2, groups=2),
        ),
        Case(
            "MaxPool2D, overlapping, ceil_mode",
            ours.MaxPool2D(3, stride=2, padding=1, ceil_mode=True),
            maps,
            lambda f, x, p: f.max_pool2d(x, 3, stride=2, padding=1, ceil_mode=True),
        ),
        Case(
            "AveragePool2D, padding not counted",
            ours.AveragePool2D(3, padding=1, count_include_pad=False),
            maps,
            lambda f, x, p: f.avg_pool2d(x, 3, padding=1, count_include_pad=False),
        ),
        Case("GlobalAveragePool2D", ours.GlobalAveragePool2D(), maps, lambda f, x, p: f.adaptive_avg_pool2d(x, 1)),
        Case("GlobalMaxPool2D", ours.GlobalMaxPool2D(), maps, lambda f, x, p: f.adaptive_max_pool2d(x, 1)),
        Case(
            "BatchNorm2D, training",
            ours.BatchNorm2D(6),
            maps,
            lambda f, x, p: f.batch_norm(x, None, None, p["weight"], p["bias"], training=True),
        ),
        Case(
            "BatchNorm2D, eval",
            ours.BatchNorm2D(6).eval(),
            maps,
            lambda f, x, p: f.batch_norm(x, x.new_zeros(6), x.new_ones(6), p["weight"], p["bias"]),
        ),
        Case("ReLU", ours.ReLU(), maps, lambda f, x, p: f.relu(x)),
        Case("GELU", ours.GELU(), maps, lambda f, x, p: f.gelu(x)),
        Case("Tanh", ours.Tanh(), maps, lambda f, x, p: x.tanh()),
        Case("Dropout, eval", ours.Dropout(0.5).eval(), maps, lambda f, x, p: f.dropout(x, training=False)),
        Case("Flatten", ours.Flatten(), maps, lambda f, x, p: x.flatten(1)),
        Case(
            "Linear",
            ours.Linear(20, 7, rng=rng),
            (4, 20),
            lambda f, x, p: f.linear(x, p["weight"], p["bias"]),
        ),
        Case(
            "Residual around a Linear",
            ours.Residual(ours.Linear(20, 20, rng=rng)),
            (4, 20),
            lambda f, x, p: x + f.linear(x, p["branch.weight"], p["branch.bias"]),
        ),
        Case("CrossEntropyLoss", Loss(labels), (4, 7), lambda f, x, p: f.cross_entropy(x, x.new_tensor(labels).long())),
    ]


class Loss(ours.Layer):
    """CrossEntropyLoss for some labels as a layer, (N, K) -> (), so that it can stand in the table."""

    def __init__(self, labels: NDArray[np.int64]) -> None:
        super().__init__()
        self.labels, self.loss = labels, ours.CrossEntropyLoss()

    def _forward(self, x: Array) -> Array:
        return np.asarray(self.loss(x, self.labels))

    def _backward(self, dy: Array) -> Array:
        dx: Array = dy * self.loss.backward()
        return dx


def compare() -> int:
    """Print the shapes of each case and, with PyTorch, the largest differences; 1 if one is too large."""
    with_torch = importlib.util.find_spec("torch") is not None
    heading("Beside PyTorch", "random float64 inputs and upstream gradients, seed 0: the largest difference")
    print(f"  {'layer':<36}{'input':<16}{'output':<16}{'forward':>10}{'backward':>12}")
    rng = np.random.default_rng(0)
    found: list[float] = []
    for case in cases(rng):
        for name, array in case.layer.params.items():
            case.layer.params[name] = rng.standard_normal(array.shape)  # a bias of 0 would hide its mistakes
        x = rng.standard_normal(case.shape)
        y = case.layer(x)
        line = f"  {case.what:<36}{case.shape!s:<16}{y.shape!s:<16}"
        if with_torch:
            forward, backward = differences(case, x, y, rng.standard_normal(y.shape))
            found += [forward, backward]
            line += f"{forward:>10.1e}{backward:>12.1e}"
        print(line.rstrip())
    if not with_torch:
        print("\n  PyTorch is not installed, so nothing was compared: pip install torch, and run this again.")
        return 0
    worst = np.max(found)  # unlike max, gives NaN if there is one
    agree = worst <= TOLERANCE
    print(f"\n  {'All agree' if agree else 'They do NOT agree'}: at most {worst:.1e} apart.")
    return 0 if agree else 1


def differences(case: Case, x: Array, y: Array, dy: Array) -> tuple[float, float]:
    """The largest difference of the output, and of all gradients, for the upstream gradient `dy`."""
    import torch
    from torch.nn import functional

    input_ = torch.tensor(x, requires_grad=True)
    params = {name: torch.tensor(array, requires_grad=True) for name, array in case.layer.params.items()}
    output = case.torch(functional, input_, params)
    dx, *dparams = torch.autograd.grad(output, [input_, *params.values()], torch.tensor(dy))
    forward = np.abs(y - output.detach().numpy()).max()
    backward = [np.abs(case.layer.backward(dy) - dx.numpy()).max()]
    for name, gradient in zip(params, dparams, strict=True):
        backward.append(np.abs(case.layer.grads[name] - gradient.numpy()).max())
    return float(forward), float(np.max(backward))


def images(rows: list[list[float]]) -> NDArray[np.float64]:
    """One picture with one channel, (1, 1, H, W)."""
    return np.array(rows, dtype=np.float64)[None, None]


def heading(what: str, meaning: str) -> None:
    print(f"\n── {what} {'─' * (WIDTH - len(what) - 4)}\n  {meaning}\n")


def row(label: str, values: NDArray[Any]) -> None:
    """Print one labelled line of numbers."""
    print(f"  {label:>8}" + "".join(f"{text:>8}" for text in numbers(values)))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # whoever read along (head, less) has seen enough
        sys.stderr.close()
