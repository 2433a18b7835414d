"""Questions in, a few at a time through: what is computed at once and what waits stays bounded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from convscope.service.problems import busy

AT_ONCE = 4  # so that a click does not wait for a slow method or for the test set
WAITING = 64


class Turns:
    """Places for questions of one application, in one event loop."""

    def __init__(self, at_once: int = AT_ONCE, waiting: int = WAITING) -> None:
        self._free, self._most, self._waiting = asyncio.Semaphore(at_once), waiting, 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Inside, the question may compute; a 429 where too many wait for that."""
        if self._waiting >= self._most:
            raise busy("questions")
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()
