"""Questions of pages in, their answers out: computed a few at a time, behind predictions; the next is refused."""

import asyncio
import functools
import inspect
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request

from convscope.service.batcher import settle
from convscope.service.gone import for_client
from convscope.service.problems import busy

AT_ONCE = 4  # each computes on a core; a click must not wait behind a slow method and the loading of a test set
WAITING = 64  # a page asks for a dozen things at once
NICE = 10  # as the explanations of the API: predictions come first

Answer = TypeVar("Answer")


class Turns:
    """A bounded number of questions, and the threads that compute them.

    Args:
        at_once: how many are computed.
        waiting: how many more may wait for that; a 429 beyond.
        seconds: in which a question is answered; a 504 after.
    """

    def __init__(self, at_once: int = AT_ONCE, waiting: int = WAITING, seconds: float = 60.0) -> None:
        self._seconds, self._places = seconds, at_once + waiting
        self._threads = ThreadPoolExecutor(at_once, "convscope-trace", settle, (1, NICE))

    async def compute(self, request: Request, work: Callable[[threading.Event], Answer]) -> Answer:
        """The answer of `work`, whose event is set once nobody waits for it; its place is free when it has ended."""
        if self._places == 0:
            raise busy("questions of pages")
        self._places -= 1
        given_up, loop = threading.Event(), asyncio.get_running_loop()
        job = self._threads.submit(work, given_up)
        job.add_done_callback(lambda _: self._free_place(loop))
        try:
            return await for_client(request, _result(job), self._seconds)
        finally:
            given_up.set()

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _free_place(self, loop: asyncio.AbstractEventLoop) -> None:
        def free() -> None:
            self._places += 1

        with suppress(RuntimeError):  # the loop has ended, and with it all questions
            loop.call_soon_threadsafe(free)


async def _result(job: Future[Answer]) -> Answer:
    """Of a job, which does not begin any more if this is cancelled."""
    return await asyncio.wrap_future(job)


class Turn:
    """The turn of one request."""

    def __init__(self, request: Request) -> None:
        self._request = request

    async def compute(self, work: Callable[[threading.Event], Answer]) -> Answer:
        """As `Turns.compute`."""
        turns: Turns = self._request.app.state.trace_turns
        return await turns.compute(self._request, work)


InTurn = Annotated[Turn, Depends(Turn)]


def in_turn(read: Callable[..., Answer]) -> Callable[..., Awaitable[Answer]]:
    """A route that computes its answer in a turn, from one that computes it at once."""

    @functools.wraps(read)
    async def answer(turn: Turn, **given: Any) -> Answer:
        return await turn.compute(lambda _: read(**given))

    signature = inspect.signature(read)
    turn = inspect.Parameter("turn", inspect.Parameter.KEYWORD_ONLY, annotation=InTurn)
    answer.__signature__ = signature.replace(parameters=[*signature.parameters.values(), turn])  # type: ignore[attr-defined]
    return answer
