"""Work shared among threads: nothing is lost, doubled or out of order and BLAS gets its threads back."""

import os
import subprocess
import sys
import threading
import time
from itertools import chain

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from convscope.numpy_nn import Conv2D, workers
from convscope.numpy_nn.workers import pieces, share

MUCH = 10**9  # operations: enough for any number of threads


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_large_enough_for_threads(threads, monkeypatch):
    """Batches that do not divide into blocks, blocks that do not divide over threads."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((37, 16, 9, 11))
    layer = Conv2D(16, 40, (3, 2), padding=1, rng=rng)
    dy = rng.standard_normal((37, 40, 9, 12))
    layer.plain = True
    expected = layer(x), layer.backward(dy), layer.grads["weight"].copy()
    layer.plain = False
    shares = []
    together = workers._together
    monkeypatch.setattr(workers, "_together", lambda *given: shares.append(given[2]) or together(*given))
    with threadpool_limits(threads, user_api="blas"):
        found = layer(x), layer.backward(dy), layer.grads["weight"]
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-10)
        assert workers.blas_threads() == threads  # and BLAS has its own again
    assert shares == ([] if threads == 1 else [min(threads, 4)] * 3)  # what there is to do keeps four busy


@pytest.mark.parametrize(("batch", "block", "threads"), [(10, 3, 3), (7, 7, 2), (1, 4, 2), (0, 4, 2), (900, 1, 4)])
def test_every_block_once(batch, block, threads):
    with threadpool_limits(threads, user_api="blas"):
        parts = share(lambda starts: list(starts), batch, block, MUCH)
    assert sorted(chain(*parts)) == list(range(0, batch, block))
    assert len(parts) <= max(1, threads)


@pytest.mark.parametrize(("batch", "block"), [(10, 3), (7, 7), (0, 4), (900, 1)])
def test_fixed_shares_are_the_same_on_any_number_of_threads(batch, block):
    """Also where a thread is held up with its first one."""

    def work(starts):
        if 0 in starts and batch:
            time.sleep(0.01)
        return list(starts)

    found = []
    for threads in (1, 2, 3):
        with threadpool_limits(threads, user_api="blas"):
            found.append(share(work, batch, block, MUCH, fixed=True))
    assert found[0] == found[1] == found[2]
    assert list(chain(*found[0])) == list(range(0, batch, block))


@pytest.mark.parametrize(("channels", "kernel"), [(8, 3), (80, 3), (16, 1)])
def test_gradients_do_not_depend_on_the_threads(channels, kernel):
    rng = np.random.default_rng(6)
    x, dy = rng.standard_normal((2, 61, channels, 14, 14), dtype=np.float32)
    layer = Conv2D(channels, channels, kernel, padding=kernel // 2, rng=rng)
    found = []
    for threads in (1, 2, 3):
        with threadpool_limits(threads, user_api="blas"):
            found.append((layer(x), layer.backward(dy), layer.grads["weight"]))
    for other in found[1:]:
        for ours, theirs in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_work_within_work_ends():
    """The threads are all taken by the outer work: the inner is done where it is."""
    with threadpool_limits(2, user_api="blas"):
        parts = share(lambda starts: [share(list, 5, 1, MUCH) for _ in starts], 8, 1, MUCH)
    assert list(chain(*parts)) == [[[0, 1, 2, 3, 4]]] * 8


def test_error_handling_of_numpy_holds_in_every_thread():
    both = threading.Barrier(2)  # or one of them might do all the work

    def work(starts):
        both.wait(20)
        return [np.float32(3e38) * np.float32(10) + start for start in (-1, *starts)]

    with threadpool_limits(2, user_api="blas"), np.errstate(over="ignore"):
        parts = share(work, 64, 1, MUCH)
    assert len(parts) == 2
    assert np.isinf(list(chain(*parts))).all()


FORK = """
import os, numpy as np
from convscope.numpy_nn import Conv2D
layer, x = Conv2D(16, 32, 3, padding=1), np.ones((64, 16, 16, 16), np.float32)
before = layer(x)
child = os.fork()
if not child:
    os._exit(0 if (layer(x) == before).all() else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_works():
    environment = os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    script = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK]
    done = subprocess.run(script, capture_output=True, text=True, timeout=60, check=True, env=environment)
    assert done.stdout.strip() == "0"


@pytest.mark.parametrize("batch", [0, 1, 3, 1000])
def test_pieces_come_back_in_their_order(batch):
    x = np.arange(batch * 1000).reshape(batch, 10, 100)
    with threadpool_limits(2, user_api="blas"):
        parts = pieces(lambda here: x[here], x.shape)
    np.testing.assert_array_equal(np.concatenate(parts) if parts else np.empty(x.shape), x)
    assert len(parts) == -(-batch // (workers.PIECE // 1000))


@pytest.mark.parametrize(("rows", "threads"), [(0, 2), (1, 2), (7, 3), (300, 2)])
def test_product(rows, threads):
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((rows, 200)), rng.standard_normal((90, 200)).T
    with threadpool_limits(threads, user_api="blas"):
        np.testing.assert_allclose(workers.product(a, b), a @ b, rtol=1e-12, atol=1e-12)


def test_a_product_warns_of_nothing():  # OpenBLAS's flag is raised over finite numbers too; the result says NaN
    assert np.isnan(workers.product(np.array([[np.inf, 1.0]]), np.array([[0.0], [1.0]]))).all()


def test_who_is_free_takes_the_next_block():
    """One thread is held up with its first block until the other has done all the rest."""
    done = []

    def work(starts):
        mine = []
        for start in starts:
            if start == 0:
                deadline = time.monotonic() + 20
                while len(done) < 9 and time.monotonic() < deadline:
                    time.sleep(0.001)
            done.append(start)
            mine.append(start)
        return mine

    with threadpool_limits(2, user_api="blas"):
        parts = share(work, 10, 1, MUCH)
    assert sorted(parts, key=len) == [[0], list(range(1, 10))]


def test_an_error_in_a_thread_comes_out_and_blas_gets_its_threads_back():
    def work(starts):
        raise MemoryError("no room")

    with threadpool_limits(2, user_api="blas"):
        with pytest.raises(MemoryError, match="no room"):
            share(work, 100, 1, MUCH)
        assert workers.blas_threads() == 2


OVERLAP = """
import threading
from convscope.numpy_nn import workers

def call(inside, leave):
    def work(starts):
        inside.set()
        assert leave.wait(30)
        print(workers.blas_threads())
    workers.share(work, 1, 1, 1)

print(workers.blas_threads())
events = [threading.Event() for _ in range(4)]
callers = [threading.Thread(target=call, args=pair) for pair in (events[:2], events[2:])]
for caller, inside in zip(callers, events[::2]):
    caller.start()
    assert inside.wait(30)
events[1].set()  # the first is done, while the second is at work
callers[0].join(0.3)
print(callers[0].is_alive())
events[3].set()
for caller in callers:
    caller.join()
workers.share(lambda starts: print(workers.blas_threads()), 1, 1, 1)
print(workers.blas_threads())
"""


def test_callers_that_overlap_leave_blas_as_it_was():
    """Neither may take the other's limit for what was there before; in a process of its own, with two threads."""
    environment = os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    script = [sys.executable, "-c", OVERLAP]
    done = subprocess.run(script, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["2", "1", "True", "1", "1", "2"], (
        "the first waits, or the second would lose its limit"
    )


FOUR = """
import threading
import numpy as np
from convscope.numpy_nn import Conv2D

rng = np.random.default_rng(0)
layers = [Conv2D(64, 120, 3, padding=1, rng=rng) for _ in range(4)]
inputs = [rng.standard_normal((9, 64, 11, 10)) for _ in layers]
alone = [layer(x) for layer, x in zip(layers, inputs, strict=True)]
together = [None] * 4

def call(k):
    for _ in range(20):
        together[k] = layers[k](inputs[k])

callers = [threading.Thread(target=call, args=(k,)) for k in range(4)]
for caller in callers:
    caller.start()
for caller in callers:
    caller.join()
print(*(np.array_equal(found, expected) for expected, found in zip(alone, together, strict=True)))
"""


def test_four_callers_get_the_answers_of_one():
    """To the last bit; in a process of its own, where nobody else controls BLAS, with two threads."""
    environment = os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    script = [sys.executable, "-c", FOUR]
    done = subprocess.run(script, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["True"] * 4
