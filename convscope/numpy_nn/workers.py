"""Work on a batch comes in; it is done in blocks of pictures, on all cores.

BLAS and NumPy's own loops release Python's lock, so plain threads do.
"""

import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from functools import cache, reduce
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from convscope.numpy_nn.shapes import Array

Part = TypeVar("Part")
Item = TypeVar("Item")
WORTH_A_THREAD = 4_000_000  # multiply-adds: fewer take less time than a thread takes to begin
PIECE = 1 << 17  # numbers of one piece: fewer, and the threads wait for Python's lock; more, and they leave the cache
SHARES = 8  # of work whose results are added up
ROWS = 32  # of one block of a matrix product
OPERATIONS = 8  # for how many of them a pixel counts in a layer that does a few sums with it


def share(
    work: Callable[[Iterable[int]], Part], batch: int, block: int, operations: int, fixed: bool = False
) -> list[Part]:
    """Call `work` on the first pictures of blocks of `block`, in as many threads as BLAS may use and are worth it.

    Whoever is free takes the next block. With `fixed`, `work` gets a share of the blocks each time it is called; the
    shares follow from their number alone, so that what is added up within them does not depend on the threads. While it
    runs, BLAS itself uses one thread. Returns what the calls returned, with `fixed` in the order of the batch; an error
    in a thread comes out here. Work that shares work itself has it done by its own thread.
    """
    starts = range(0, batch, block)
    shares: list[Iterable[int]] = [starts]
    if fixed and len(starts) > 1:
        count = min(SHARES, len(starts))
        shares = [starts[len(starts) * k // count : len(starts) * (k + 1) // count] for k in range(count)]
    with blas_alone() as allowed:
        threads = min(allowed, len(starts), 1 + operations // WORTH_A_THREAD)
        if threads <= 1 or _here.working:
            return [work(part) for part in shares]
        free = deque(starts)
        return _together(work, shares if fixed else [_taken(free) for _ in range(threads)], threads, free)


def _together(
    work: Callable[[Iterable[int]], Part], shares: list[Iterable[int]], threads: int, free: deque[int]
) -> list[Part]:
    """`work` on every share, each by a thread that has nothing else to do; `free` is what the shares may take from."""
    left = deque(enumerate(shares))
    found: dict[int, Part] = {}

    def take() -> None:
        _here.working = True
        try:
            found.update({number: work(part) for number, part in _taken(left)})
        except BaseException:
            left.clear()  # the others need not go on
            free.clear()
            raise
        finally:
            _here.working = False

    others: list[Future[None]] = []
    try:
        # each in a copy of this context, to which np.errstate belongs
        others.extend(_pool().submit(copy_context().run, take) for _ in range(threads - 1))
        take()  # by this thread too: one that only waits would keep a core from the others
    finally:
        wait(others)  # whatever happens, nobody writes into the caller's arrays afterwards
    for other in others:
        other.result()
    return [found[number] for number in sorted(found)]


def _taken(left: deque[Item]) -> Iterator[Item]:
    """One after the other until none is left, whoever else takes some meanwhile."""
    while True:
        try:
            yield left.popleft()
        except IndexError:
            return


def pieces(work: Callable[[slice], Part], shape: tuple[int, ...]) -> list[Part]:
    """`share` for layers that do a few sums with each number of an array of `shape`, a few pictures at a time.

    `work` gets the places along the first axis; returned is what each call returned, in the order of these places.
    """
    batch, size = shape[0], math.prod(shape)
    block = max(1, PIECE * batch // max(1, size))

    def each(starts: Iterable[int]) -> dict[int, Part]:
        return {start: work(slice(start, start + block)) for start in starts}

    parts = share(each, batch, block, size * OPERATIONS)
    found = {start: result for part in parts for start, result in part.items()}
    return [found[start] for start in sorted(found)]


def product(a: Array, b: Array) -> Array:
    """The matrix product of (M, K) and (K, N), its rows shared among the threads."""
    y = np.empty((len(a), b.shape[1]), a.dtype)

    @np.errstate(invalid="ignore")  # OpenBLAS now and then raises this flag over a few finite numbers
    def work(starts: Iterable[int]) -> None:
        for start in starts:
            np.matmul(a[start : start + ROWS], b, out=y[start : start + ROWS])

    share(work, len(a), ROWS, operations=a.size * b.shape[1])
    return y


def add(parts: list[Array]) -> Array:
    """The sum of what the threads found, in their order: the same in each run."""
    return reduce(np.add, parts)


class _Here(threading.local):
    working = False  # whether this thread is at work for `share`
    limited = False  # whether it is inside `blas_alone`


_here = _Here()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="convscope")


@cache
def _blas() -> Any:
    """Controls the BLAS libraries that are loaded."""
    return ThreadpoolController().select(user_api="blas")


class _Limit:
    """Whether BLAS is limited at this moment, how many threads it had before, and who else relies on it."""

    change = threading.Condition()
    before = 1
    held = ending = False
    others = 0


@contextmanager
def blas_alone() -> Iterator[int]:
    """Inside, BLAS uses one thread; gives how many it had.

    Its own threads go on spinning for some 60 ms after a product that they shared, on the cores that the next layer
    needs: so nothing here leaves even a small product to them.

    Where callers overlap, the first one limits, and restores when the last of the others is done: only the thread that
    set a limit can take it back (threadpoolctl's rule), two of them would each take the other's limit for what was
    there before, and a product that BLAS shares among two threads may add up in another order. Who comes while it waits
    for the others waits for it; so nothing inside may wait for another thread that comes here.
    """
    if _here.working or _here.limited:  # this thread is inside already, for itself or for another
        yield _Limit.before
        return
    with ExitStack() as stack:
        with _Limit.change:
            _Limit.change.wait_for(lambda: not _Limit.ending)
            if _Limit.held:
                _Limit.others += 1
                stack.callback(_leave)
            else:
                _Limit.before = blas_threads()
                stack.callback(_free)
                stack.enter_context(_blas().limit(limits=1))
                stack.callback(_wait_for_others)
                _Limit.held = True
        try:
            _here.limited = True
            yield _Limit.before
        finally:
            _here.limited = False


def _leave() -> None:
    """One of those who rely on another's limit is done."""
    with _Limit.change:
        _Limit.others -= 1
        _Limit.change.notify_all()


def _wait_for_others() -> None:
    """Until nobody relies on this limit any more; nobody new begins to."""
    with _Limit.change:
        _Limit.ending = True
        _Limit.change.wait_for(lambda: not _Limit.others)


def _free() -> None:
    """BLAS is as it was before: the next caller may limit it."""
    with _Limit.change:
        _Limit.held = _Limit.ending = False
        _Limit.change.notify_all()


def blas_threads() -> int:
    """How many threads BLAS uses now, which OMP_NUM_THREADS and threadpoolctl can limit."""
    return max((library.num_threads for library in _blas().lib_controllers), default=os.cpu_count() or 1)


def _after_fork() -> None:
    """A child process has none of its parent's threads, and nobody in it would release their lock."""
    _pool.cache_clear()
    _Limit.change = threading.Condition()
    _Limit.held = _Limit.ending = False
    _Limit.others = 0
    _here.working = _here.limited = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
