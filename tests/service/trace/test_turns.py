"""A few questions compute at once, some wait, the rest are told to come back."""

import asyncio

import pytest

from convscope.service.problems import Problem
from convscope.service.trace.turns import Turns


def test_so_many_at_once_and_no_more_waiting_than_that() -> None:
    async def scene() -> list[str]:
        turns, seen, end = Turns(at_once=2, waiting=1), [], asyncio.Event()

        async def ask(name: str) -> None:
            try:
                async with turns.turn():
                    seen.append(f"{name} computes")
                    await end.wait()
            except Problem as problem:
                seen.append(f"{name} {problem.status}")

        tasks = []
        for name in "abcd":
            tasks.append(asyncio.create_task(ask(name)))
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        tasks[0].cancel()  # a client that leaves makes room
        await asyncio.gather(tasks[0], return_exceptions=True)
        await asyncio.sleep(0)
        end.set()
        await asyncio.gather(*tasks[1:])
        return seen

    assert asyncio.run(scene()) == ["a computes", "b computes", "d 429", "c computes"]


def test_a_place_is_free_again_after_an_error() -> None:
    async def scene() -> int:
        turns = Turns(at_once=1, waiting=1)
        for _ in range(3):
            with pytest.raises(KeyError):
                async with turns.turn():
                    raise KeyError
        async with turns.turn():
            return 1

    assert asyncio.run(scene()) == 1
