"""A measuring program starts itself again in the right environment, once; real processes."""

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.surroundings import STEERING

ROOT = Path(__file__).parents[2]
PROGRAM = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from benchmarks.surroundings import measure_in_clean_surroundings
measure_in_clean_surroundings()
names = "OPENBLAS_CORETYPE", "MKL_CBWR", "OMP_PROC_BIND", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"
print(*map(os.environ.get, names), os.environ["MALLOC_TRIM_THRESHOLD_"], *sys.argv[1:])
sys.exit(3)
"""

SET = {
    "OPENBLAS_CORETYPE": "Haswell",
    "MKL_CBWR": "AVX2",
    "OMP_PROC_BIND": "true",
    "OMP_NUM_THREADS": "2",
    "OPENBLAS_NUM_THREADS": "1",
}


def output(tmp_path, *arguments):
    (tmp_path / "program.py").write_text(PROGRAM)
    script = [sys.executable, str(tmp_path / "program.py"), *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(STEERING)} | SET
    done = subprocess.run(script, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 3
    return done.stdout.splitlines()


def test_what_steers_the_kernels_is_named_and_left_out_but_for_threads(tmp_path):
    said, seen = output(tmp_path, "--quick")
    assert said.startswith("without MKL_CBWR=AVX2 OMP_PROC_BIND=true OPENBLAS_CORETYPE=Haswell, ")
    assert seen == "None None None 2 1 17179869184 --quick"


def test_as_it_is(tmp_path):
    assert output(tmp_path, "--as-it-is") == ["Haswell AVX2 true 2 1 17179869184 --as-it-is"]
