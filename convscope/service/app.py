"""Settings and models in, the whole application out: routes, and around them limits, the gate and the envelope."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

from fastapi import FastAPI, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import APIKeyHeader
from starlette.exceptions import HTTPException

from convscope import __version__
from convscope.service import health, pages, routes
from convscope.service.envelope import Envelope
from convscope.service.gate import HEADER, Gate, read_keys
from convscope.service.limits import MEGABYTE, BodyLimits
from convscope.service.lingering import Lingering
from convscope.service.models import Models
from convscope.service.openapi import describe_settings
from convscope.service.problems import Problem, of_status
from convscope.service.settings import Settings, is_loopback
from convscope.service.trace import routes as trace
from convscope.service.trace.desk import Desk
from convscope.service.trace.turns import Turns
from convscope.service.work import Work

Around = Callable[[FastAPI], AbstractAsyncContextManager[Any]]


def create_app(settings: Settings, models: Models, around: Around | None = None) -> FastAPI:
    """The application, to be run by an ASGI server in one process.

    Args:
        around: what else runs while it does, loading models for example.

    Raises:
        UsageError: the file with the keys cannot be used.
    """
    keys = read_keys(settings)
    work = Work(settings, models)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with work.running():
            try:
                async with around(app) if around else nullcontext():
                    yield
            finally:
                app.state.trace_turns.close()

    app = FastAPI(
        title="convscope",
        description="A trained convolutional network: what it sees in a picture, and where.",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own page loads its parts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={HTTPException: _refuse, RequestValidationError: _refuse_parameters},
    )
    app.state.models, app.state.work, app.state.stopping = models, work, False
    app.state.trace_desk, app.state.trace_turns = Desk(settings.pixels), Turns(seconds=settings.explain_timeout)
    locked = [Security(APIKeyHeader(name=HEADER, auto_error=False))] if keys else []  # for the description: Gate checks
    app.include_router(routes.router, dependencies=locked)
    app.include_router(health.router)
    app.include_router(trace.router, dependencies=locked)
    pages.mount(app)
    describe_settings(app, models.names, {"/v1/predict": settings.images, "/v1/explain": settings.explain_images})
    app.add_middleware(  # the last one added is the first to see a request
        BodyLimits,
        body=int(settings.body * MEGABYTE),
        bodies=int(settings.bodies * MEGABYTE),
        seconds=settings.body_timeout,
    )
    app.add_middleware(Gate, keys=keys, at_home=is_loopback(settings.host) and not settings.open)
    app.add_middleware(Envelope, metrics=work.metrics)
    app.add_middleware(Lingering)
    return app


async def _refuse(_: Request, error: Exception) -> Any:
    """What the framework refuses, as a Problem."""
    assert isinstance(error, HTTPException)
    raise of_status(error.status_code, str(error.detail), error.headers)


async def _refuse_parameters(_: Request, error: Exception) -> Any:
    """The first parameter that is wrong, as a Problem."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    raise Problem(422, "invalid_request", f"{' '.join(map(str, first['loc']))}: {first['msg']}")
