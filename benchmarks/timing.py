"""Calls to compare in, the median seconds of each out."""

import statistics
import time
from collections.abc import Callable
from typing import Any

Calls = dict[str, Callable[[], Any]]

WARM_UP = 2  # rounds that do not count


def medians(make: Callable[[int], Calls], rounds: int, settle: float = 0) -> dict[str, float]:
    """The median seconds of each call; `make(round)` gives the calls anew, on input that no call has seen.

    The calls of a round take turns, so that whatever else the machine does meets all of them. Before each its own
    predecessor runs once more, untimed: the threads of one library go on spinning for a while after their work, and
    should meet nobody else's; and both cores are awake. Two rounds more than `rounds` are run; the first two warm up. A
    call that `make` leaves out of some rounds has the median of the others.

    Args:
        make: the calls of a round, by name.
        rounds: that count.
        settle: seconds of rest before each call's predecessor, which then runs twice: where one call leaves the threads
            of BLAS spinning, as a product of NumPy's that they shared does for some 60 ms.
    """
    taken: dict[str, list[float]] = {}
    before: Calls = {}
    for number in range(rounds + WARM_UP):
        for name, call in make(number).items():
            if settle:
                time.sleep(settle)
                before.get(name, call)()
            before.get(name, call)()
            before[name] = call
            started = time.perf_counter()
            call()
            seconds = time.perf_counter() - started
            if number >= WARM_UP:
                taken.setdefault(name, []).append(seconds)
    return {name: statistics.median(times) for name, times in taken.items()}
