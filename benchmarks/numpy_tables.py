"""The result of bench_numpy_nn.py in, its tables out: the ones that it prints and the ones of docs/numpy_nn.md."""

import math
import statistics
from collections.abc import Callable
from typing import Any

Rows = list[list[str]]  # the first is the header

NAMES = {"forward": "forward", "train": "forward and backward"}


def geometric_mean(ratios: list[float]) -> float:
    """The mean of ratios: twice as fast and half as fast are even."""
    return math.exp(statistics.fmean(map(math.log, ratios)))


def ratios(rows: list[dict[str, Any]], way: str) -> list[float]:
    """Ours over PyTorch's, of each row's `seconds`."""
    return [row["seconds"][way] / row["seconds"][f"torch {way}"] for row in rows]


def convolutions(result: dict[str, Any]) -> Rows:
    """Milliseconds of each convolution beside PyTorch's, forward and backward, and what the ratios come to."""
    rows = [_beside_torch(_case(*row["case"]), row["seconds"]) for row in result["convolution"]]
    means = [ratios(result["convolution"], way) for way in ("forward", "backward")]
    summary = [["geometric mean", geometric_mean], ["largest", max]]
    for name, of in summary:
        rows.append([name, "", "", f"{of(means[0]):.2f}", "", "", f"{of(means[1]):.2f}"])
    return [_beside_torch_header("convolution"), *rows]


def layers(result: dict[str, Any]) -> Rows:
    """The same of the other layers."""
    rows = [_beside_torch(name, seconds) for name, seconds in result["layers"].items()]
    return [_beside_torch_header("layer"), *rows]


def peers(result: dict[str, Any]) -> Rows:
    """Milliseconds of the other packages, and how many times ours."""
    header = ["convolution", "package", *(cell for name in NAMES.values() for cell in (f"{name} (ms)", "times ours"))]
    rows = []
    for row in result["peers"]:
        times = row["seconds"]
        for name, taken in sorted(times.items(), key=lambda item: item[1]["forward"]):
            cells = [
                cell for way in NAMES for cell in (f"{1e3 * taken[way]:.1f}", f"{taken[way] / times['ours'][way]:.1f}")
            ]
            version = result["environment"]["peers"].get(name)
            rows.append([_case(*row["case"]), f"{name} {version}" if version else "numpy_nn", *cells])
    return [header, *rows]


def loops(result: dict[str, Any]) -> Rows:
    """How many times longer the loops take."""
    seconds = result["loops"]
    about = {
        "half-naive": "four Python loops around a NumPy product",
        "naive": "`conv2d_naive`, one multiply-add at a time",
    }
    rows = [
        [what, f"{1e3 * seconds[name]:,.0f}", f"{seconds[name] / seconds['ours']:,.0f}"] for name, what in about.items()
    ]
    return [["loops", "forward (ms)", "times ours"], ["numpy_nn", f"{1e3 * seconds['ours']:,.2f}", "1"], *rows]


def tricks(result: dict[str, Any]) -> Rows:
    """How many times longer one pass takes without each trick of `fast.py`."""
    rows = [
        [name, f"{1e3 * seconds['with']:.2f}", f"{1e3 * seconds['without']:.2f}", f"{_gain(seconds):.2f}"]
        for name, seconds in result["tricks"].items()
    ]
    return [["trick", "with it (ms)", "without (ms)", "gain"], *rows]


def _gain(seconds: dict[str, float]) -> float:
    return seconds["without"] / seconds["with"]


TABLES: dict[str, Callable[[dict[str, Any]], Rows]] = {
    "convolution": convolutions,
    "layers": layers,
    "loops": loops,
    "tricks": tricks,
    "peers": peers,
}


def describe(environment: dict[str, Any]) -> str:
    """On what it was measured, in three sentences."""
    packages = environment["packages"]
    blas = ", ".join(f"{of['internal_api']} {of['version']} ({of['architecture']})" for of in environment["blas"])
    variables = " ".join(f"{name}={value}" for name, value in environment["variables"].items())
    return (
        f"{environment['processor']}, {environment['cores']} cores, {environment['platform']}; Python "
        f"{environment['python']}, PyTorch {packages['torch']}, NumPy {packages['numpy']} with {blas}. "
        f"Batches of {environment['batch']}, float32, {threads(environment)}. "
        f"Environment: {variables or 'no variable of theirs set'}."
    )


def threads(environment: dict[str, Any]) -> str:
    """How many, in words."""
    return "1 thread" if environment["threads"] == 1 else f"{environment['threads']} threads"


def plain_text(rows: Rows) -> str:
    """A table for a terminal: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _case(channels: int, kernels: int, size: int, kernel: int = 3, stride: int = 1) -> str:
    return f"{channels} → {kernels}, {size}², {kernel}×{kernel}" + (f", stride {stride}" if stride > 1 else "")


def _beside_torch_header(what: str) -> list[str]:
    return [what, *(cell for way in ("forward", "backward") for cell in (f"{way} (ms)", "torch (ms)", "ratio"))]


def _beside_torch(name: str, seconds: dict[str, float]) -> list[str]:
    cells = [name]
    for way in ("forward", "backward"):
        ours, theirs = seconds[way], seconds[f"torch {way}"]
        cells += [f"{1e3 * ours:.2f}", f"{1e3 * theirs:.2f}", f"{ours / theirs:.2f}"]
    return cells
