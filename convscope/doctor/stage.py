"""A run folder in, its stage out: finished, at work or broken off."""

from pathlib import Path
from typing import Literal

from convscope.data.lock import locked
from convscope.runs.artifacts import MANIFEST
from convscope.runs.claim import LOCK

Stage = Literal["finished", "at work", "broken off"]

AGAIN = "Copy the run again, or train again."


def stage_of(folder: Path) -> Stage:
    """Whether the run in `folder` has all its files, is being trained by a process right now, or neither."""
    if (folder / MANIFEST).exists():  # it is written last
        return "finished"
    try:
        if (folder / LOCK).exists():  # else nobody holds it, and to look must not make one
            with locked(folder / LOCK, wait=False):
                pass
    except BlockingIOError:
        return "at work"
    except OSError:  # another user's: only they can tell
        pass
    return "broken off"
