"""Settings and models in; what computes for the routes out: its threads, its queues, and the models kept fresh."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from convscope.service import answers
from convscope.service.answers import Answer, Pictures, Question, Rows
from convscope.service.batcher import Batcher, Ticket
from convscope.service.metrics import Metrics
from convscope.service.models import Models, Served
from convscope.service.settings import Settings
from convscope.service.uploads import Decoder

NICE = 10  # of the explanations' thread: a tenth of a core where predictions want all of it


class Work:
    """Two lanes that do not wait for each other: predictions in batches, and explanations one at a time behind."""

    def __init__(self, settings: Settings, models: Models) -> None:
        self.settings, self.models, self.metrics = settings, models, Metrics(models)
        self.decoder = Decoder(settings.pixels)
        self.predictions: Batcher[Pictures, Rows] = Batcher(
            "predictions",
            self._predict,
            capacity=settings.queue,
            most=settings.batch,
            wait=settings.batch_wait / 1000,
            threads=settings.threads,
        )
        self.explanations: Batcher[Question, list[Answer]] = Batcher(
            "explanations", answers.explanations, capacity=settings.explain_queue, threads=1, nice=NICE
        )
        lanes: tuple[Batcher[Any, Any], ...] = (self.predictions, self.explanations)
        self._lanes = lanes
        for lane in lanes:
            self.metrics.watch(lane)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Inside, what is submitted is computed."""
        tasks = [asyncio.create_task(lane.run()) for lane in self._lanes]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
            for lane in self._lanes:
                lane.close()
            self.decoder.close()

    def _predict(self, model: Served, tickets: Sequence[Ticket[Pictures, Rows]]) -> list[Rows]:
        """The probabilities of a batch, its size noted."""
        self.metrics.batches.observe(sum(ticket.size for ticket in tickets))
        return answers.probabilities(model, tickets)
