"""An address and a first byte -> what the server sends from there, or which kind of failure it was."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from urllib import request
from urllib.error import HTTPError, URLError

CHUNK = 2**18
PASSING = {408, 425, 429, 500, 502, 503, 504}  # HTTP statuses that may be gone at the next attempt


class PassingError(Exception):
    """An attempt ended early; the next may go on."""


class RefusedError(Exception):
    """This address will not give the file, however often it is asked."""


@contextmanager
def answer(url: str, start: int, size: int, stall: float) -> Iterator[tuple[int, Iterator[bytes]]]:
    """Ask for a file of `size` bytes from byte `start` on; gives where the answer begins, and its chunks.

    It begins at `start` or, where the server ignores Range or has nothing there, at 0. The chunks come as they
    arrive and end with the file, however long the server says or goes on; or before, if the connection does.

    Args:
        stall: seconds without a byte after which to give up.

    Raises:
        PassingError, RefusedError: also while the chunks are read.
    """
    with _open(url, start, stall) as response:
        begins = _begin(response, start, size)
        yield begins, _received(response, size - begins, stall)


def _open(url: str, start: int, stall: float) -> HTTPResponse:
    """The server's answer to a request for everything from byte `start` on."""
    headers = {"User-Agent": "convscope", **({"Range": f"bytes={start}-"} if start else {})}
    try:
        response: HTTPResponse = _opener().open(request.Request(url, headers=headers), timeout=stall)
        return response
    except HTTPError as error:
        error.close()
        if error.code == 416 and start:  # what was there is not the start of the server's file
            return _open(url, 0, stall)
        problem = _printable(f"HTTP {error.code} {error.reason}")
        raise (PassingError if error.code in PASSING else RefusedError)(problem) from None
    except URLError as error:
        # no such host, nobody there, no answer to the call: to ask again at once would only keep the user waiting
        final = isinstance(
            error.reason, str | socket.gaierror | ConnectionRefusedError | TimeoutError | ssl.SSLCertVerificationError
        )
        raise (RefusedError if final else PassingError)(_reason(error.reason, stall)) from None
    except (OSError, HTTPException) as error:
        raise PassingError(_reason(error, stall)) from None
    except ValueError as error:  # a redirection to what is no address
        raise RefusedError(_reason(error, stall)) from None


def _opener() -> request.OpenerDirector:
    """urllib's own, but for the handlers of ftp:, file: and data:, to which a server could redirect."""
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler,
        request.UnknownHandler,
        request.HTTPHandler,
        request.HTTPSHandler,
        request.HTTPDefaultErrorHandler,
        request.HTTPRedirectHandler,
        request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener


def _begin(response: HTTPResponse, start: int, size: int) -> int:
    """The byte at which an answer begins."""
    if response.status == 200:
        return 0
    if response.status != 206:
        raise RefusedError(f"HTTP {response.status}, expected 200 or 206")
    unit, _, span = response.headers.get("Content-Range", "").partition(" ")
    if unit != "bytes" or span.partition("-")[0] != str(start):
        raise RefusedError(f"asked for the bytes from {start} on, it sends {_printable(span) or 'others'}")
    total = span.partition("/")[2]
    if total not in ("*", str(size)):
        raise RefusedError(f"its file has {_printable(total)} bytes, expected {size}; not the published file")
    return start


def _received(response: HTTPResponse, left: int, stall: float) -> Iterator[bytes]:
    """What the server sends, as it comes, at most `left` bytes of it."""
    try:
        while left > 0 and (chunk := response.read1(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk
    except (OSError, HTTPException) as error:
        raise PassingError(_reason(error, stall)) from None


def _reason(error: BaseException | str, stall: float) -> str:
    """What the network had to say, on one line."""
    if isinstance(error, TimeoutError):
        return f"no byte for {stall:g} s"
    return _printable(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def _printable(text: str) -> str:
    """A server's words, safe to show on a terminal."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))[:200]
