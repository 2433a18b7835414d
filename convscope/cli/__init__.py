"""The command line: parse, call one function, print. Nothing heavy is imported until a command needs it."""

import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper

from typer import Exit, TyperException

from convscope.cli.app import app
from convscope.errors import ConvscopeError

INTERRUPTED = 128 + signal.SIGINT  # as shells count


@contextmanager
def sigterm_unwinds() -> Iterator[None]:
    """Inside, SIGTERM ends the program as an exception does, so that nothing half-written stays behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(signum: int, _: object) -> None:
        print("convscope: terminated", file=sys.stderr)
        raise SystemExit(128 + signum)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. An error is one line on standard error, exit 1 or 2."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a class name that the terminal cannot write must not end a training
    try:
        with sigterm_unwinds():
            result = app([a for a in arguments if a != "--debug"] or ["--help"], "convscope", standalone_mode=False)
        if result == INTERRUPTED:  # Ctrl-C
            print("convscope: interrupted", file=sys.stderr)
        return result if isinstance(result, int) else 0
    except Exit as leaving:
        return leaving.exit_code
    except TyperException as error:
        message = " ".join(error.format_message().split()).replace("Value error, ", "").rstrip(".")
        print(f"convscope: {message}; see `convscope --help`", file=sys.stderr)
        return error.exit_code
    except ConvscopeError as error:
        if debug:
            traceback.print_exc()
        print(f"convscope: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # the reader of our output (head, say) has gone
        sys.stderr.close()
        return 1
    except Exception as error:  # whatever it is, the user gets one line; --debug shows where
        if debug:
            raise
        line = f"{type(error).__name__}: {error}".splitlines()[0]
        print(f"convscope: unexpected {line}; run again with --debug and report it", file=sys.stderr)
        return 1
