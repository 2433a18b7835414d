"""Medians: calls that take known times in, their medians out."""

import time
import weakref

import pytest

from benchmarks.timing import WARM_UP, Calls, medians, races


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


def test_of_each_visit_the_second_time_counts_and_the_median_of_the_visits():
    seconds = iter([0.2, 0.01, 0.2, 0.05, 0.2, 0.02])
    laid_out = []

    def lay_out():
        laid_out.append("slow")
        return lambda: time.sleep(next(seconds))

    taken = races({"one": {"slow": lay_out}, "two": {"none": lambda: lambda: None}}, rounds=3)
    assert taken["one"]["slow"] == pytest.approx(0.02, abs=0.015)
    assert taken["two"]["none"] < 0.01
    assert len(laid_out) == 3


def test_contests_take_turns_and_who_is_far_behind_rests_after_the_first_round():
    visits: list[str] = []

    def way(name: str, seconds: float):
        def lay_out():
            visits.append(name)
            return lambda: time.sleep(seconds)

        return lay_out

    contests = {"a": {"fast": way("a fast", 0.01), "slow": way("a slow", 0.1)}, "b": {"alone": way("b", 0.1)}}
    taken = races(contests, rounds=3, margin=3)
    assert visits == ["a fast", "a slow", "b", "a fast", "b", "a fast", "b"]
    assert taken["a"]["slow"] >= 0.1
    visits.clear()
    races(contests, rounds=2)
    assert visits == ["a fast", "a slow", "b"] * 2


def test_what_one_way_laid_out_is_gone_before_the_next_is():
    alive: list[weakref.ref[Call]] = []

    def lay_out():
        assert not any(reference() for reference in alive)
        call = Call()
        alive.append(weakref.ref(call))
        return call

    races({"a": {"one": lay_out, "two": lay_out}, "b": {"one": lay_out}}, rounds=2)
    assert len(alive) == 6


class Call:
    """Stands for large arrays."""

    def __call__(self) -> None:
        pass
