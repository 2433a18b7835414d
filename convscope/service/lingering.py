"""A refusal that is sent before its request has come in full: it reaches the client all the same."""

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECONDS = 1.0  # in which a client may notice; what it sends meanwhile is read and dropped


class Lingering:
    """Closes a connection only after what the client was still sending, or it would see a reset and no answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI wants it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        more = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"

        async def receive_noting() -> Message:
            nonlocal more
            message = await receive()
            more = more and message.get("more_body", False)
            return message

        async def send_then_drop(message: Message) -> None:
            if not more:
                await send(message)
            elif message["type"] == "http.response.start":
                await send({**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]})
            elif message.get("more_body", False):
                await send(message)
            else:
                await send({**message, "more_body": True})
                try:
                    async with asyncio.timeout(SECONDS):
                        while more:
                            await receive_noting()
                except TimeoutError:
                    pass
                await send({"type": "http.response.body", "body": b""})

        await self.app(scope, receive_noting, send_then_drop)
