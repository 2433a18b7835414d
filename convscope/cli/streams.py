"""Standard output and error in, the same out with their failures told from those of files."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, TextIO, cast


class OutputError(Exception):
    """What a command answers cannot be written; its cause is the system's error."""


class Messages:
    """Standard error: that it cannot be written ends nothing, for whom could it be told?"""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """As the stream does."""
        try:
            return self.stream.write(text)
        except OSError as error:
            self.failed(error)
            return len(text)

    def flush(self) -> None:
        """As the stream does."""
        try:
            self.stream.flush()
        except OSError as error:
            self.failed(error)

    def failed(self, error: OSError) -> None:
        """What to do about it."""
        discard(self.stream)


class Output(Messages):
    """Standard output: that it cannot be written is an OutputError."""

    def failed(self, error: OSError) -> None:
        """What to do about it."""
        raise OutputError from error


def discard(stream: TextIO) -> None:
    """Let what a stream still holds go nowhere: Python writes it at the end, and would make it another exit code."""
    with suppress(OSError), Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


@contextmanager
def guarded_streams() -> Iterator[None]:
    """Inside, `sys.stdout` is an Output and `sys.stderr` Messages; one that is closed (`>&-`) takes everything."""
    with ExitStack() as stack:
        # where one is closed, Python has None
        output, messages = (
            stack.enter_context(Path(os.devnull).open("w", encoding="utf-8")) if stream is None else stream
            for stream in (sys.stdout, sys.stderr)
        )
        stack.enter_context(redirect_stdout(cast(TextIO, Output(output))))
        stack.enter_context(redirect_stderr(cast(TextIO, Messages(messages))))
        yield
        sys.stderr.flush()
