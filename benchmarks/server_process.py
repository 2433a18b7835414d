"""A command that serves in; its process, its address and what it holds of the machine out. On Linux."""

import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Self

START = 120.0  # seconds to be ready in


class ServerProcess:
    """A server in a process of its own, ready on entering the ``with`` block and ended on leaving it.

    Args:
        command: with `{port}` in it.
        ready: the path that answers with less than 500 once the server is ready.
    """

    def __init__(self, command: Sequence[str], ready: str) -> None:
        self.command, self.ready = command, ready

    def __enter__(self) -> Self:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        words = [word.format(port=port) for word in self.command]
        self.process = subprocess.Popen(words, stdout=self._log, stderr=subprocess.STDOUT)
        try:
            self._wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()

    @property
    def log(self) -> str:
        """All that it has said so far."""
        self._log.seek(0)
        return self._log.read()

    def memory(self) -> float:
        """MiB that are its own now."""
        return self._status("VmRSS:") / 1024

    def peak(self) -> float:
        """MiB at most, since `forget_peak`."""
        return self._status("VmHWM:") / 1024

    def forget_peak(self) -> None:
        """Let `peak` count from here on."""
        self._folder.joinpath("clear_refs").write_text("5", encoding="utf-8")

    def threads(self) -> int:
        """How many there are."""
        return self._status("Threads:")

    def descriptors(self) -> int:
        """How many files and sockets are open."""
        return len(list(self._folder.joinpath("fd").iterdir()))

    @property
    def _folder(self) -> Path:
        return Path("/proc", str(self.process.pid))

    def _status(self, field: str) -> int:
        text = self._folder.joinpath("status").read_text(encoding="utf-8")
        return int(text.partition(field)[2].split()[0])

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + START
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.command} ended with {self.process.returncode}: {self.log[-2000:]}")
            try:
                urllib.request.urlopen(self.url + self.ready, timeout=5).close()
                return
            except urllib.error.HTTPError as error:
                error.close()
                if error.code < 500:
                    return
            except OSError:  # nobody listens yet
                pass
            time.sleep(0.1)
        raise RuntimeError(f"{self.command} was not ready within {START:g} s: {self.log[-2000:]}")


def free_port() -> int:
    """One that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
