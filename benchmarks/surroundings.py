"""The environment of a process in; the same program again, in the environment that measuring takes, out.

To be called before NumPy or PyTorch is imported: what it changes is read by their libraries as they load.
"""

import os
import subprocess
import sys

# what steers the matrix libraries, OPENBLAS_CORETYPE for one: it holds NumPy's kernels to those of one processor
STEERING = ("OPENBLAS_", "MKL_", "OMP_", "GOMP_", "DNNL_", "ONEDNN_", "ATEN_")
MEMORY = {  # glibc: memory that is freed stays; else it is chance which candidate has to fetch its pages anew
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
}


def measure_in_clean_surroundings() -> None:
    """Start this program again where the environment differs from what it should be; else return.

    Left out is what steers the matrix libraries, but for numbers of threads; `--as-it-is` on the command line keeps it.
    """
    dropped = [] if "--as-it-is" in sys.argv else [name for name in os.environ if _steers(name)]
    wanted = {name: value for name, value in os.environ.items() if name not in dropped} | MEMORY
    if wanted == dict(os.environ):
        return
    if dropped:
        found = " ".join(f"{name}={os.environ[name]}" for name in sorted(dropped))
        print(f"without {found}, set here; --as-it-is would keep that", flush=True)
    sys.exit(subprocess.call([sys.executable, *sys.argv], env=wanted))


def _steers(name: str) -> bool:
    return name.startswith(STEERING) and not name.endswith("_NUM_THREADS")
