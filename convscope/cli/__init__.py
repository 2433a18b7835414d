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
from convscope.cli.streams import OutputError, discard, guarded_streams
from convscope.errors import ConvscopeError

INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM  # as shells count


@contextmanager
def sigterm_unwinds() -> Iterator[None]:
    """Inside, SIGTERM ends the program as an exception does, so that nothing half-written stays behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(*_: object) -> None:
        raise SystemExit(TERMINATED)  # which no `except Exception` on the way can swallow

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. An error is one line on standard error, exit 1 or 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a class name that the terminal cannot write must not end a training
    with guarded_streams():
        try:
            code = _run(list(sys.argv[1:] if arguments is None else arguments))
            sys.stdout.flush()  # Python would do it after the end, where an error cannot be told in one line
            return code
        except OutputError as error:
            reason = error.__cause__
            if isinstance(reason, OSError) and not isinstance(reason, BrokenPipeError):
                # a reader (head, say) that has gone wants to hear no more
                print(f"convscope: could not write to standard output: {reason.strerror}", file=sys.stderr)
            discard(sys.stdout)
            return 1


def _run(arguments: list[str]) -> int:
    """As `main`, except that an OutputError is raised."""
    debug = "--debug" in arguments
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
    except SystemExit as leaving:
        if leaving.code == TERMINATED:
            print("convscope: terminated", file=sys.stderr)
        return int(leaving.code or 0)
    except OutputError:
        raise
    except Exception as error:  # whatever it is, the user gets one line; --debug shows where
        if debug:
            raise
        line = f"{type(error).__name__}: {error}".splitlines()[0]
        print(f"convscope: unexpected {line}; run again with --debug and report it", file=sys.stderr)
        return 1
