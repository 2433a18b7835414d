"""Picture files that visitors sent in; out come the pictures that each model makes of them, while remembered."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convscope.pictures import prepare
from convscope.service.problems import Problem
from convscope.service.uploads import FORMATS, MIN_SIDE, refuse_disguised

MOST = 64


class Uploads:
    """The last pictures uploaded, by the hash of their content; safe for threads.

    Of a file only what the models make of it is kept, a few kilobytes each; the one used longest ago is forgotten.
    """

    def __init__(self, max_pixels: int, most: int = MOST) -> None:
        self._max_pixels, self._most = max_pixels, most
        self._kept: OrderedDict[str, dict[str, NDArray[np.uint8]]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, content: bytes, ways: Iterable[Mapping[str, Any]]) -> str:
        """Prepare a file in every way that a served checkpoint's `picture` says; its reference, `up:hash`.

        Raises:
            DataError: it is no picture that the service takes, too large or broken.
        """
        refuse_disguised(content)
        ref = f"up:{hashlib.sha256(content).hexdigest()[:16]}"
        prepared = {
            name: prepare(content, way, self._max_pixels, FORMATS, MIN_SIDE)
            for name, way in {_name(way): way for way in ways}.items()
        }
        with self._lock:
            self._kept[ref] = prepared
            self._kept.move_to_end(ref)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return ref

    def get(self, ref: str, way: Mapping[str, Any]) -> NDArray[np.uint8]:
        """The picture prepared in one of these ways; a 404 where it is no longer remembered."""
        with self._lock:
            found = self._kept.get(ref, {}).get(_name(way))
            if found is None:
                raise Problem(
                    404, "forgotten", f"picture {ref} is not in memory (the last {self._most} are); upload it again"
                )
            self._kept.move_to_end(ref)
            return found


def _name(way: Mapping[str, Any]) -> str:
    return repr(sorted(way.items()))
