"""Requests of pages in; a few of them at a time computing, others waiting, and whoever comes too late refused."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request

from convscope.service.problems import busy

AT_ONCE = 4  # each computes on a core; a click must not wait behind a slow method and the loading of a test set
WAITING = 64  # a page asks for a dozen things at once


class Turns:
    """Who computes now; for one event loop."""

    def __init__(self, at_once: int = AT_ONCE, waiting: int = WAITING) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._places = at_once + waiting

    async def __aenter__(self) -> None:
        if self._places == 0:
            raise busy("questions of pages")
        self._places -= 1
        try:
            await self._free.acquire()
        except BaseException:  # the client has gone
            self._places += 1
            raise

    async def __aexit__(self, *_: object) -> None:
        self._places += 1
        self._free.release()


async def turn(request: Request) -> AsyncIterator[None]:
    """A dependency: the route runs when it is its turn; a 429 where too many wait already."""
    async with request.app.state.trace_turns:
        yield
