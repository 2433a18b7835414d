"""The environment of a process in; the same program again, in the environment that measuring takes, out.

To be called before NumPy or PyTorch is imported: what it changes is read by their libraries as they load.
"""

import os
import subprocess
import sys

CORE = "OPENBLAS_CORETYPE"  # holds NumPy's matrix kernels to those of one processor
MEMORY = {  # glibc: memory that is freed stays; else it is chance which candidate has to fetch its pages anew
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
}


def measure_in_clean_surroundings() -> None:
    """Start this program again where the environment differs from what it should be; else return.

    `--as-it-is` on the command line leaves OPENBLAS_CORETYPE where it is set.
    """
    keep = "--as-it-is" in sys.argv
    wanted = {name: value for name, value in os.environ.items() if keep or name != CORE} | MEMORY
    if wanted == dict(os.environ):
        return
    if CORE in os.environ and not keep:
        print(f"without {CORE}={os.environ[CORE]}, which is set here; --as-it-is would keep it", flush=True)
    sys.exit(subprocess.call([sys.executable, *sys.argv], env=wanted))
