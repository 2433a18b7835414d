"""The lock between processes: one holder at a time, also while its file comes and goes."""

import threading
from pathlib import Path

import pytest

from convscope.data.lock import POLL, locked


def test_threads_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(3):
            with locked(path):
                inside += 1
                most = max(most, inside)
                threading.Event().wait(0.01)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (inside, most) == (0, 1)


def test_an_error_inside_gives_the_lock_back(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with pytest.raises(KeyError), locked(path):
        raise KeyError
    with locked(path):
        assert path.exists()


def test_a_file_left_behind_locks_nobody_out(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    path.write_bytes(b"left by a crash")
    with locked(path):
        pass


def test_who_waited_at_a_file_that_is_gone_queues_again(tmp_path: Path) -> None:
    """The holder removes its file; a newcomer then locks a new one, and who waited must not join it inside."""
    fcntl = pytest.importorskip("fcntl")
    path = tmp_path / "x.lock"
    entered = threading.Event()

    def wait() -> None:
        with locked(path):
            entered.set()

    waiting = threading.Thread(target=wait)
    with path.open("ab") as old:
        fcntl.flock(old, fcntl.LOCK_EX)
        waiting.start()
        assert not entered.wait(4 * POLL)  # by now it waits at the old file
        path.unlink()
        with locked(path):
            old.close()
            assert not entered.wait(4 * POLL)
        waiting.join(30)
    assert entered.is_set()
