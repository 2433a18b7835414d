"""A request in, the tracer of the model that it names out; and what all tracers of an application share."""

import threading
from typing import Annotated

from fastapi import Depends, Request

from convscope.service.defaults import SETTINGS
from convscope.service.models import Models, Served
from convscope.service.trace.cache import Cache
from convscope.service.trace.tracer import Tracer
from convscope.service.trace.uploads import Uploads

MEMORY = 256 * 2**20  # bytes of passes, gradients and maps, of all models together


class Desk:
    """The tracers of one application, made when a model is first asked about; safe for threads."""

    def __init__(self, max_pixels: int = SETTINGS["pixels"].default) -> None:
        self.uploads = Uploads(max_pixels)
        self._cache = Cache(MEMORY)
        self._tracers: dict[str, Tracer] = {}
        self._lock = threading.Lock()

    def tracer(self, served: Served) -> Tracer:
        """The tracer of a model; a new one once it has other weights under its name."""
        with self._lock:
            found = self._tracers.get(served.name)
            if found is None or found.served is not served:
                found = self._tracers[served.name] = Tracer(served, self._cache, self.uploads)
            return found


def desk(request: Request) -> Desk:
    """The application's desk."""
    found: Desk = request.app.state.trace_desk
    return found


def models(request: Request) -> Models:
    """What the application serves."""
    found: Models = request.app.state.models
    return found


async def tracer(request: Request, model: str) -> Tracer:
    """The tracer of the model in the request's path."""
    return desk(request).tracer(models(request).get(model))


Traced = Annotated[Tracer, Depends(tracer)]
