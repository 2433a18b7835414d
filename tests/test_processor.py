"""Which BLAS kernels are asked for, on which processor; real processes, since it counts before NumPy is loaded only."""

import os
import subprocess
import sys

import pytest

FLAGS = "flags\t\t: fpu sse avx2 avx512f avx512dq avx512cd avx512bw avx512vl"
PROCESSORS = {
    "AMD with AVX-512": (f"processor\t: 0\nvendor_id\t: AuthenticAMD\n{FLAGS}\n\nprocessor\t: 1\n", "SkylakeX"),
    "AMD without": ("processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t\t: fpu sse avx2 avx512f\n", "None"),
    "Intel": (f"processor\t: 0\nvendor_id\t: GenuineIntel\n{FLAGS}\n", "None"),
    "ARM": ("processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\n", "None"),
    "unreadable": (None, "None"),
}


def asked_for(cpuinfo, before="", **environment):
    script = (
        f"import os, pathlib; {before}from convscope.processor import prefer_wide_kernels; "
        f"prefer_wide_kernels(pathlib.Path({str(cpuinfo)!r})); print(os.environ.get('OPENBLAS_CORETYPE'))"
    )
    inherited = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=inherited | environment
    )
    return done.stdout.strip()


@pytest.mark.parametrize("name", PROCESSORS)
def test_amd_with_avx512_gets_its_kernels(name, tmp_path):
    text, expected = PROCESSORS[name]
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    assert asked_for(tmp_path / "cpuinfo") == expected


def test_too_late_or_already_said_changes_nothing(tmp_path):
    (tmp_path / "cpuinfo").write_text(PROCESSORS["AMD with AVX-512"][0])
    assert asked_for(tmp_path / "cpuinfo", before="import numpy; ") == "None"
    assert asked_for(tmp_path / "cpuinfo", OPENBLAS_CORETYPE="Haswell") == "Haswell"
