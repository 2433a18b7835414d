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


class Cache:
    """What was used last stays, up to `max_bytes` in all; safe for threads.

    Threads that ask for the same key at once wait for one of them to make it. What is larger than everything is
    given and not kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Hashable, Future[Any]] = OrderedDict()
        self._sizes: dict[Hashable, int] = {}
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
            self._count(key, value.nbytes)
        found: Value = entry.result()
        return found

    def _count(self, key: Hashable, size: int) -> None:
        """Note what a new value takes, and forget the oldest until all fit."""
        with self._lock:
            self._sizes[key] = size
            for old in list(self._entries):  # the one used longest ago first
                if sum(self._sizes.values()) <= self._max_bytes:
                    break
                if old in self._sizes:  # else it is still being made
                    del self._sizes[old], self._entries[old]
