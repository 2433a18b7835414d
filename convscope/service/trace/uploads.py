"""Pictures that visitors sent in, as each model takes them; out they come by reference, while they are remembered."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from convscope.runs import Run
from convscope.service.problems import Problem

MOST = 64


class Uploads:
    """The last pictures uploaded, by the hash of their files; safe for threads.

    Of a file only what the models make of it is kept, a few kilobytes each; the one used longest ago is forgotten.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: OrderedDict[str, Mapping[str, NDArray[np.uint8]]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, content: bytes, prepared: Mapping[str, NDArray[np.uint8]]) -> str:
        """Remember what the models make of a file, by `way_of` them; its reference, `up:hash`."""
        ref = f"up:{hashlib.sha256(content).hexdigest()[:16]}"
        with self._lock:
            self._kept[ref] = {**self._kept.get(ref, {}), **prepared}
            self._kept.move_to_end(ref)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return ref

    def get(self, ref: str, run: Run) -> NDArray[np.uint8]:
        """The picture as a run takes it, (C, H, W); a 404 where it is no longer remembered."""
        with self._lock:
            found = self._kept.get(ref, {}).get(way_of(run))
            if found is None:
                raise Problem(
                    404, "forgotten", f"picture {ref} is not in memory (the last {self._most} are); upload it again"
                )
            self._kept.move_to_end(ref)
            return found


def way_of(run: Run) -> str:
    """How a run prepares a picture: what two runs with equal ways make of a file is equal."""
    return repr(sorted(run.checkpoint["picture"].items()))
