"""A connection in, requests out, of clients that send their headers and take their answers in time."""

import asyncio
import json
import uuid
from collections.abc import Callable
from typing import Any

from httptools import HttpParserError
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from convscope.service.lingering import SECONDS
from convscope.service.problems import Problem

MAX_HEADERS = 64 * 1024  # bytes from the first of a request to the end of its headers


class Protocol(HttpToolsProtocol):
    """uvicorn's, which waits for headers forever and collects any number of them."""

    seconds = 10.0  # for the headers of one request
    taking = 30.0  # seconds for what waits to be sent
    most = 1024  # connections

    @staticmethod
    def noted(problem: Problem, request_id: str) -> None:
        """Told what is refused here, which the application never sees."""

    _timer: asyncio.TimerHandle | None = None
    _reader: asyncio.TimerHandle | None = None
    _came = 0
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected, if it may."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            self._refuse(Problem(503, "busy", "too many connections are open"))
        else:
            self._start_timer()

    def data_received(self, data: bytes) -> None:
        """Something came: perhaps the first of a request, perhaps the end of its headers."""
        if self._refused:
            return
        if self._timer is None and (self.cycle is None or self.cycle.response_complete):
            self._start_timer()
        super().data_received(data)
        if self._timer is not None:
            self._came += len(data)
            if self._came > MAX_HEADERS:
                self._refuse(_too_large())

    def on_headers_complete(self) -> None:
        """A request has begun."""
        self._stop_timer()
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEADERS:
            self._refuse(_too_large())  # they came with their end, in one read
            raise HttpParserError("headers too large")
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._stop_timer()
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client takes less than it is sent."""
        super().pause_writing()
        self._reader = self.loop.call_later(self.taking, self.transport.abort)

    def resume_writing(self) -> None:
        """It has caught up."""
        super().resume_writing()
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP."""
        self._refuse(Problem(400, "bad_http", "this is not a valid HTTP request"))

    def _start_timer(self) -> None:
        self._came = 0
        self._timer = self.loop.call_later(self.seconds, self._late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._refuse(Problem(408, "header_timeout", f"the headers did not come within {self.seconds:g} s"))

    def _refuse(self, problem: Problem) -> None:
        """Answer without the application, and close."""
        self._stop_timer()
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        request_id = uuid.uuid4().hex
        self.noted(problem, request_id)
        body = json.dumps(problem.body(request_id)).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
        lines = [f"{name}: {value}\r\n".encode() for name, value in (headers | problem.headers).items()]
        self.transport.write(b"".join([STATUS_LINE[problem.status], *lines, b"\r\n", body]))
        self.transport.write_eof()
        self.loop.call_later(SECONDS, self.transport.close)  # at once would be a reset to who is still sending


def _too_large() -> Problem:
    return Problem(431, "headers_too_large", f"the headers are larger than {MAX_HEADERS:,} bytes")


def protocol(seconds: float, taking: float, connections: int, noted: Callable[[Problem, str], None]) -> type[Protocol]:
    """The protocol with these limits, as uvicorn wants it: a class."""
    limits: dict[str, Any] = {"seconds": seconds, "taking": taking, "most": connections, "noted": staticmethod(noted)}
    return type("LimitedProtocol", (Protocol,), limits)
