"""The result of bench_explain.py in, its tables out: the ones that it prints and the ones of docs/results.md."""

from collections.abc import Callable
from typing import Any

from benchmarks.cam_peers import BARE, OURS
from benchmarks.numpy_tables import Rows, threads

GOALS = {1: 1.3, 64: 1.1}  # over the one by hand, for so many pictures


def grad_cam(result: dict[str, Any]) -> Rows:
    """A row a network and number of pictures: milliseconds of each, ours over the others', the difference of maps."""
    peers = list(result["environment"]["peers"])
    header = ["Grad-CAM", *(f"{name} (ms)" for name in (OURS, BARE, *peers)), "convscope ÷ by hand (goal)"]
    header += ["convscope ÷ the faster package (goal 1)"] if peers else []
    header += [f"maps' difference from {name}" for name in peers]
    rows = []
    for of in result["grad_cam"]:
        pictures = "1 picture" if of["pictures"] == 1 else f"{of['pictures']} pictures"
        cells = [f"{1e3 * of['seconds'][name]:.2f}" for name in (OURS, BARE, *peers)]
        cells.append(f"{of['ratio'][BARE]:.2f} ({GOALS[of['pictures']]})")
        cells += [f"{max(of['ratio'][name] for name in peers):.2f}"] if peers else []
        cells += [f"{of['difference'][name]:.1e}" for name in peers]
        rows.append([f"{of['network']}, {pictures}", *cells])
    return [header, *rows]


def memory(result: dict[str, Any]) -> Rows:
    """A row a method: what it takes beyond one forward pass of one picture, for more and more pictures."""
    counts = list(next(iter(result["memory"].values())))
    rows = [[f"`{name}`", *(f"{of[count]:.0f}" for count in counts)] for name, of in result["memory"].items()]
    return [["memory beyond one pass (MiB)", *(f"{count} picture{'s' * (int(count) > 1)}" for count in counts)], *rows]


TABLES: dict[str, Callable[[dict[str, Any]], Rows]] = {"grad_cam": grad_cam, "memory": memory}


def describe(environment: dict[str, Any]) -> str:
    """On what it was measured, in two sentences."""
    packages = environment["packages"]
    peers = ", ".join(f"{name} {number}" for name, number in environment["peers"].items())
    return (
        f"{environment['processor']}, {environment['cores']} cores, {environment['platform']}; Python "
        f"{environment['python']}, PyTorch {packages['torch']}, {threads(environment)}. "
        f"Beside {peers or 'no other package, for none is installed'}; pictures of 32×32, float32."
    )
