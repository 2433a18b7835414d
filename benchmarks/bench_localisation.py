"""Holds every explanation method against the masks of the objects, on a network trained on `shapes`.

`python benchmarks/bench_localisation.py` trains the recipe as it is, or takes the finished run that `--run` names, and
writes benchmarks/results/localisation.json: pointing game and energy inside the mask over the clean test set.
"""

import argparse
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))  # this checkout, not another that is installed

from benchmarks.numpy_tables import plain_text
from convscope.data import load_configured
from convscope.planted import check_localisation
from convscope.registry import METHODS
from convscope.runs import Run, load_run
from convscope.runs.artifacts import write_json
from convscope.runs.environment import command_line, describe_environment
from convscope.train import train

RESULTS = Path(__file__).parent / "results" / "localisation.json"


def measure(run: Run, pictures: int) -> dict[str, Any]:
    """Every method and control over so many test pictures, balanced over the classes, and each method's seconds."""
    _, test = load_configured(run.config.data)
    test = test.subset(pictures, seed=0) if pictures < len(test) else test
    marks: list[tuple[str, float]] = []

    def note(name: str) -> None:
        marks.append((name, time.perf_counter()))
        print(name, flush=True)

    found = check_localisation(run, test, METHODS, note)
    marks.append(("controls", time.perf_counter()))
    seconds = {name: after - before for (name, before), (_, after) in pairwise(marks)}
    return {"test_accuracy": run.results["test_accuracy"], "seconds": seconds, **found.as_dict()}


def table(result: dict[str, Any]) -> list[list[str]]:
    """A row a method, then a row a control; means with their 95 % intervals, in %."""
    rows = [["", "pointing game (%)", "energy inside (%)", "empty maps", "seconds"]]
    for row in [*result["methods"], *result["controls"]]:
        if row["refused"]:
            rows.append([row["name"], row["refused"], "", "", ""])
            continue
        taken = result["seconds"].get(row["name"])
        cells = [_interval(row["pointing"]), _interval(row["energy"]), f"{row['empty']:.1%}"]
        rows.append([row["name"], *cells, "" if taken is None else f"{taken:.1f}"])
    return [*rows, ["chance: the mask's share", *[_interval(result["chance"])] * 2, "", ""]]


def main(arguments: list[str]) -> None:
    """Train where no run is given, measure, write the file, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", type=Path, help="a finished run on shapes (default: train one)")
    parser.add_argument("--pictures", type=int, default=1000, help="of the test set (default: 1000)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file to write (default: in results)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        run = load_run(options.run) if options.run else train("shapes", out=Path(temporary) / "run", progress=True)
        result = measure(run, options.pictures)
    command = command_line(["python", "benchmarks/bench_localisation.py", *arguments])
    write_json(options.out, {"environment": describe_environment("cpu") | {"command": command}, **result})
    print(f"\n{plain_text(table(result))}")


def _interval(value: dict[str, float]) -> str:
    mean, low, high = (100 * value[name] for name in ("mean", "low", "high"))
    return f"{mean:.1f} ({low:.1f} to {high:.1f})"


if __name__ == "__main__":
    main(sys.argv[1:])
