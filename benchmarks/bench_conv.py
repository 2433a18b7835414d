"""Times one convolution forward: plain Python loops, im2col in NumPy, PyTorch; ratios measured side by side in one run.

Run `python benchmarks/bench_conv.py`; it prints a table and writes benchmarks/results/conv.json. The rounds interleave
the three, each on fresh input, and the medians are compared, because the machine may be doing other things as well.
"""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from convscope import numpy_nn
from convscope.runs.environment import describe_environment

RESULT = Path(__file__).parent / "results" / "conv.json"
THREADS = 2
CASES = [  # batch, channels in, size, channels out, kernel size; the naive loops run on the first alone
    (1, 3, 16, 8, 3),
    (16, 3, 32, 64, 3),
    (16, 64, 16, 64, 3),
    (16, 128, 8, 128, 3),
]


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """What one call gives, and how many seconds it takes."""
    started = time.perf_counter()
    result = function()
    return result, time.perf_counter() - started


def measure(case: tuple[int, int, int, int, int], rounds: int, naive: bool) -> dict[str, float]:
    """The median time in seconds of each implementation, after checking that they agree."""
    batch, channels, size, kernels, kernel_size = case
    rng = np.random.default_rng(0)
    layer = numpy_nn.Conv2D(channels, kernels, kernel_size, padding=1, rng=rng)
    weight = layer.params["weight"].astype(np.float32)
    layer.params["weight"], layer.params["bias"] = weight, np.zeros(kernels, np.float32)
    times: dict[str, list[float]] = {"torch": [], "im2col": []} | ({"naive": []} if naive else {})
    for _ in range(rounds):
        x = rng.standard_normal((batch, channels, size, size), dtype=np.float32)
        calls: dict[str, Callable[[], Any]] = {
            "torch": lambda x=x: F.conv2d(torch.from_numpy(x), torch.from_numpy(weight), padding=1).numpy(),
            "im2col": lambda x=x: layer(x),
            "naive": lambda x=x: numpy_nn.conv2d_naive(x, weight, padding=1),
        }
        outputs = []
        for name, taken in times.items():
            output, duration = timed(calls[name])
            outputs.append(output)
            taken.append(duration)
        for output in outputs[1:]:
            np.testing.assert_allclose(output, outputs[0], rtol=1e-3, atol=1e-4)
    return {name: statistics.median(taken[1:]) for name, taken in times.items()}  # the first round warms up


def main() -> None:
    """Measure every case, print the table, write the file."""
    torch.set_num_threads(THREADS)
    rows = []
    print("batch×C×H×W -> kernels        torch    im2col     naive   im2col/torch  naive/im2col")
    for case in CASES:
        naive = case is CASES[0]
        times = measure(case, rounds=4 if naive else 12, naive=naive)
        batch, channels, size, kernels, k = case
        rows.append({"case": case, "seconds": times})
        slow = f"{times['naive'] * 1e3:7.0f} ms" if naive else "         –"
        factor = f"{times['naive'] / times['im2col']:12.0f}" if naive else "           –"
        print(
            f"{batch:>3}×{channels:<3}×{size:>2}×{size:<2} -> {kernels:>3} of {k}×{k}  {times['torch'] * 1e3:6.2f} ms "
            f"{times['im2col'] * 1e3:6.2f} ms {slow}  {times['im2col'] / times['torch']:12.1f}  {factor}"
        )
    RESULT.parent.mkdir(exist_ok=True)
    environment = describe_environment("cpu") | {"command": "python benchmarks/bench_conv.py"}
    RESULT.write_text(json.dumps({"environment": environment, "float": "float32", "cases": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
