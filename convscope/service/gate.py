"""Requests in; those with a key, while the service is not about to stop, through."""

import hashlib
import hmac
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from convscope.errors import UsageError
from convscope.service.problems import Problem, stopping
from convscope.service.settings import Settings, is_loopback

HEADER = "X-API-Key"
OPEN = ("/", "/docs", "/openapi.json", "/health/live", "/health/ready")  # what a page or a prober loads without a key
OPEN_FOLDERS = ("/static/", "/docs/")


class Gate:
    """Nothing but pages, their files and health is answered without one of the keys, if there are any.

    Where there are none because only this machine reaches the address (`at_home`), the request must be addressed to it:
    a web site can have its own name resolved to 127.0.0.1 and ask on behalf of whoever looks at it ("DNS rebinding").
    """

    def __init__(self, app: ASGIApp, keys: Sequence[str], at_home: bool) -> None:
        self.app, self._at_home = app, at_home
        self._digests = [_digest(key) for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI wants it."""
        if scope["type"] == "http":
            if scope["app"].state.stopping:
                raise stopping()
            headers, path = Headers(scope=scope), scope["path"]
            if self._at_home and not self._digests and not _is_at_home(headers.get("host", "")):
                raise Problem(403, "other_host", "only localhost is answered without a key; set one, or say --open")
            if self._digests and path not in OPEN and not path.startswith(OPEN_FOLDERS):
                self._check(headers.get(HEADER, ""))
        await self.app(scope, receive, send)

    def _check(self, given: str) -> None:
        """A 401 unless `given` is one of the keys; takes as long whichever it is, or is not."""
        digest = _digest(given)
        alike = [hmac.compare_digest(digest, known) for known in self._digests]  # every one, also after a match
        if not any(alike):
            what = "an unknown key" if given else "no key"
            raise Problem(401, "no_key", f"got {what} in {HEADER}", {"WWW-Authenticate": "ApiKey"})


def read_keys(settings: Settings) -> list[str]:
    """The keys that are accepted; none where nobody asked for keys.

    Raises:
        UsageError: the file cannot be read, or has no key in it.
    """
    keys = [] if settings.api_key is None else [settings.api_key.get_secret_value()]
    if (file := settings.api_key_file) is not None:
        try:
            lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--api-key-file {file} cannot be read ({error})") from None
        if not lines:
            raise UsageError(f"--api-key-file {file} has no key in it; write one a line")
        keys += lines
    if "" in keys:
        raise UsageError("CONVSCOPE_API_KEY is empty; give a key, or unset it")
    for number, key in enumerate(keys, start=1):
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise UsageError(f"API key {number} of {len(keys)} has blanks in it, or more than ASCII; use none")
    return keys


def _is_at_home(host: str) -> bool:
    """Whether a Host header names this machine: localhost or a loopback address, with or without a port."""
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:  # no address at all
        return False


def _digest(key: str) -> bytes:
    """Of one length, so that comparing tells nothing of the key's."""
    return hashlib.sha256(key.encode()).digest()
