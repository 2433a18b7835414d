"""The result of bench_training.py in, its tables out: the ones that it prints and the ones of docs/results.md."""

from collections.abc import Callable
from typing import Any

from benchmarks.numpy_tables import Rows
from benchmarks.numpy_tables import threads as number_of_threads

OVER_BOUND, SHARE, TIMES, ONE_BY_ONE = 1.25, 0.03, 3, 20  # the goals: at most, at most, at least, at least


def rates(result: dict[str, Any]) -> Rows:
    """What the machine computed in this hour."""
    sizes = result["sizes"]
    convolution = "{channels} → {kernels}, {size}², 3×3, {batch} pictures".format(**sizes)
    about = {"matrix product": f"{sizes['matrix']}³"}
    rows = [
        [f"{name}, {about.get(name, convolution)}", f"{of['bfloat16']:,.0f}", f"{of['float32']:,.0f}"]
        for name, of in result["gigaflops"].items()
    ]
    return [["rate of the machine (GFLOP/s)", "bfloat16", "float32"], *rows]


def steps(result: dict[str, Any]) -> Rows:
    """A row a size of picture: the bound, the step on a ready batch, with making the batch, and the ratios."""
    header = ["step", "bound (ms)", "step (ms)", f"step ÷ bound (goal {OVER_BOUND})"]
    header += ["its batch (ms)", f"share of the batch (goal {100 * SHARE:.0f} %)", "pictures/s"]
    rows = []
    for stage in result["stages"]:
        times = [f"{1e3 * stage[name]:.1f}" for name in ("bound", "step", "making")]
        rate = stage["batch"][0] / (stage["step"] + stage["making"])
        share = f"{100 * stage['share']:.1f} %"
        rows.append([stage["stage"], *times[:2], f"{stage['over_bound']:.2f}", times[2], share, f"{rate:,.0f}"])
    return [header, *rows]


def layers(result: dict[str, Any]) -> Rows:
    """A row a convolution of each size of picture: how long it takes alone in each way, and the rate of the fastest."""
    ways = list(result["stages"][0]["layers"][0]["seconds"])
    rows = []
    for stage in result["stages"]:
        for layer in stage["layers"]:
            times = layer["seconds"]
            rate = layer["operations"] / min(times.values()) / 1e9
            cells = [f"{1e3 * times[way]:.2f}" for way in ways]
            rows.append([_layer(layer), str(layer["count"]), *cells, f"{rate:,.0f}"])
    return [["convolution alone, forward and backward", "times", *(f"{way} (ms)" for way in ways), "GFLOP/s"], *rows]


def loops(result: dict[str, Any]) -> Rows:
    """Images a second of `fit` and of the plain loops, and how many times theirs ours is."""
    rates = result["loops"]["images_per_second"]
    ours = next(iter(rates.values()))
    rows = [[name, f"{rate:,.0f}", f"{ours / rate:.2f}"] for name, rate in rates.items()]
    return [["training, full size", "pictures/s", f"convscope is so many times as fast (goal {TIMES})"], *rows]


def augmentation(result: dict[str, Any]) -> Rows:
    """Microseconds a picture, and how many times ours."""
    each, ratio = result["augmentation"]["microseconds"], result["augmentation"]["ratio"]
    rows = [[name, f"{taken:.2f}", f"{ratio[name]:.1f}"] for name, taken in each.items()]
    return [["augmentation", "a picture (µs)", f"times that of whole batches (goal {ONE_BY_ONE})"], *rows]


TABLES: dict[str, Callable[[dict[str, Any]], Rows]] = {
    "rates": rates,
    "steps": steps,
    "layers": layers,
    "loops": loops,
    "augmentation": augmentation,
}


def describe(environment: dict[str, Any]) -> str:
    """What was measured, on what, in two sentences."""
    packages = environment["packages"]
    changes = "".join(f" {change}" for change in environment["overrides"])
    variables = " ".join(f"{name}={value}" for name, value in environment["variables"].items())
    return (
        f"{environment['recipe']}{changes} on {environment['processor']}, {environment['cores']} cores, "
        f"{environment['platform']}; Python {environment['python']}, PyTorch {packages['torch']}, "
        f"{number_of_threads(environment)}; steps in {environment['arithmetic']}. "
        f"Environment: {variables or 'nothing set'}."
    )


def _layer(layer: dict[str, Any]) -> str:
    (batch, _, height, width), (kernels, channels, tall, wide) = layer["input"], layer["weight"]
    owed = " and ".join(name for name in ("input", "weight") if name in layer["gradients"])
    size, kernel, stride = f"{height}×{width}", f"{tall}×{wide}", layer["settings"][0]
    stride = "" if stride in (1, (1, 1), [1, 1]) else f", stride {stride if isinstance(stride, int) else stride[0]}"
    backward = f"gradients of {owed}" if owed else "forward only"
    return f"{batch}: {channels} → {kernels}, {size}, {kernel}{stride}, {backward}"
