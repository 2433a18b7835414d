"""What the processor can do comes in; which matrix kernels NumPy's BLAS is to use goes out, in the environment."""

import os
import sys
from pathlib import Path

VARIABLE = "OPENBLAS_CORETYPE"
_AVX512 = {"avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl"}


def prefer_wide_kernels(cpuinfo: Path = Path("/proc/cpuinfo")) -> None:
    """Have OpenBLAS use its AVX-512 kernels on an AMD processor that has these instructions.

    OpenBLAS goes by a list of models, and takes half as wide kernels on one that it does not know, a new one or a
    virtual machine's. For those of the list it chooses the same kernels itself. To be called before NumPy is first
    imported; afterwards, on other processors and systems, and where the variable is set already, it does nothing.
    """
    if "numpy" in sys.modules or VARIABLE in os.environ:
        return
    try:
        text = cpuinfo.read_text(encoding="ascii", errors="replace")
    except OSError:
        return
    lines = (line.partition(":") for line in text.splitlines())
    fields = {name.strip(): value.split() for name, _, value in lines}
    if fields.get("vendor_id") == ["AuthenticAMD"] and _AVX512.issubset(fields.get("flags", [])):
        os.environ[VARIABLE] = "SkylakeX"
