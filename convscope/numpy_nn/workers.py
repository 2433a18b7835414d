"""Work on a batch comes in; it is done in blocks of pictures, on all cores.

BLAS and NumPy's own loops release Python's lock, so plain threads do.
"""

import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache, reduce
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from convscope.numpy_nn.shapes import Array

Part = TypeVar("Part")
WORTH_A_THREAD = 4_000_000  # multiply-adds: fewer take less time than a thread takes to begin
PIECE = 1 << 17  # numbers of one piece: fewer, and the threads wait for Python's lock; more, and they leave the cache
ROWS = 128  # of one block of a matrix product
OPERATIONS = 8  # for how many of them a pixel counts in a layer that does a few sums with it


def share(
    work: Callable[[Iterable[int]], Part], batch: int, block: int, operations: int, fixed: bool = False
) -> list[Part]:
    """Call `work` on the first pictures of blocks of `block`, in as many threads as BLAS may use and are worth it.

    Whoever is free takes the next block; with `fixed`, each thread gets its share beforehand, so that what it adds up
    is the same in each run. While it runs, BLAS itself uses one thread. Returns what each thread's work returned, with
    `fixed` in the order of the batch; an error in a thread comes out here.
    """
    starts = range(0, batch, block)
    with blas_alone() as allowed:
        threads = max(1, min(allowed, len(starts), 1 + operations // WORTH_A_THREAD))
        if threads == 1:
            return [work(starts)]
        left = deque(starts)
        shares: list[Iterable[int]] = [_taken(left) for _ in range(threads)]
        if fixed:
            shares = [starts[len(starts) * t // threads : len(starts) * (t + 1) // threads] for t in range(threads)]
        pool = _pool(threads - 1)
        others = [pool.submit(work, part) for part in shares[1:]]
        try:
            first = work(shares[0])  # by this thread: one that only waits would keep a core from the others
        finally:
            wait(others)  # whatever happens, nobody writes into the caller's arrays afterwards
        return [first, *(other.result() for other in others)]


def _taken(left: deque[int]) -> Iterator[int]:
    """One block after the other until none is left, whoever else takes some meanwhile."""
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

    def work(starts: Iterable[int]) -> None:
        for start in starts:
            np.matmul(a[start : start + ROWS], b, out=y[start : start + ROWS])

    share(work, len(a), ROWS, operations=a.size * b.shape[1])
    return y


def add(parts: list[Array]) -> Array:
    """The sum of what the threads found, in their order: the same in each run."""
    return reduce(np.add, parts)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="convscope")


@cache
def _blas() -> Any:
    """Controls the BLAS libraries that are loaded."""
    return ThreadpoolController().select(user_api="blas")


class _Limit:
    """Who limits BLAS at this moment, and how many threads it had before."""

    lock = threading.Lock()
    before = 1


@contextmanager
def blas_alone() -> Iterator[int]:
    """Inside, BLAS uses one thread; gives how many it had.

    Its own threads go on spinning for some 60 ms after a product that they shared, on the cores that the next layer
    needs: so nothing here leaves even a small product to them.

    Where callers overlap, the first one limits and restores it: only the thread that set a limit can take it back
    (threadpoolctl's rule), and two of them would each take the other's limit for what was there before.
    """
    if not _Limit.lock.acquire(blocking=False):
        yield _Limit.before
        return
    try:
        _Limit.before = blas_threads()
        with _blas().limit(limits=1):
            yield _Limit.before
    finally:
        _Limit.lock.release()


def blas_threads() -> int:
    """How many threads BLAS uses now, which OMP_NUM_THREADS and threadpoolctl can limit."""
    return max((library.num_threads for library in _blas().lib_controllers), default=os.cpu_count() or 1)
