"""Times a recipe's training: its steps over what their convolutions need, beside a plain loop, and its augmentation.

`python benchmarks/bench_training.py` prints the tables and writes benchmarks/results/training.json; `--quick` measures
little, to try it, and leaves the file in build/benchmarks. It runs in the environment as it is given; `--keep-memory`
runs it in that of bench_numpy_nn.py, where memory that is freed stays with the program.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))  # this checkout, not another that is installed

from benchmarks.surroundings import STEERING, measure_in_clean_surroundings

if __name__ == "__main__" and "--keep-memory" in sys.argv:
    measure_in_clean_surroundings()

from benchmarks import machine_rates, side_by_side, step_bound
from benchmarks.machine_rates import Sizes
from benchmarks.numpy_tables import plain_text
from benchmarks.timing import races
from benchmarks.training_tables import TABLES, describe
from convscope.config import load_config
from convscope.errors import ConvscopeError
from convscope.runs.environment import command_line, describe_environment
from convscope.training.allocator import memory_kept
from convscope.training.job import Job, prepare

ROOT = Path(__file__).parent.parent
RECIPE = "cifar10-94"
MARGIN = 1.5  # a precision or layout that is so much slower for a convolution is timed once only


def measure(job: Job, sizes: Sizes, rounds: int, environment: dict[str, Any]) -> dict[str, Any]:
    """Everything, each table printed as it comes: rates and steps in turns, loops in turns, then augmentation."""
    result: dict[str, Any] = {"environment": environment, "sizes": asdict(sizes)}
    print(describe(environment), flush=True)
    stages = step_bound.stages(job)
    contests = machine_rates.contests(sizes) | step_bound.contests(job, stages)
    seconds = races(contests, rounds, MARGIN)
    result["gigaflops"] = machine_rates.gigaflops(sizes, seconds)
    result["stages"] = step_bound.results(job, stages, seconds)
    for name in ("rates", "steps", "layers"):
        _show(name, result)
    full = step_bound.full_size(stages)
    extra = step_bound.setting_up(job, full, seconds)
    result["loops"] = side_by_side.loops(job, full, extra, steps=2, rounds=rounds)
    _show("loops", result)
    result["augmentation"] = side_by_side.augmentation(job, full, rounds)
    _show("augmentation", result)
    return result


def main() -> None:
    """Measure and write the file."""
    options = _parser().parse_args()
    try:
        config = load_config(options.recipe, ["train.engine=torch", "train.device=cpu", *options.set])
        with memory_kept(config.train.keep_memory):  # as `train` does; the plain loop gains by it too
            job = prepare(config, options.data_dir)
            with job.state.arithmetic.on_threads():
                environment = _environment(job, options.set)
                sizes = Sizes(matrix=256, batch=4) if options.quick else Sizes()
                result = measure(job, sizes, 1 if options.quick else options.rounds, environment)
    except ConvscopeError as error:
        sys.exit(f"error: {error}")
    folder = ROOT / ("build/benchmarks" if options.quick else "benchmarks/results")
    file = options.out or folder / "training.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"wrote {file}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--recipe", default=RECIPE, help=f"whose training (default: {RECIPE})")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one of its settings")
    parser.add_argument("--data-dir", type=Path, help="where the data set lies")
    parser.add_argument("--quick", action="store_true", help="small machine rates, one round; to build/benchmarks")
    parser.add_argument("--rounds", type=int, default=5, help="whose medians are taken (default: 5)")
    parser.add_argument("--keep-memory", action="store_true", help="clean surroundings, where freed memory stays")
    parser.add_argument("--out", type=Path, help="the file to write")
    return parser


def _environment(job: Job, overrides: list[str]) -> dict[str, Any]:
    """What convscope says of any run, what was trained and how, and the variables that steer memory and matrices."""
    steering = (*STEERING, "MALLOC_")
    return describe_environment("cpu") | {
        "recipe": job.config.recipe,
        "overrides": overrides,
        "arithmetic": str(job.state.arithmetic),
        "variables": {name: value for name, value in sorted(os.environ.items()) if name.startswith(steering)},
        "command": command_line(["python", "benchmarks/bench_training.py", *sys.argv[1:]]),
    }


def _show(name: str, result: dict[str, Any]) -> None:
    print(f"\n{plain_text(TABLES[name](result))}", flush=True)


if __name__ == "__main__":
    main()
