"""What a client did wrong, or what could not be done for it: a status, a code for a program, a line for a person."""

from collections.abc import Mapping
from typing import Any

from convscope.errors import ConvscopeError, DataError, UsageError
from convscope.explain.methods import RefusalError

RETRY_AFTER = 1  # seconds; a full queue of predictions is empty again by then
CODES = {404: "not_found", 405: "method_not_allowed"}


class Problem(Exception):  # noqa: N818  # as in RFC 9457; what it says goes to the client
    """A request that ends without its answer."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers = dict(headers or {})
        if status in (429, 503):
            self.headers.setdefault("Retry-After", str(RETRY_AFTER))

    def body(self, request_id: str) -> dict[str, Any]:
        """The JSON that the client gets."""
        return {"error": {"code": self.code, "message": self.message, "request_id": request_id}}


def of_error(error: ConvscopeError) -> Problem:
    """One of convscope's own errors about what a client sent, in its own line."""
    status, code = 422, "invalid_request"
    if isinstance(error, RefusalError):
        status, code = 409, "method_refused"
    elif isinstance(error, UsageError):  # a layer, a class: what was asked is no part of this model
        status, code = 409, "not_in_model"
    elif isinstance(error, DataError):
        code = "bad_picture"
    return Problem(status, code, " ".join(str(error).split()))


def of_status(status: int, message: str, headers: Mapping[str, str] | None = None) -> Problem:
    """What the framework refuses by a status alone."""
    return Problem(status, CODES.get(status, "bad_request"), message, headers)


def busy(what: str) -> Problem:
    """More is waiting than was allowed to."""
    return Problem(429, "busy", f"too many {what} are waiting; try again in {RETRY_AFTER} s")


def gone() -> Problem:
    """Nobody reads this answer; the log does."""
    return Problem(499, "client_gone", "the client closed the connection")


def stopping() -> Problem:
    """The service is about to end."""
    return Problem(503, "stopping", "the service is stopping", {"Connection": "close"})
