"""A coroutine in, its result out, from an event loop in a thread of its own: Playwright keeps one running in ours."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")


def looped(work: Coroutine[Any, Any, Result]) -> Result:
    """As `asyncio.run`."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, work).result()
