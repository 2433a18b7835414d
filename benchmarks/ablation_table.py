"""The rows that bench_ablation.py has written in, its table out: printed, and in docs/results.md."""

import statistics
from typing import Any

from benchmarks.numpy_tables import Rows

SAME = ("recipe", "changes", "split", "code", "machine")  # rows of one table agree in these with the row that came last


def table(rows: list[dict[str, Any]]) -> Rows:
    """A row an idea: accuracy, seconds and pictures a second as means over its seeds, and the change on the same seeds.

    Rows of other code, settings or machines than the newest row's are left out.
    """
    header = ["", "settings", "accuracy", "each seed", "beside the recipe (points)", "seconds", "pictures/s"]
    ideas: dict[str, list[dict[str, Any]]] = {}
    for row in comparable(rows):
        ideas.setdefault(row["idea"], []).append(row)
    whole = {row["seed"]: row["accuracy"] for of in ideas.values() for row in of if not row["overrides"]}
    cells = []
    for idea, of in sorted(ideas.items(), key=lambda item: item[1][0]["place"]):
        accuracy = _mean(of, "accuracy")
        each = ", ".join(f"{100 * row['accuracy']:.2f}" for row in sorted(of, key=lambda row: row["seed"]))
        beside = [row["accuracy"] - whole[row["seed"]] for row in of if row["seed"] in whole and row["overrides"]]
        change = f"{100 * statistics.fmean(beside):+.2f}" if beside else "–"
        settings = " ".join(f"`{override}`" for override in of[0]["overrides"]) or "–"
        speed = [f"{_mean(of, name):,.0f}" for name in ("seconds", "images_per_second")]
        cells.append([idea, settings, f"{100 * accuracy:.2f} %", each, change, *speed])
    return [header, *cells]


def comparable(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that agree in `SAME` with the newest."""
    return [row for row in rows if all(row[key] == rows[-1][key] for key in SAME)]


def describe(rows: list[dict[str, Any]]) -> str:
    """What the table shows, on what it was measured, and how many rows it leaves out."""
    newest, left = rows[-1], len(rows) - len(comparable(rows))
    changes = "".join(f" {change}" for change in newest["changes"])
    older = f" {left} older rows, of other code, settings or machines, are left out." if left else ""
    return f"{newest['recipe']}{changes}, {newest['split']}, after the last epoch; {newest['machine']}.{older}"


def _mean(rows: list[dict[str, Any]], name: str) -> float:
    return statistics.fmean(row[name] for row in rows)
