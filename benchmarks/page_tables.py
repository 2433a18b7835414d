"""The result of bench_page.py in, its table out: the one that it prints and the one of docs/results.md."""

from collections.abc import Callable
from typing import Any

from benchmarks.numpy_tables import Rows, threads

PAINT, CLICK = 1000, 150  # goals, in milliseconds


def page(result: dict[str, Any]) -> Rows:
    """A row for the first paint, one a level, and one for the arrow keys: median and slowest."""
    rows = [_row("first paint, nothing cached", result["first_paint"], PAINT)]
    rows += [_row(f"to the level {name}", of, CLICK) for name, of in result["clicks"].items()]
    rows.append(_row("an arrow key, one of 128 maps of 64×64", result["moves"], None))
    return [["the page", "median (ms)", "slowest (ms)", "goal (ms)"], *rows]


def _row(name: str, of: dict[str, float], goal: int | None) -> list[str]:
    return [name, f"{of['median']:.0f}", f"{of['slowest']:.0f}", "–" if goal is None else f"{goal}"]


TABLES: dict[str, Callable[[dict[str, Any]], Rows]] = {"page": page}


def describe(environment: dict[str, Any]) -> str:
    """On what it was measured, in a sentence."""
    return (
        f"{environment['processor']}, {environment['cores']} cores for server and browser, {environment['platform']}; "
        f"Python {environment['python']}, PyTorch {environment['packages']['torch']}, {threads(environment)}, "
        f"{environment['browser']}."
    )
