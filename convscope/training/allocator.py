"""Enter it, and memory that PyTorch frees stays with the process, ready for the next step."""

import ctypes
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # of mallopt(3): M_TRIM_THRESHOLD, M_MMAP_MAX
NEVER = -1  # as size_t, more than any process has
DEFAULTS = {TRIM_THRESHOLD: 128 * 1024, MMAP_MAX: 65536}


@contextmanager
def memory_kept(wanted: bool = True) -> Iterator[bool]:
    """Inside, if `wanted`, glibc gives no freed memory back to the system; gives whether it does so.

    Every step allocates the same outputs of layers, tens of megabytes each. By default glibc maps each anew and unmaps
    it when it is freed, so that every page of it is first cleared by the system, at each step: a sixth of the training
    time of a small network on two cores. Afterwards glibc has its own defaults again, but no longer raises by itself
    the size from which it maps. On other systems this does nothing.
    """
    if not wanted or sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        yield False
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(TRIM_THRESHOLD, NEVER)
    libc.mallopt(MMAP_MAX, 0)
    try:
        yield True
    finally:
        for parameter, value in DEFAULTS.items():
            libc.mallopt(parameter, value)
        libc.malloc_trim(0)
