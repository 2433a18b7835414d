"""Pages take turns: so many compute, so many wait, the next is refused, and whoever leaves gives the place back."""

import asyncio
from contextlib import suppress

import pytest

from convscope.service.models import Models, Served
from convscope.service.problems import Problem
from convscope.service.settings import Settings
from convscope.service.trace.turns import Turns
from tests.service.conftest import Here
from tests.service.looped import looped


def test_the_next_after_the_last_that_may_wait_is_refused():
    async def scenario():
        turns, order = Turns(at_once=1, waiting=1), []

        async def visit(name, leave):
            async with turns:
                order.append(name)
                await leave.wait()

        leave = [asyncio.Event() for _ in range(3)]
        first = asyncio.create_task(visit("first", leave[0]))
        gone = asyncio.create_task(visit("gone", leave[1]))
        await asyncio.sleep(0)
        with pytest.raises(Problem, match="try again") as refused:
            await visit("refused", leave[2])
        assert refused.value.status == 429
        gone.cancel()
        with suppress(asyncio.CancelledError):
            await gone
        third = asyncio.create_task(visit("third", leave[2]))  # in the place of the one that left
        await asyncio.sleep(0)
        assert order == ["first"]
        for event in leave:
            event.set()
        await asyncio.gather(first, third)
        assert order == ["first", "third"]

    looped(scenario())


def test_a_page_that_comes_too_late_hears_when_to_try_again(digits_run):
    with Here(Settings(), Models([Served("digits", "0" * 64, digits_run)])) as here:
        here.app.state.trace_turns = Turns(at_once=0, waiting=0)
        answer = here.client.get("/v1/trace/digits")
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
        assert answer.json()["error"]["code"] == "busy"
        assert here.client.get("/health/ready").status_code == 200
