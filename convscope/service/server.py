"""Settings in; the service runs on its address until a signal ends it."""

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from types import FrameType

import uvicorn
from fastapi import FastAPI

from convscope.errors import ConvscopeError
from convscope.service.app import create_app
from convscope.service.fresh import Freshness
from convscope.service.logs import log, start_logging
from convscope.service.models import Models, find_sources
from convscope.service.problems import Problem
from convscope.service.protocol import protocol
from convscope.service.settings import Settings

DEFAULT_RUN = "cifar10-94"
KEEP_ALIVE = 5  # seconds that a connection may idle between two requests


class Server(uvicorn.Server):
    """uvicorn's, whose application hears of the end at once."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Refuse what is new from here on; what is in flight is answered."""
        self.config.loaded_app.state.stopping = True
        log(logging.INFO, "stopping", signal=signal.Signals(sig).name)
        super().handle_exit(sig, frame)


def serve(settings: Settings, listens: Callable[[str], None] = lambda _: None) -> None:
    """Answer until SIGTERM or Ctrl-C, which is then raised again, for whoever started this.

    Args:
        listens: told the address once it is listened on.

    Raises:
        ConvscopeError: no such run, or the address cannot be listened on.
        UsageError: the keys cannot be used, or two runs have one name.
    """
    sources = find_sources(settings.runs or (DEFAULT_RUN,))
    models = Models(names=tuple(sources))
    freshness = Freshness(models, sources, settings.batch)
    app = create_app(settings, models, lambda _: _kept_fresh(freshness, settings.watch))
    with listening(settings.host, settings.port) as listener:
        start_logging(settings.log_level)
        log(logging.INFO, "listening", url=url_of(listener))
        listens(url_of(listener))
        server_of(app, settings).run([listener])


def server_of(app: FastAPI, settings: Settings) -> Server:
    """A server for the application, with the limits that only a server can keep."""

    def noted(problem: Problem, request_id: str) -> None:
        app.state.work.metrics.refused(problem.status)
        log(logging.INFO, "refused", request_id=request_id, status=problem.status, code=problem.code)

    return Server(
        uvicorn.Config(
            app,
            http=protocol(settings.header_timeout, settings.write_timeout, settings.connections, noted),
            ws="none",
            log_config=None,
            access_log=False,  # the envelope's line says more
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=max(1, round(settings.grace)),
        )
    )


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise ConvscopeError(f"cannot listen on {host}:{port} ({error.strerror}); give another --port") from None


def url_of(listener: socket.socket) -> str:
    """What to open in a browser."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


@asynccontextmanager
async def _kept_fresh(freshness: Freshness, watch: bool) -> AsyncIterator[None]:
    """Inside, models are loaded, at once and whenever SIGHUP or, with `watch`, a checkpoint says so."""
    loop = asyncio.get_running_loop()
    tasks = {loop.create_task(freshness.load_all())}
    if watch:
        tasks.add(loop.create_task(freshness.watch()))

    def reload() -> None:
        task = loop.create_task(freshness.load_all())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    if hasattr(signal, "SIGHUP"):
        loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        yield
    finally:
        for task in tasks.copy():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
