"""Ctrl-C and SIGTERM in, a wish to stop out, which the loop grants between two steps; the second one ends at once."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from convscope.errors import StoppedError, WriteError
from convscope.runs.environment import resume_command

STOPPING = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """While entered, the first SIGINT or SIGTERM is kept in `signum`; the next is handled as if this were not there.

    Only the main thread hears signals: entered in another, this changes nothing. A shell without job control starts
    what it puts into the background with SIGINT ignored; a training hears it all the same, since it loses nothing.
    """

    def __init__(self) -> None:
        self.signum = 0
        self._before: dict[int, Callable[..., Any] | int | None] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {signum: signal.signal(signum, self._note) for signum in STOPPING}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, signal.SIG_DFL if handler is None else handler)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.signum = signum
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler in (None, signal.SIG_IGN) else handler)


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Inside, what ends a training from without names the command that goes on.

    That is a second signal, one that comes while the report is written, or a full disk.

    Raises:
        StoppedError: in place of a KeyboardInterrupt, or of the SystemExit by which the command line hears SIGTERM.
        WriteError: as it came, with the command.
    """
    command = resume_command(folder)
    try:
        yield
    except KeyboardInterrupt:
        raise StoppedError(f"interrupted; `{command}` goes on from what was saved last", signal.SIGINT) from None
    except SystemExit as leaving:
        if leaving.code != 128 + signal.SIGTERM:
            raise
        raise StoppedError(f"terminated; `{command}` goes on from what was saved last", signal.SIGTERM) from None
    except WriteError as error:
        raise WriteError(f"{error}; once it can be written, `{command}` goes on") from None
