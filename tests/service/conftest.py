"""What the service's tests share: a client in this process, and the real program in one of its own."""

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, sync_playwright

from convscope.runs import Run
from convscope.service.app import create_app
from convscope.service.models import Models, Served, load_served
from convscope.service.server import listening, server_of, url_of
from convscope.service.settings import Settings
from tests.service.pictures import encoded, noise


@pytest.fixture(scope="session")
def served(digits_run: Run) -> Served:
    """The digits network, ready."""
    return load_served("digits", digits_run.path)


# a camera that films a test pattern, and nobody who must allow it
ARGUMENTS = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, one for all tests: Playwright cannot be started twice in a thread."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=Path(chromium), args=ARGUMENTS)


class Here:
    """The application behind a real server in a thread of this process, so that a test can look inside."""

    def __init__(self, settings: Settings, models: Models) -> None:
        self.app: FastAPI = create_app(settings, models)
        self.server = server_of(self.app, settings)
        self._listener = listening("127.0.0.1", 0)
        self._thread = threading.Thread(target=self.server.run, args=([self._listener],))
        self.client = httpx.Client(base_url=url_of(self._listener), timeout=60)

    def __enter__(self) -> "Here":
        self._thread.start()
        self.client.get("/health/live")
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.server.should_exit = True
        self._thread.join(60)


@pytest.fixture
def start(served: Served) -> Iterator[Callable[..., Here]]:
    """Starts the application with these settings and the digits network."""
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(Here(Settings(**settings), Models([served])))


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[httpx.Client]:
    """A client of the application with the default settings."""
    with Here(Settings(), Models([served])) as here:
        yield here.client


class Service:
    """`convscope serve` in a process of its own."""

    def __init__(self, arguments: Sequence[object], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "convscope", "serve", "--port", "0", *map(str, arguments)],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        )
        self.lines: list[str] = []
        self._fresh: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.url = str(json.loads(self.wait_for('"listening"'))["url"])
        self.client = httpx.Client(base_url=self.url, timeout=60)

    def wait_for(self, part: str, seconds: float = 60) -> str:
        """The next line on standard error that has `part` in it."""
        end = time.monotonic() + seconds
        while (line := self._fresh.get(timeout=max(0, end - time.monotonic()))) is not None:
            if part in line:
                return line
        raise AssertionError(f"ended without {part}: {self.lines}")

    @property
    def address(self) -> tuple[str, int]:
        """Where a bare socket connects to."""
        url = httpx.URL(self.url)
        return url.host, url.port or 0

    def metric(self, name: str) -> float:
        """A number on /metrics."""
        lines = self.client.get("/metrics").text.splitlines()
        return float(next(line.rpartition(" ")[2] for line in lines if line.startswith(name)))

    def end(self) -> int:
        """The exit code after SIGTERM."""
        self.client.close()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            self._fresh.put(line)
        self._fresh.put(None)


@pytest.fixture(scope="module")
def run_service() -> Iterator[Callable[..., Service]]:
    """Starts a service; what still runs at the end is ended."""
    started: list[Service] = []

    def run(*arguments: object, **environment: str) -> Service:
        started.append(Service(arguments, environment))
        return started[-1]

    yield run
    for service in started:
        service.client.close()
        if service.process.poll() is None:
            service.process.kill()
        service.process.wait()
        assert service.process.stderr is not None
        service.process.stderr.close()


@pytest.fixture
def digit_files(tmp_path: Path) -> list[Path]:
    """Three real digits and a colour picture of another shape, as files."""
    from convscope.data import load

    _, test = load("digits")
    paths = []
    for number, picture in enumerate([*test.images[:3, 0], noise()]):
        paths.append(tmp_path / f"{number}.png")
        paths[-1].write_bytes(encoded(picture))
    return paths
