"""Work from many requests in; it is computed in batches in a thread of its own, and each request gets its result."""

import asyncio
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from convscope.service.models import Served
from convscope.service.problems import busy

Work = TypeVar("Work")
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False, repr=False)  # an array written out takes longer than to compute with it
class Ticket(Generic[Work, Result]):
    """Work of so many pictures that waits for `model`; a `future` that is done before its turn is not computed."""

    model: Served
    work: Work
    size: int
    future: asyncio.Future[Result]


class Batcher(Generic[Work, Result]):
    """A bounded number of pictures on their way to one thread.

    Args:
        name: what its work is called where a client reads it.
        compute: takes one model and the tickets of a batch, gives a result for each; runs in the thread.
        capacity: pictures that may be prepared, waiting or computed at once.
        most: pictures in a batch; a single piece of work may be larger.
        wait: seconds that a batch which is not full waits for others, if there are any on their way.
        threads: of PyTorch in this thread; 0 for as many as it would take.
        nice: how far this thread stands back for the others of the process.
    """

    def __init__(
        self,
        name: str,
        compute: Callable[[Served, Sequence[Ticket[Work, Result]]], Sequence[Result]],
        *,
        capacity: int,
        most: int = 1,
        wait: float = 0,
        threads: int = 0,
        nice: int = 0,
    ) -> None:
        self.name, self.capacity, self.most, self.wait = name, capacity, most, wait
        self.taken = 0  # pictures with a place
        self._compute = compute
        self._waiting: deque[Ticket[Work, Result]] = deque()
        self._arrived = asyncio.Event()
        self._company = False  # whether the last batch had several requests, so that more are likely to follow
        # said to every thread: what one thread sets, PyTorch takes for the next ones too
        threads = threads or torch.get_num_threads()
        self._thread = ThreadPoolExecutor(1, f"convscope-{name}", settle, (threads, nice))

    @property
    def waiting(self) -> int:
        """Pictures whose computation has not begun."""
        return sum(ticket.size for ticket in self._waiting)

    def refuse_if_full(self) -> None:
        """A 429 where no place is free, before anything is read from a client."""
        if self.taken >= self.capacity:
            raise busy(self.name)

    @contextmanager
    def places(self, count: int) -> Iterator[None]:
        """Hold places for so many pictures; a 429 where there are not enough."""
        if self.taken + count > self.capacity:
            raise busy(self.name)
        self.taken += count
        try:
            yield
        finally:
            self.taken -= count

    async def submit(self, model: Served, work: Work, size: int) -> Result:
        """The result of `work`; who is cancelled meanwhile leaves the queue, and is not computed."""
        ticket: Ticket[Work, Result] = Ticket(model, work, size, asyncio.get_running_loop().create_future())
        self._waiting.append(ticket)
        self._arrived.set()
        try:
            return await ticket.future
        finally:
            if ticket in self._waiting:  # which it is no longer, as a rule
                self._waiting.remove(ticket)

    async def run(self) -> None:
        """Compute what arrives, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            if self.waiting < self.most and (self._company or self.taken > self.waiting):
                await asyncio.sleep(self.wait)
            batch = self._next_batch()
            if not self._waiting:
                self._arrived.clear()
            if not batch:
                continue
            self._company = len(batch) > 1
            try:
                results = await loop.run_in_executor(self._thread, self._compute, batch[0].model, batch)
                answered = list(zip(batch, results, strict=True))
            except Exception as error:  # whatever it is, those who wait must hear of it
                for ticket in batch:
                    if not ticket.future.done():
                        ticket.future.set_exception(error)
            else:
                for ticket, result in answered:
                    if not ticket.future.done():
                        ticket.future.set_result(result)

    def close(self) -> None:
        """Let the thread end after what it computes now."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _next_batch(self) -> list[Ticket[Work, Result]]:
        """The first that wait, all for the same model, as many as fit; others keep their order."""
        batch: list[Ticket[Work, Result]] = []
        passed: deque[Ticket[Work, Result]] = deque()
        size = 0
        while self._waiting and size < self.most:
            ticket = self._waiting.popleft()
            if batch and (ticket.model is not batch[0].model or size + ticket.size > self.most):
                passed.append(ticket)
            else:
                batch.append(ticket)
                size += ticket.size
        self._waiting.extendleft(reversed(passed))
        return batch


def settle(threads: int, nice: int) -> None:
    """Set what PyTorch and the system keep for each thread, in this one."""
    torch.set_num_threads(threads)
    if nice and sys.platform == "linux":  # where threads have priorities of their own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
