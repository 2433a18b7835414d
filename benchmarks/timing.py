"""Calls to compare in, the median seconds of each out."""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

Calls = dict[str, Callable[[], Any]]
Contest = Mapping[str, Callable[[], Callable[[], Any]]]  # way -> what lays its input out and gives the call

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


def races(contests: Mapping[str, Contest], rounds: int, margin: float = math.inf) -> dict[str, dict[str, float]]:
    """The median seconds of each way of each contest; in every round all contests take their turn.

    For calls whose inputs are too large to lie side by side: each is laid out, called twice, of which the second time
    counts, and dropped before the next.

    Args:
        contests: by name, the ways that compete.
        rounds: how often each is timed.
        margin: a way that in the first round took so many times as long as the fastest of its contest rests after it.
    """
    taken: dict[str, dict[str, list[float]]] = {name: {way: [] for way in ways} for name, ways in contests.items()}
    for number in range(rounds):
        for name, ways in contests.items():
            slowest = margin * min((times[0] for times in taken[name].values() if times), default=math.inf)
            for way, lay_out in ways.items():
                times = taken[name][way]
                if number == 0 or times[0] <= slowest:
                    times.append(_second_time(lay_out()))
    return {name: {way: statistics.median(times) for way, times in ways.items()} for name, ways in taken.items()}


def _second_time(call: Callable[[], Any]) -> float:
    call()
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
