"""A trick switched off takes another path through fast.py and gives the same numbers; other numbers are refused."""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from benchmarks import numpy_tricks

WAYS = numpy_tricks.both_ways()
A_CORE = ("one block a core", "Winograd, one block a core")
FILES = ("fast.py", "winograd.py")  # of numpy_nn: what computes


def path(call: Callable[[], Any]) -> Counter[tuple[str, int]]:
    """How often this thread runs each line of `FILES`, pads pictures, and hands work to another thread."""
    seen: Counter[tuple[str, int]] = Counter()

    def trace(frame: Any, event: str, _: Any) -> Any:
        file, name = Path(frame.f_code.co_filename).name, frame.f_code.co_name
        if event == "call" and name in ("pad", "submit"):
            seen[name, 0] += 1
        if event == "line":
            seen[file, frame.f_lineno] += 1
        return trace if file in FILES else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return seen


@pytest.mark.parametrize("name", WAYS)
def test_a_trick_that_is_off_takes_another_path(name: str):
    ways, shape = WAYS[name]
    x = np.random.default_rng(3).standard_normal((32, *shape), dtype=np.float32)
    with threadpool_limits(2 if name in A_CORE else 1, user_api="blas"):
        on, off, again = (path(lambda way=way: ways[way](x)) for way in ("with", "without", "with"))
    if name in A_CORE:  # who takes which block is chance
        assert (on["submit", 0], off["submit", 0]) == (1, 0)
    else:
        assert on != off
        assert again == on  # it switches itself on again


@pytest.mark.parametrize("name", WAYS)
def test_both_ways_give_the_same_numbers(name: str):
    assert set(numpy_tricks.compare(*WAYS[name], batch=2, rounds=1)) == {"with", "without"}


def test_ways_of_other_numbers_are_refused():
    def off(x: np.ndarray) -> np.ndarray:
        y = 2 * x
        y.flat[-1] += 1e-3 * abs(y).max()
        return y

    with pytest.raises(AssertionError, match="Mismatched elements: 1 / 60"):
        numpy_tricks.compare({"with": off, "without": lambda x: x + x}, (2, 3, 5), batch=2, rounds=1)
