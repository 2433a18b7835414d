"""Medians: calls that take known times in, their medians out."""

import time

import pytest

from benchmarks.timing import WARM_UP, Calls, medians


def test_the_median_is_of_the_rounds_after_the_warm_up():
    seconds = [0.2] * WARM_UP + [0.03, 0.01, 0.09]
    rounds: list[int] = []

    def make(number: int) -> Calls:
        rounds.append(number)
        return {"slow": lambda: time.sleep(seconds[number]), "none": lambda: None}

    taken = medians(make, rounds=3)
    assert rounds == list(range(WARM_UP + 3))
    assert taken["slow"] == pytest.approx(0.03, abs=0.02)
    assert taken["none"] < 0.01


def test_a_call_of_one_round_counts_and_one_of_the_warm_up_does_not():
    def make(number: int) -> Calls:
        calls: Calls = {"always": lambda: None}
        if number == WARM_UP:
            calls["once"] = lambda: time.sleep(0.02)
        if number == 0:
            calls["early"] = lambda: None
        return calls

    taken = medians(make, rounds=2)
    assert set(taken) == {"always", "once"}
    assert taken["once"] >= 0.02
