"""Bodies in, the same out while they are small and quick enough, each and all together."""

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from convscope.service.problems import Problem, busy

MEGABYTE = 1_000_000


class BodyLimits:
    """Counts what comes in, chunked or not, before anything parses it.

    Args:
        body: bytes of one body; a 413 beyond.
        bodies: bytes of all bodies whose requests are not answered; a 429 beyond.
        seconds: from the headers to the end of the body; a 408 after.
    """

    def __init__(self, app: ASGIApp, body: int, bodies: int, seconds: float) -> None:
        self.app, self.body, self.bodies, self.seconds = app, body, bodies, seconds
        self.held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI wants it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if int(Headers(scope=scope).get("content-length", "0")) > self.body:
            raise self._too_large()
        deadline = asyncio.get_running_loop().time() + self.seconds
        came, more, problem = 0, True, None

        async def receive_counting() -> Message:
            nonlocal came, more, problem
            if not more:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                problem = Problem(408, "body_timeout", f"the body did not come within {self.seconds:g} s")
                raise problem from None
            size = len(message.get("body", b""))
            came, more, self.held = came + size, message.get("more_body", False), self.held + size
            if came > self.body:
                problem = self._too_large()
            elif self.held > self.bodies:
                problem = busy("bytes")
            if problem:
                raise problem
            return message

        async def send_unless_refused(message: Message) -> None:
            if problem:  # which whoever was reading may have taken for a body that cannot be parsed
                raise problem
            await send(message)

        try:
            await self.app(scope, receive_counting, send_unless_refused)
        finally:
            self.held -= came

    def _too_large(self) -> Problem:
        return Problem(413, "body_too_large", f"the body is larger than {self.body / MEGABYTE:g} MB")
