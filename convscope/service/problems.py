"""What a client did wrong, or what could not be done for it: a status, a code for a program, a line for a person."""


class Problem(Exception):  # noqa: N818  # as in RFC 9457; what it says goes to the client
    """A request that ends without its answer."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
