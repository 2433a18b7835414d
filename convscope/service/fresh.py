"""Run folders in; their models loaded, and swapped while they answer when a checkpoint changes or a signal says so."""

import asyncio
import gc
import logging
from collections.abc import Mapping
from pathlib import Path

from convscope.errors import ConvscopeError
from convscope.runs.artifacts import weights_of
from convscope.service.logs import LOG, log
from convscope.service.models import Models, load_served, sha256_of

SECONDS = 1.0  # between two looks at the checkpoints

Stamp = tuple[int, int, int] | None  # what the system says of a file; None where there is none


class Freshness:
    """Keeps `models` as their folders are, each ready for batches of up to `batch` pictures."""

    def __init__(self, models: Models, sources: Mapping[str, Path], batch: int) -> None:
        self.models, self.sources, self.batch = models, sources, batch
        self._seen: dict[str, Stamp] = {}
        self._loading = asyncio.Lock()

    async def load_all(self) -> None:
        """Load every run whose weights are not the ones that answer; one that cannot be leaves the old answering."""
        for name in self.sources:
            await self._load(name)

    async def watch(self) -> None:
        """Load what has changed and has stopped changing, until cancelled."""
        last: dict[str, Stamp] = {}
        while True:
            await asyncio.sleep(SECONDS)
            for name, folder in self.sources.items():
                now = stamp(folder)
                settled, last[name] = now == last.get(name), now
                if now is not None and settled and now != self._seen.get(name):
                    await self._load(name)

    async def _load(self, name: str) -> None:
        folder = self.sources[name]
        async with self._loading:
            self._seen[name] = stamp(folder)  # from before reading: a change while reading is seen as one
            old = next((served for served in self.models.ready if served.name == name), None)
            try:
                if old and await asyncio.to_thread(sha256_of, folder) == old.sha256:
                    return
                served = await asyncio.to_thread(load_served, name, folder, self.batch)
            except Exception as error:  # whatever it is, the old model goes on answering, and the watch goes on
                kept = f"; {old.sha256[:12]} goes on answering" if old else ""
                log(logging.ERROR, f"{name} cannot be served: {' '.join(str(error).split())}{kept}", model=name)
                if not isinstance(error, ConvscopeError):
                    LOG.error("failed", exc_info=error)
                return
            self.models.put(served)
            del old  # or it would outlive what follows
            await asyncio.to_thread(spare_the_collector)
            log(logging.INFO, "model ready", model=name, sha256=served.sha256)


def spare_the_collector() -> None:
    """Let the garbage collector pass over what will stay: PyTorch's 200,000 objects, which take it 0.1 s each time.

    Nothing else runs meanwhile, so under load that was the slowest answer of a hundred, and a tenth of the throughput.
    """
    gc.unfreeze()  # a replaced model may be garbage now
    gc.collect()
    gc.freeze()


def stamp(folder: Path) -> Stamp:
    """What changes when the weights of a run folder do."""
    try:
        status = weights_of(folder).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
