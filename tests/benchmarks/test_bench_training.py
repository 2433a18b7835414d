"""The command that measures training: run for real, at small sizes."""

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.surroundings import STEERING

ROOT = Path(__file__).parents[2]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "benchmarks/bench_training.py", *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith((*STEERING, "MALLOC_"))}
    environment |= {"OPENBLAS_CORETYPE": "Haswell", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)


def test_a_small_run_prints_its_tables_and_writes_what_it_measured(tmp_path: Path):
    changes = ["--set", "model.base_channels=4", "--set", "train.batch_size=300", "--set", "train.precision=auto"]
    done = run("--recipe", "digits", "--quick", *changes, "--out", tmp_path / "new" / "training.json")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "new" / "training.json").read_text(encoding="utf-8"))
    environment = result["environment"]
    assert (environment["recipe"], environment["threads"]) == ("digits", 1)
    assert environment["overrides"] == ["model.base_channels=4", "train.batch_size=300", "train.precision=auto"]
    assert environment["variables"] == {"OMP_NUM_THREADS": "1", "OPENBLAS_CORETYPE": "Haswell"}  # as it was given
    assert environment["command"].startswith("python benchmarks/bench_training.py --recipe digits --quick --set ")
    (stage,) = result["stages"]
    assert stage["over_bound"] == stage["step"] / stage["bound"]
    assert set(stage["layers"][0]["seconds"]) == {"float32, channels first", "bfloat16, channels first"}
    for line in ("matrix product, 256³", "300 pictures of 8×8", "plain loop, 2 workers", "ready, whole batches"):
        assert f"\n{line}" in done.stdout


def test_memory_is_kept_on_request_and_a_wrong_recipe_is_one_line():
    kept = run("--recipe", "none", "--keep-memory")
    assert kept.returncode == 1
    assert kept.stdout.startswith("without OPENBLAS_CORETYPE=Haswell")  # surroundings.py says so, and sets the rest
    assert kept.stderr.startswith("error: no recipe 'none' (")
    assert kept.stderr.count("\n") == 1
