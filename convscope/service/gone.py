"""Work for a client in, its result out, unless the client leaves or the time is up before."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

from convscope.service.problems import Problem, gone

T = TypeVar("T")


async def for_client(request: Request, work: Coroutine[Any, Any, T], seconds: float) -> T:
    """The result of `work`, which is cancelled with its place freed if nobody will read it.

    Raises:
        Problem: 504 after `seconds`; 499 where the client has gone, which only the log sees.
    """
    task = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_disconnected(request))
    try:
        done, _ = await asyncio.wait({task, leaving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if task in done:
            return task.result()
        if leaving in done:
            raise gone()
        raise Problem(504, "timeout", f"no answer within {seconds:g} s; it was given up")
    finally:
        leaving.cancel()
        task.cancel()
        await asyncio.gather(task, leaving, return_exceptions=True)  # its place is free before anybody hears of it


async def _disconnected(request: Request) -> None:
    """Ends when the client closes its connection; the body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
