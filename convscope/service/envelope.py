"""Every request in, every answer out: with an id, safe headers, one line in the log, and JSON for whatever failed."""

import asyncio
import json
import logging
import re
import time
import uuid
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from convscope.errors import ConvscopeError
from convscope.service.logs import LOG, log
from convscope.service.metrics import Metrics
from convscope.service.problems import Problem, gone, of_error, stopping

ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
PAGE_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"  # what is no page needs nothing
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Envelope:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI wants it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_wrapped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_headers(message, request_id)]
            await send(message)

        try:
            await self.app(scope, receive, send_wrapped)
        except Exception as error:  # whatever it is, the client gets JSON and no traceback
            problem = _problem(error, scope, request_id)
            if status:
                raise  # the answer has begun; the server can only close the connection
            status = problem.status
            await send_problem(send_wrapped, problem, request_id)
        except asyncio.CancelledError:  # the time to be answered after SIGTERM is over
            if not status:
                await send_problem(send_wrapped, stopping(), request_id)
            raise
        finally:
            self._note(scope, request_id, status, time.perf_counter() - started)

    def _note(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        """One request in the metrics and in the log."""
        route = getattr(scope.get("route"), "path", None) or "other"
        self.metrics.answered(route, scope["method"], status, seconds)
        values = {"request_id": request_id, "method": scope["method"], "path": scope["path"][:200], "status": status}
        quiet = route.startswith("/health") or route == "/metrics"
        said = scope["state"].get("said", {})
        log(logging.DEBUG if quiet else logging.INFO, "request", **values, seconds=round(seconds, 4), **said)


async def send_problem(send: Send, problem: Problem, request_id: str) -> None:
    """A problem as the answer to a request."""
    body = json.dumps(problem.body(request_id)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _problem(error: Exception, scope: MutableMapping[str, Any], request_id: str) -> Problem:
    """What the client hears of an exception; what it must not see goes to the log."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, ConvscopeError):
        return of_error(error)
    if isinstance(error, ClientDisconnect):  # in the middle of its body
        return gone()
    LOG.error("failed", exc_info=error, extra={"values": {"request_id": request_id, "path": scope["path"][:200]}})
    return Problem(500, "internal", "something failed here; the log has it under this request id")


def _headers(message: Message, request_id: str) -> list[tuple[bytes, bytes]]:
    """What every answer carries."""
    kinds = [value for name, value in message.get("headers", ()) if name.lower() == b"content-type"]
    policy = PAGE_POLICY if kinds and kinds[0].startswith(b"text/html") else DATA_POLICY
    return [
        *HEADERS,
        (b"content-security-policy", policy.encode()),
        (b"x-request-id", request_id.encode()),
    ]
