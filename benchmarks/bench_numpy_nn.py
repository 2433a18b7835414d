"""Times the layers of `numpy_nn` against PyTorch's, other NumPy packages' and loops, side by side in one run.

`python benchmarks/bench_numpy_nn.py` prints the tables, writes benchmarks/results/numpy_nn.json and draws
docs/images/numpy_nn.png; `--quick` measures little, to try it, and leaves both in build/benchmarks.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))  # this checkout, not another that is installed

from benchmarks.surroundings import STEERING, measure_in_clean_surroundings

if __name__ == "__main__":
    measure_in_clean_surroundings()

import numpy as np
import torch
from threadpoolctl import threadpool_info, threadpool_limits
from torch import nn

from benchmarks import numpy_growth, numpy_peers, numpy_tricks
from benchmarks.numpy_chart import chart
from benchmarks.numpy_tables import TABLES, describe, plain_text
from benchmarks.timing import WARM_UP, Calls, medians
from convscope import numpy_nn
from convscope.runs.environment import command_line, describe_environment

ROOT = Path(__file__).parent.parent
BATCH, ROUNDS = 64, 15
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
Shape = tuple[int, int, int, int]  # (N, C, H, W)
PEER_SHAPES = [(64, 64, 32), (128, 128, 16)]


def convolution(case: tuple[int, int, int, int, int], rounds: int) -> dict[str, float]:
    """Seconds of forward and backward (input, weight, bias), ours and PyTorch's, after checking that they agree."""
    channels, kernels, size, kernel, stride = case
    rng = np.random.default_rng(0)
    layer = numpy_nn.Conv2D(channels, kernels, kernel, stride, padding=kernel // 2, rng=rng)
    for name, value in layer.params.items():
        layer.params[name] = value.astype(np.float32)
    module = nn.Conv2d(channels, kernels, kernel, stride, padding=kernel // 2)
    module.load_state_dict({name: torch.from_numpy(value) for name, value in layer.params.items()})

    shape = (BATCH, channels, size, size)
    check(layer, module, shape, rng)
    return medians(sides(layer, module, shape, rng), rounds)


def elementwise(name: str, rounds: int) -> dict[str, float]:
    """The same for a layer of `LAYERS`, on 64 channels of 32×32, in train mode."""
    rng = np.random.default_rng(0)
    layer, module = LAYERS[name][0](), LAYERS[name][1]()
    shape = (BATCH, 64, 32, 32)
    check(layer, module, shape, rng)
    return medians(sides(layer, module, shape, rng), rounds)


def check(layer: numpy_nn.Layer, module: nn.Module, shape: Shape, rng: np.random.Generator) -> None:
    """AssertionError if ours gives another output or gradient than PyTorch's, by 1e-4 of the largest."""
    x = rng.standard_normal(shape, dtype=np.float32)
    inputs, parameters = torch.from_numpy(x).requires_grad_(), dict(module.named_parameters())
    outputs = module(inputs)
    dy = rng.standard_normal(outputs.shape, dtype=np.float32)
    found = torch.autograd.grad(outputs, [inputs, *parameters.values()], torch.from_numpy(dy))
    y, dx = layer(x), layer.backward(dy)
    mine = {"y": y, "dx": dx} | {f"d{name}": layer.grads[name] for name in parameters}
    for (name, ours), theirs in zip(mine.items(), (outputs, *found), strict=True):
        wanted = theirs.detach().numpy()
        np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-4 * float(abs(wanted).max()), err_msg=name)


def sides(layer: numpy_nn.Layer, module: nn.Module, shape: Shape, rng: np.random.Generator) -> Callable[[int], Calls]:
    """What makes the calls of a round, ours and PyTorch's, on pictures and upstream gradients that neither has seen."""

    def make(_: int) -> Calls:
        x = rng.standard_normal(shape, dtype=np.float32)
        inputs = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).requires_grad_()
        outputs = module(inputs)  # the graph that PyTorch goes back through
        dy = rng.standard_normal(outputs.shape, dtype=np.float32)
        tensor, gradient, wanted = torch.from_numpy(x), torch.from_numpy(dy), [inputs, *module.parameters()]

        def torch_forward() -> None:
            with torch.no_grad():
                module(tensor)

        return {
            "forward": lambda: layer(x),
            "torch forward": torch_forward,
            "backward": lambda: layer.backward(dy),
            "torch backward": lambda: torch.autograd.grad(outputs, wanted, gradient, retain_graph=True),
        }

    return make


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


def loops(rounds: int) -> dict[str, float]:
    """Seconds on 4 pictures of 3×32×32 and 64 kernels of 3×3: ours, the half-naive loop, plain Python."""
    rng = np.random.default_rng(0)
    layer = numpy_nn.Conv2D(3, 64, 3, padding=1, bias=False, rng=rng)
    weight = layer.params["weight"].astype(np.float32)
    layer.params["weight"] = weight

    def make(number: int) -> Calls:
        x = rng.standard_normal((4, 3, 32, 32), dtype=np.float32)
        calls: Calls = {"ours": lambda: layer(x), "half-naive": lambda: half_naive(x, weight)}
        if number == WARM_UP:  # once: it takes long, and its time is steady
            calls["naive"] = lambda: numpy_nn.conv2d_naive(x, weight, padding=1)
        return calls

    return medians(make, rounds)


def measure(quick: bool, threads: int) -> dict[str, Any]:
    """Everything, each table printed as it comes."""
    rounds, few = (3, 1) if quick else (ROUNDS, 5)
    peers = numpy_peers.installed()
    result: dict[str, Any] = {"environment": _environment(peers)}
    print(describe(result["environment"]))
    with threadpool_limits(threads, user_api="blas"):
        cases = CASES[-2:] if quick else CASES
        result["convolution"] = [{"case": case, "seconds": convolution(case, rounds)} for case in cases]
        _show("convolution", result)
        result["layers"] = {name: elementwise(name, rounds) for name in LAYERS}
        _show("layers", result)
        result["loops"] = loops(few)
        _show("loops", result)
        result["tricks"] = numpy_tricks.measure(rounds)
        _show("tricks", result)
        shapes = PEER_SHAPES[-1:] if quick else PEER_SHAPES
        result["peers"] = [
            {"case": shape, "seconds": numpy_peers.compare(shape, list(peers), BATCH, few)} for shape in shapes
        ]
        _show("peers", result)
        result["matrix_product"] = numpy_growth.matrix_product(few)
        stop = 3 if quick else None
        result["growth"] = numpy_growth.measure(numpy_growth.SIZES[:stop], numpy_growth.CHANNELS[:stop], rounds)
    return result


def main() -> None:
    """Measure, write the file, draw the chart."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few shapes and rounds; results go to build/benchmarks")
    parser.add_argument("--as-it-is", action="store_true", help="keep what steers BLAS; also to build/benchmarks")
    parser.add_argument("--threads", type=int, default=2, help="of NumPy and of PyTorch (default: 2)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    result = measure(options.quick, options.threads)
    aside = options.quick or options.as_it_is
    folders = (ROOT / "build/benchmarks",) * 2 if aside else (ROOT / "benchmarks/results", ROOT / "docs/images")
    contents = (json.dumps(result, indent=2) + "\n").encode(), chart(result)
    for folder, name, content in zip(folders, ("numpy_nn.json", "numpy_nn.png"), contents, strict=True):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        print(f"wrote {(folder / name).relative_to(ROOT)}")


def _environment(peers: dict[str, str]) -> dict[str, Any]:
    """What convscope says of any run, the matrix library that NumPy has here, and the variables that steer it."""
    blas = [
        {key: library.get(key) for key in ("internal_api", "version", "architecture", "threading_layer")}
        for library in threadpool_info()
        if library["user_api"] == "blas"
    ]
    # one such as OPENBLAS_CORETYPE can halve NumPy's speed, so the result has to say
    variables = {name: value for name, value in os.environ.items() if name.startswith(STEERING)}
    command = command_line(["python", "benchmarks/bench_numpy_nn.py", *sys.argv[1:]])
    found = {"batch": BATCH, "blas": blas, "variables": variables, "peers": peers, "command": command}
    return describe_environment("cpu") | found


def _show(name: str, result: dict[str, Any]) -> None:
    print(f"\n{plain_text(TABLES[name](result))}", flush=True)


if __name__ == "__main__":
    main()
