"""A folder in, the sole right to train in it out: new, or taken up again where a run broke off."""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from convscope.config import RunConfig
from convscope.data.lock import locked
from convscope.errors import UsageError
from convscope.runs.artifacts import CONFIG, write_file

LOCK = ".lock"
LEFT = re.compile(r"\.lock|\..+\.tmp")  # what a killed training may leave before its first file


def free_folder(out: str | Path | None, config: RunConfig) -> Path:
    """The folder for a new run; UsageError if something already stands there."""
    recipe = re.sub(r"[^\w.-]+", "-", config.recipe).strip(".-")
    folder = Path(out) if out else Path("runs") / f"{recipe}-{datetime.now():%Y%m%d-%H%M%S}"
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; choose another --out")
    if (folder / CONFIG).exists():
        raise UsageError(f"{folder} holds a run; go on with it by --resume {folder}, or choose another --out")
    if folder.is_dir() and any(not LEFT.fullmatch(path.name) for path in folder.iterdir()):
        raise UsageError(f"{folder} is not empty; choose another --out, or remove it")
    return folder


@contextmanager
def claimed(folder: Path, config: RunConfig) -> Iterator[None]:
    """Make `folder` this new run's own by writing `config.yaml` into it, and hold it.

    Raises:
        UsageError: another training was quicker, or nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write into {folder}: {error.strerror}; choose another --out") from None
    with held(folder, "or choose another --out"):
        if (folder / CONFIG).exists():
            raise UsageError(f"{folder} has just been taken by another training; choose another --out")
        write_file(folder / CONFIG, config.as_yaml())
        yield


@contextmanager
def held(folder: Path, otherwise: str) -> Iterator[None]:
    """Keep other trainings out of a run folder, whose lock says meanwhile which process this is.

    Raises:
        UsageError: another is at work in it (named, so that one can wait for it, `otherwise`), or it is not writable.
    """
    lock = folder / LOCK
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(lock, wait=False))
        except BlockingIOError:
            raise UsageError(
                f"{folder} is in use by another training{_holder(lock)}; wait until it ends, {otherwise}"
            ) from None
        except OSError as error:
            raise UsageError(
                f"cannot write into {folder}: {error.strerror}; allow it, or take another folder"
            ) from None
        with suppress(OSError):  # Windows lets nobody write what is locked; the lock holds without it
            lock.write_text(str(os.getpid()), encoding="ascii")
        for half_written in folder.rglob(".*.tmp"):  # by a process that was killed while it wrote
            half_written.unlink(missing_ok=True)
        yield


def _holder(lock: Path) -> str:
    """The process that holds a lock, in brackets, if it has written down which."""
    try:
        number = lock.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
    return f" (process {number})" if number.isdecimal() else ""
