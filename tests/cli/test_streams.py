"""A full standard output is told from a full disk, a full standard error is no error; a real full device."""

import os
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TextIO

import pytest

from convscope.cli.streams import OutputError, discard, guarded_streams

FULL = Path("/dev/full")


@pytest.fixture
def full() -> Iterator[TextIO]:
    """A stream that takes nothing."""
    if not FULL.exists():
        pytest.skip("needs a device that is always full")
    with FULL.open("w", encoding="utf-8") as stream:
        yield stream
        discard(stream)


def test_only_what_is_printed_is_an_error_of_the_output(full: TextIO) -> None:
    with redirect_stdout(full), guarded_streams():
        with pytest.raises(OSError, match="No space left") as of_a_file:  # as of a full disk: it names no file
            os.write(full.fileno(), b"x")
        assert of_a_file.value.filename is None
        with pytest.raises(OutputError) as of_output:
            print("answer", flush=True)
        assert isinstance(of_output.value.__cause__, OSError)
    assert sys.stdout is not full


def test_a_message_that_cannot_be_written_is_lost_and_nothing_else(
    full: TextIO, capsys: pytest.CaptureFixture[str]
) -> None:
    with redirect_stderr(full), guarded_streams():
        print("message", file=sys.stderr, flush=True)
        print("answer")
    full.flush()  # nothing is left that could fail at the end
    assert capsys.readouterr() == ("answer\n", "")
