"""Trains small networks with and without a mark that gives the label away, and counts how often it is found.

`python benchmarks/bench_shortcut.py` trains each kind of `marks.MARKED` and `marks.CLEAN` with five seeds, looks for
the mark by heatmaps and masks alone, and writes benchmarks/results/shortcut.json. `--seeds 100 101 --methods hires-cam
saliency` is how the thresholds of `convscope.explain.shortcut` were set: other seeds, several methods side by side.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))  # this checkout, not another that is installed

import numpy as np

from benchmarks.marks import CLEAN, MARKED, train_on
from benchmarks.numpy_tables import plain_text
from convscope.config import load_config
from convscope.data import load
from convscope.evaluate import evaluate
from convscope.explain.shortcut import CLASS_THRESHOLD, THRESHOLD
from convscope.planted import METHOD, check_shortcut
from convscope.runs.artifacts import write_json
from convscope.runs.environment import command_line, describe_environment

RESULTS = Path(__file__).parent / "results" / "shortcut.json"
SETTINGS = ["train.epochs=8", "train.batch_size=32", "model.base_channels=8"]
SHARE = 0.95
Row = dict[str, Any]


def measure(kind: str, seed: int, n: int, size: int, settings: list[str], methods: list[str]) -> list[Row]:
    """Train one network and look for a mark, by each method: a row a method."""
    change = (MARKED | CLEAN)[kind]
    scenes, test = load("shapes", n=n, seed=seed, size=size)
    training = change(scenes, SHARE, seed)
    config = load_config("shapes", [*settings, f"train.seed={seed}"])
    started = time.perf_counter()
    run = train_on(training, config, untrained=kind.endswith("untrained"))
    seconds = time.perf_counter() - started
    marked = (training.images != scenes.images).any(axis=(0, 1)) if kind in MARKED else None  # (H, W)
    same = {
        "kind": kind,
        "seed": seed,
        "seconds": seconds,
        "clean_accuracy": evaluate(run, test).accuracy,
        "marked_accuracy": evaluate(run, change(test, 1.0, seed)).accuracy,
    }
    rows = []
    for method in methods:
        started = time.perf_counter()
        check = check_shortcut(run, training, method)
        taken = time.perf_counter() - started
        found = check.shortcut
        top, left, height, width = (found.place if found else check.search.overall).box
        there = marked is not None and bool(marked[top : top + height, left : left + width].any())
        by_class = max((place.strength for place in check.search.by_class.values()), default=0.0)
        rows.append(
            same
            | {"method": method, "check_seconds": taken, "strength": check.search.overall.strength}
            | {"by_class": by_class, "alarm": found is not None, "right_place": there, "sentence": check.sentence}
        )
    return rows


def table(rows: list[Row]) -> list[list[str]]:
    """A row a kind and method: how often an alarm, and how far the strengths are from the thresholds."""
    header = ["pictures", "method", "alarms", "in the right place", "strength", "strongest class", "clean", "marked"]
    cells = []
    for kind, method in dict.fromkeys((row["kind"], row["method"]) for row in rows):
        of = [row for row in rows if (row["kind"], row["method"]) == (kind, method)]
        alarms = [row for row in of if row["alarm"]]
        place = f"{sum(row['right_place'] for row in alarms)}" if kind in MARKED else "–"
        spans = [_span(of, name) for name in ("strength", "by_class")]
        means = [f"{100 * np.mean([row[name] for row in of]):.0f} %" for name in ("clean_accuracy", "marked_accuracy")]
        cells.append([kind, method, f"{len(alarms)} of {len(of)}", place, *spans, means[0]])
        cells[-1].append(means[1] if kind in MARKED else "–")
    return [header, *cells]


def main(arguments: list[str]) -> None:
    """Measure, print each network as it is done, write the file, print the table."""
    options = _parser().parse_args(arguments)
    settings = [*SETTINGS, *options.set]
    rows: list[Row] = []
    for seed in options.seeds:
        for kind in options.kinds or [*MARKED, *CLEAN]:
            new = measure(kind, seed, options.n, options.size, settings, options.methods)
            rows += new
            for row in new:
                print(
                    f"{kind}, seed {seed}, {row['method']}: {row['strength']:.3f} {row['by_class']:.3f} "
                    f"{'alarm' if row['alarm'] else 'silent'}{' in the right place' * row['right_place']}; clean "
                    f"{row['clean_accuracy']:.0%} marked {row['marked_accuracy']:.0%}; {row['seconds']:.0f} s",
                    flush=True,
                )
    command = command_line(["python", "benchmarks/bench_shortcut.py", *arguments])
    about = {"share": SHARE, "n": options.n, "size": options.size, "settings": settings, "seeds": options.seeds}
    about |= {"threshold": THRESHOLD, "class_threshold": CLASS_THRESHOLD}
    write_json(options.out, {"environment": describe_environment("cpu") | {"command": command}, **about, "rows": rows})
    print(f"\n{plain_text(table(rows))}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="default: 0 1 2 3 4")
    parser.add_argument("--kinds", nargs="+", metavar="KIND", help="only these")
    parser.add_argument("--methods", nargs="+", default=[METHOD], help=f"default: {METHOD}")
    parser.add_argument("--n", type=int, default=1500, help="training pictures (default: 1500)")
    parser.add_argument("--size", type=int, default=24, help="pixels a side (default: 24)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file to write (default: in results)")
    return parser


def _span(rows: list[Row], name: str) -> str:
    """The smallest and the largest value."""
    values = [row[name] for row in rows]
    return f"{min(values):.3f} to {max(values):.3f}"


if __name__ == "__main__":
    main(sys.argv[1:])
