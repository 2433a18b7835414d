"""Which pieces of work are computed together, in which order, and which are not computed at all."""

import asyncio
import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from convscope.service.answers import probabilities
from convscope.service.batcher import Batcher, Ticket
from convscope.service.models import padded
from convscope.service.problems import Problem
from tests.service.looped import looped


class Recorder:
    """Computes twice the number it is given, when it is let, and remembers the batches."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[int]]] = []
        self.free = threading.Event()

    def __call__(self, model: Any, tickets: Sequence[Ticket[int, int]]) -> list[int]:
        self.batches.append((model.name, [ticket.work for ticket in tickets]))
        assert self.free.wait(20)
        if any(ticket.work < 0 for ticket in tickets):
            raise ValueError("negative")
        return [2 * ticket.work for ticket in tickets]


A: Any = SimpleNamespace(name="a")
B: Any = SimpleNamespace(name="b")


async def settled(recorder: Recorder, batches: int = 1) -> None:
    """Wait until so many batches have begun."""
    while len(recorder.batches) < batches:
        await asyncio.sleep(0.001)


def run(scenario: Any, **options: Any) -> Recorder:
    """A scenario with a batcher whose thread is held until it says otherwise."""
    recorder = Recorder()

    async def main() -> None:
        batcher: Batcher[int, int] = Batcher("numbers", recorder, **{"capacity": 100, "most": 4, **options})
        turning = asyncio.create_task(batcher.run())
        async with asyncio.timeout(20):
            await scenario(batcher, recorder)
        turning.cancel()
        batcher.close()

    looped(main())
    return recorder


def test_what_waits_is_computed_together_as_far_as_it_fits_and_each_gets_its_own() -> None:
    async def scenario(batcher: Batcher[int, int], recorder: Recorder) -> None:
        first = asyncio.create_task(batcher.submit(A, 1, 1))
        await settled(recorder)
        sizes = {2: 1, 3: 2, 4: 2, 5: 1, 6: 9}
        others = [asyncio.create_task(batcher.submit(A, number, size)) for number, size in sizes.items()]
        await asyncio.sleep(0)
        assert batcher.waiting == 15
        recorder.free.set()
        assert await asyncio.gather(first, *others) == [2, 4, 6, 8, 10, 12]

    # 4 does not fit behind 2 and 3, but 5 does; 6 is larger than any batch and goes alone
    assert run(scenario).batches == [("a", [1]), ("a", [2, 3, 5]), ("a", [4]), ("a", [6])]


def test_models_are_never_mixed() -> None:
    async def scenario(batcher: Batcher[int, int], recorder: Recorder) -> None:
        first = asyncio.create_task(batcher.submit(A, 1, 1))
        await settled(recorder)
        others = [asyncio.create_task(batcher.submit([A, B][n % 2], n, 1)) for n in range(2, 8)]
        await asyncio.sleep(0)
        recorder.free.set()
        assert await asyncio.gather(first, *others) == [2, 4, 6, 8, 10, 12, 14]

    assert run(scenario).batches == [("a", [1]), ("a", [2, 4, 6]), ("b", [3, 5, 7])]


def test_who_is_cancelled_is_not_computed() -> None:
    async def scenario(batcher: Batcher[int, int], recorder: Recorder) -> None:
        first = asyncio.create_task(batcher.submit(A, 1, 1))
        await settled(recorder)
        leaving, staying = (asyncio.create_task(batcher.submit(A, number, 1)) for number in (2, 3))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.sleep(0)
        assert batcher.waiting == 1
        first.cancel()  # its computation has begun; nobody hears of the result
        recorder.free.set()
        assert await staying == 6

    assert run(scenario).batches == [("a", [1]), ("a", [3])]


def test_an_error_reaches_those_who_wait_and_no_one_else() -> None:
    async def scenario(batcher: Batcher[int, int], recorder: Recorder) -> None:
        recorder.free.set()
        with pytest.raises(ValueError, match="negative"):
            await batcher.submit(A, -1, 1)
        assert await batcher.submit(A, 2, 1) == 4

    run(scenario)


def test_places_are_bounded_and_given_back() -> None:
    async def scenario(batcher: Batcher[int, int], recorder: Recorder) -> None:
        with batcher.places(3):
            with pytest.raises(Problem) as refused, batcher.places(2):
                pass
            assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "1"})
            with batcher.places(1), pytest.raises(Problem):
                batcher.refuse_if_full()
            batcher.refuse_if_full()
        assert batcher.taken == 0

    run(scenario, capacity=4)


def test_a_lone_piece_of_work_does_not_wait_for_others_and_one_with_others_on_their_way_does() -> None:
    async def scenario(batcher: Batcher[int, int], recorder: Recorder) -> None:
        recorder.free.set()
        loop = asyncio.get_running_loop()
        started = loop.time()
        with batcher.places(1):
            await batcher.submit(A, 1, 1)
        assert loop.time() - started < 1
        with batcher.places(2):
            early = asyncio.create_task(batcher.submit(A, 2, 1))
            await asyncio.sleep(0.1)  # the second picture is still being decoded
            late = asyncio.create_task(batcher.submit(A, 3, 1))
            await asyncio.gather(early, late)

    assert run(scenario, wait=2.0).batches == [("a", [1]), ("a", [2, 3])]


class Unprinted:
    """Work whose text nobody may ask for."""

    def __repr__(self) -> str:
        raise AssertionError("an array was written out for a message that nobody reads")


def test_work_is_never_written_out() -> None:  # NumPy took as long to print a picture as all else that a request needs
    async def scenario() -> None:
        batcher: Batcher[Any, Any] = Batcher("doubles", lambda _, tickets: [[t.work] * 2 for t in tickets], capacity=8)
        task = asyncio.create_task(batcher.run())
        work = Unprinted()
        assert await batcher.submit(A, work, 1) == [work, work]
        task.cancel()
        batcher.close()

    looped(scenario())


def test_a_batch_is_filled_up_to_a_size_of_which_there_are_few():
    sizes = [padded(count) for count in range(1, 257)]
    assert sizes[:17] == [1, 2, 3, 4, 5, 6, 7, 8, 10, 10, 12, 12, 14, 14, 16, 16, 20]
    assert all(count <= size <= 1.25 * count for count, size in enumerate(sizes, start=1))
    assert len(set(sizes)) == 28


def test_blank_pictures_of_a_batch_are_nobodys(served):
    rng = np.random.default_rng(0)
    works = [rng.integers(0, 256, (count, 1, 8, 8)).astype(np.uint8) for count in (2, 3, 4)]  # 9, so one more is blank
    rows = probabilities(served, [SimpleNamespace(work=work) for work in works])
    for found, work in zip(rows, works, strict=True):
        np.testing.assert_allclose(found, served.run.probabilities(work), atol=1e-6)


def test_a_lane_of_one_thread_leaves_the_others_theirs():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    lanes: list[Batcher[int, int]] = [
        Batcher(str(threads), lambda *_: [torch.get_num_threads()], capacity=1, threads=threads) for threads in (1, 0)
    ]

    async def ask() -> list[int]:
        tasks = [asyncio.create_task(lane.run()) for lane in lanes]
        found = [await lane.submit(A, 0, 1) for lane in lanes]  # the one with one thread first
        for task in tasks:
            task.cancel()
        return found

    try:
        assert looped(ask()) == [1, 3]
    finally:
        torch.set_num_threads(before)
        for lane in lanes:
            lane.close()


def test_a_computation_of_too_few_results_is_a_failure_that_is_heard():
    lane: Batcher[int, int] = Batcher("lane", lambda *_: [], capacity=4)

    async def ask() -> None:
        task = asyncio.create_task(lane.run())
        for _ in range(2):  # the lane goes on after the first
            with pytest.raises(ValueError, match="shorter"):
                await asyncio.wait_for(lane.submit(A, 0, 1), 20)
        task.cancel()

    looped(ask())
    lane.close()
