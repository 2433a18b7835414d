"""A measuring program starts itself again in the right environment, once; real processes."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from benchmarks.surroundings import measure_in_clean_surroundings
measure_in_clean_surroundings()
print(os.environ.get("OPENBLAS_CORETYPE"), os.environ["MALLOC_TRIM_THRESHOLD_"], *sys.argv[1:])
sys.exit(3)
"""


def output(tmp_path, *arguments):
    (tmp_path / "program.py").write_text(PROGRAM)
    script = [sys.executable, str(tmp_path / "program.py"), *arguments]
    environment = os.environ | {"OPENBLAS_CORETYPE": "Haswell"}
    done = subprocess.run(script, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 3
    return done.stdout.splitlines()


def test_what_holds_the_kernels_back_is_named_and_left_out(tmp_path):
    said, seen = output(tmp_path, "--quick")
    assert "OPENBLAS_CORETYPE=Haswell" in said
    assert seen == "None 17179869184 --quick"


def test_as_it_is(tmp_path):
    assert output(tmp_path, "--as-it-is") == ["Haswell 17179869184 --as-it-is"]
