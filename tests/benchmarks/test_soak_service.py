"""What a soak calls growth and what it calls another answer."""

from dataclasses import replace

import pytest

from benchmarks.soak_requests import differs
from benchmarks.soak_service import Sample, growth

FLAT = [Sample(float(second), 9 + second % 2, 20 + second % 7, 300 + second % 3) for second in range(90)]


def test_what_goes_up_and_down_does_not_grow():
    assert growth(FLAT, 30.0) == []


def test_what_grows_before_it_has_settled_does_not_count():
    assert growth([replace(one, memory=100.0 if one.seconds < 30 else 300.0) for one in FLAT], 30.0) == []


@pytest.mark.parametrize(
    ("name", "a_second", "told"),
    [("threads", 0.1, "threads grew"), ("descriptors", 0.1, "descriptors grew"), ("memory", 0.5, "memory grew")],
)
def test_a_leak_shows(name: str, a_second: float, told: str):
    leaking = [replace(one, **{name: getattr(one, name) + int(a_second * one.seconds)}) for one in FLAT]
    (found,) = growth(leaking, 30.0)
    assert found.startswith(told)


def test_too_short_a_soak_says_so():
    with pytest.raises(ValueError, match="soak for longer"):
        growth(FLAT[:32], 30.0)


def test_numbers_may_lie_apart_by_the_tolerance_and_nothing_else_may():
    one = {"results": [{"label": "cat", "probability": 0.5}]}
    assert not differs(one, {"results": [{"label": "cat", "probability": 0.500001}]}, 2e-6)
    for other in (
        {"results": [{"label": "cat", "probability": 0.50001}]},
        {"results": [{"label": "dog", "probability": 0.5}]},
        {"results": []},
        {"results": [{"label": "cat"}]},
        {"results": [{"label": "cat", "probability": float("nan")}]},
    ):
        assert differs(one, other, 2e-6)
