"""A request in, the tracer of the model that it names out; and what all tracers of an application share."""

import threading
from collections import OrderedDict

from fastapi import Request

from convscope.service.models import Models, Served
from convscope.service.trace.cache import Cache
from convscope.service.trace.tracer import Tracer
from convscope.service.trace.uploads import Uploads

MEMORY = 256 * 2**20  # bytes of passes, gradients and maps, of all models together
MOST = 8  # tracers, each with the pictures of its gallery

_LOCK = threading.Lock()


class Desk:
    """The tracers of one application, made when a model is first asked about; safe for threads."""

    def __init__(self) -> None:
        self.uploads = Uploads()
        self._cache = Cache(MEMORY)
        self._tracers: OrderedDict[str, Tracer] = OrderedDict()
        self._lock = threading.Lock()

    def tracer(self, served: Served) -> Tracer:
        """The tracer of these weights under this name; the one used longest ago goes where there are too many."""
        key = f"{served.sha256} {served.name}"
        with self._lock:
            if key not in self._tracers:
                self._tracers[key] = Tracer(served, self._cache, self.uploads)
            self._tracers.move_to_end(key)
            while len(self._tracers) > MOST:
                self._tracers.popitem(last=False)
            return self._tracers[key]


def desk(request: Request) -> Desk:
    """The application's desk."""
    state = request.app.state
    with _LOCK:
        if not hasattr(state, "trace_desk"):
            state.trace_desk = Desk()
        found: Desk = state.trace_desk
    return found


def models(request: Request) -> Models:
    """What the application serves."""
    found: Models = request.app.state.models
    return found


def tracer(request: Request, model: str) -> Tracer:
    """The tracer of the model in the request's path."""
    return desk(request).tracer(models(request).get(model))
