"""Times the layers of `numpy_nn` against PyTorch's and against loops; ratios measured side by side in one run.

Run `python benchmarks/bench_numpy_nn.py`; it prints a table and writes benchmarks/results/numpy_nn.json. Rounds take
the candidates in turn, each on fresh input, and medians are compared: the machine may be doing other things as well.
"""

import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import nn

from convscope import numpy_nn
from convscope.runs.environment import describe_environment

RESULT = Path(__file__).parent / "results" / "numpy_nn.json"
THREADS, BATCH, ROUNDS = 2, 64, 15
CASES = [  # channels in, channels out, size, kernel, stride
    (3, 64, 32, 3, 1),
    (64, 64, 32, 3, 1),
    (64, 128, 16, 3, 1),
    (128, 128, 16, 3, 1),
    (256, 256, 8, 3, 1),
    (64, 128, 32, 3, 2),
    (128, 256, 16, 3, 2),
    (64, 64, 32, 1, 1),
    (128, 256, 16, 1, 2),
]
LAYERS: dict[str, tuple[Callable[[], numpy_nn.Layer], Callable[[], nn.Module]]] = {
    "MaxPool2D(2)": (lambda: numpy_nn.MaxPool2D(2), lambda: nn.MaxPool2d(2)),
    "AveragePool2D(2)": (lambda: numpy_nn.AveragePool2D(2), lambda: nn.AvgPool2d(2)),
    "BatchNorm2D": (lambda: numpy_nn.BatchNorm2D(64), lambda: nn.BatchNorm2d(64)),
    "ReLU": (numpy_nn.ReLU, nn.ReLU),
}
Calls = dict[str, Callable[[], Any]]


def medians(make: Callable[[int], Calls], rounds: int = ROUNDS) -> dict[str, float]:
    """The median seconds of each call; `make(round)` gives the calls anew, on input that no call has seen."""
    taken: dict[str, list[float]] = {}
    for number in range(rounds + 2):
        for name, call in make(number).items():
            started = time.perf_counter()
            call()
            taken.setdefault(name, []).append(time.perf_counter() - started)
    return {name: statistics.median(times[2:]) for name, times in taken.items()}  # the first two warm up


def convolution(case: tuple[int, int, int, int, int]) -> dict[str, float]:
    """Seconds of forward and backward (input, weight, bias), ours and PyTorch's, after checking that they agree."""
    channels, kernels, size, kernel, stride = case
    rng = np.random.default_rng(0)
    layer = numpy_nn.Conv2D(channels, kernels, kernel, stride, padding=kernel // 2, rng=rng)
    for name, value in layer.params.items():
        layer.params[name] = value.astype(np.float32)
    module = nn.Conv2d(channels, kernels, kernel, stride, padding=kernel // 2)
    module.load_state_dict({name: torch.from_numpy(value) for name, value in layer.params.items()})

    def make(_: int) -> Calls:
        x = rng.standard_normal((BATCH, channels, size, size), dtype=np.float32)
        inputs = torch.from_numpy(x).requires_grad_()
        y, outputs = layer(x), module(inputs)
        dy = rng.standard_normal(y.shape, dtype=np.float32)
        dx = layer.backward(dy)
        wanted = [inputs, *module.parameters()]
        found = torch.autograd.grad(outputs, wanted, torch.from_numpy(dy), retain_graph=True)
        for ours, theirs in zip((y, dx, layer.grads["weight"]), (outputs, *found), strict=False):
            scale = float(theirs.detach().abs().max())
            np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=0, atol=1e-4 * scale)
        fresh = rng.standard_normal(x.shape, dtype=np.float32)
        tensor = torch.from_numpy(fresh)

        def torch_forward() -> None:
            with torch.no_grad():
                module(tensor)

        return {
            "forward": lambda: layer(fresh),
            "torch forward": torch_forward,
            "backward": lambda: layer.backward(dy),
            "torch backward": lambda: torch.autograd.grad(outputs, wanted, torch.from_numpy(dy), retain_graph=True),
        }

    return medians(make)


def elementwise(name: str) -> dict[str, float]:
    """The same for a layer of `LAYERS`, on 64 channels of 32×32, in train mode."""
    rng = np.random.default_rng(0)
    layer, module = LAYERS[name][0](), LAYERS[name][1]()

    def make(_: int) -> Calls:
        x = rng.standard_normal((BATCH, 64, 32, 32), dtype=np.float32)
        inputs = torch.from_numpy(x).requires_grad_()
        y, outputs = layer(x), module(inputs)
        dy = rng.standard_normal(y.shape, dtype=np.float32)
        gradient = torch.from_numpy(dy)
        wanted = [inputs, *module.parameters()]
        np.testing.assert_allclose(y, outputs.detach().numpy(), rtol=1e-3, atol=1e-4)

        def torch_forward() -> None:
            with torch.no_grad():
                module(inputs)

        return {
            "forward": lambda: layer(x),
            "torch forward": torch_forward,
            "backward": lambda: layer.backward(dy),
            "torch backward": lambda: torch.autograd.grad(outputs, wanted, gradient, retain_graph=True),
        }

    return medians(make)


def half_naive(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The usual loop: four Python loops around a NumPy product, padding 1."""
    batch, _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    y = np.empty((batch, len(weight), height, width), x.dtype)
    for n in range(batch):
        for o in range(len(weight)):
            for p in range(height):
                for q in range(width):
                    y[n, o, p, q] = (padded[n, :, p : p + 3, q : q + 3] * weight[o]).sum()
    return y


def loops() -> dict[str, float]:
    """Seconds on 4 pictures of 3×32×32 and 64 kernels of 3×3: ours, the half-naive loop, plain Python."""
    rng = np.random.default_rng(0)
    layer = numpy_nn.Conv2D(3, 64, 3, padding=1, bias=False, rng=rng)
    weight = layer.params["weight"].astype(np.float32)
    layer.params["weight"] = weight

    def make(number: int) -> Calls:
        x = rng.standard_normal((4, 3, 32, 32), dtype=np.float32)
        calls: Calls = {"ours": lambda: layer(x), "half-naive": lambda: half_naive(x, weight)}
        return calls | ({"naive": lambda: numpy_nn.conv2d_naive(x, weight, padding=1)} if number in (0, 1, 2) else {})

    return medians(make, rounds=5)


def main() -> None:
    """Measure everything, print the tables, write the file."""
    torch.set_num_threads(THREADS)
    result: dict[str, Any] = {"convolution": [], "layers": {}}
    with threadpool_limits(THREADS, user_api="blas"):
        print(f"batch {BATCH}, float32, {THREADS} threads each; milliseconds, and ours over torch's")
        print("convolution            forward   torch  ratio   backward   torch  ratio")
        for case in CASES:
            seconds = convolution(case)
            result["convolution"].append({"case": case, "seconds": seconds})
            channels, kernels, size, kernel, stride = case
            _row(f"{channels:>3} -> {kernels:<3} @{size}² {kernel}×{kernel} s{stride}", seconds)
        for way in ("forward", "backward"):
            ratios = [row["seconds"][way] / row["seconds"][f"torch {way}"] for row in result["convolution"]]
            mean = math.exp(statistics.fmean(map(math.log, ratios)))
            result[f"{way}_ratio"] = {"geometric_mean": mean, "largest": max(ratios)}
            print(f"{way}: geometric mean {mean:.2f}, largest {max(ratios):.2f}")
        for name in LAYERS:
            seconds = elementwise(name)
            result["layers"][name] = seconds
            _row(name, seconds)
        result["loops"] = seconds = loops()
        for name in ("half-naive", "naive"):
            print(f"{name} over ours: {seconds[name] / seconds['ours']:,.0f}")
    result["environment"] = describe_environment("cpu") | {"command": "python benchmarks/bench_numpy_nn.py"}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _row(name: str, seconds: dict[str, float]) -> None:
    cells = [
        f"{1e3 * seconds[way]:8.2f} {1e3 * seconds[f'torch {way}']:7.2f} {seconds[way] / seconds[f'torch {way}']:6.2f}"
        for way in ("forward", "backward")
    ]
    print(f"{name:<22} {'   '.join(cells)}")


if __name__ == "__main__":
    main()
