"""A key and how to make its value in; the value out, made once while it is remembered; memory stays bounded."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar


class Sized(Protocol):
    """A value that knows its memory."""

    @property
    def nbytes(self) -> int: ...


Value = TypeVar("Value", bound=Sized)

ENTRY = 16_384  # bytes that an entry takes beside its value: key with its edits, future, objects


class Cache:
    """What was used last stays, up to `max_bytes` in all; safe for threads.

    Each also counts `entry` bytes for its key and what holds it: many small ones would be no small matter.
    Threads that ask for the same key at once wait for one of them to make it. What is larger than everything is
    given and not kept.
    """

    def __init__(self, max_bytes: int, entry: int = ENTRY) -> None:
        self._max_bytes, self._entry = max_bytes, entry
        self._entries: OrderedDict[Hashable, Future[Any]] = OrderedDict()
        self._sizes: dict[Hashable, int] = {}
        self._held = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of `key`, from `make` if it is not remembered; where that raises, so does this."""
        with self._lock:
            entry = self._entries.get(key)
            mine = entry is None
            if entry is None:
                entry = self._entries[key] = Future()
            self._entries.move_to_end(key)
        if mine:
            try:
                value = make()
            except BaseException as error:
                with self._lock:
                    self._entries.pop(key, None)
                entry.set_exception(error)
                raise
            entry.set_result(value)
            self._count(key, value.nbytes + self._entry)
        found: Value = entry.result()
        return found

    def _count(self, key: Hashable, size: int) -> None:
        """Note what a new value takes, and forget the oldest until all fit."""
        with self._lock:
            self._sizes[key] = size
            self._held += size
            finished = (old for old in list(self._entries) if old in self._sizes)  # the one used longest ago first
            while self._held > self._max_bytes:
                old = next(finished)
                self._held -= self._sizes.pop(old)
                del self._entries[old]
