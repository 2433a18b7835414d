"""Memory that is freed stays: seen, in a process of its own, by the pages that taking it again costs."""

import json
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import json, resource, torch
from convscope.training.allocator import memory_kept

def faults(mib=40):  # pages that the system gave while the same memory was taken and freed ten times
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(mib * 2**18)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize() / (mib * 2**20)

found = [faults()]
try:
    with memory_kept() as kept:
        faults()
        found.append(faults())
        raise KeyError
except KeyError:
    found.append(faults(120))  # more than any piece of the heap that may be left free between pieces in use
with memory_kept(False) as not_kept:
    found.append(faults(120))
print(json.dumps([kept and not not_kept, *found]))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other systems keep their own ways")
def test_freed_memory_is_taken_again_without_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    kept, before, inside, after, unwanted = json.loads(done.stdout)
    assert kept
    assert inside < 0.5
    assert before > 8  # ten times the whole memory, or nearly
    assert after > 8
    assert unwanted > 8
