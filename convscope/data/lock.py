"""A path in, the sole right to what it guards out: other processes wait, a killed holder's right ends with it."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

POLL = 0.1  # seconds between two tries: a blocking call would not hear Ctrl-C on every system

if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: BinaryIO) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

else:
    import fcntl

    def _try_lock(file: BinaryIO) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock file at `path`, waiting for as long as another thread or process does.

    The operating system's own lock on an open file: it ends when its holder ends, however that comes about, so
    a file left behind by a crash locks nobody out. OSError where the file cannot be made or locked;
    BlockingIOError where another holds it and `wait` is False.
    """
    file = _acquire(path, wait)
    try:
        yield
    finally:
        with suppress(OSError):  # Windows keeps a file that is open; left behind, it does no harm
            path.unlink()
        file.close()


def _acquire(path: Path, wait: bool) -> BinaryIO:
    """The lock file, open and locked."""
    while True:
        with ExitStack() as stack:
            file = stack.enter_context(path.open("ab"))
            while not _try_lock(file):
                if not wait:
                    raise BlockingIOError(f"{path} is held by another process")
                time.sleep(POLL)
            if _still_at(path, file):
                stack.pop_all()
                return file


def _still_at(path: Path, file: BinaryIO) -> bool:
    """False where the holder before us removed the file while we waited: others would lock a new one."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
