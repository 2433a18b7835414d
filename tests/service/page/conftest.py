"""What the page's tests share: networks behind the real application, a real browser, and what PyTorch computes."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from convscope import train
from convscope.runs import Run, load_run
from convscope.service.models import Models, Served
from convscope.service.settings import Settings
from tests.service.conftest import Here
from tests.service.page.reader import Reader
from tests.service.page.walk import Walk


@pytest.fixture(scope="session")
def runs(digits_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Run]:
    """A TinyResNet and a DeepCNN trained on digits, and the network that comes with convscope."""
    folder = tmp_path_factory.mktemp("page")
    deep = train("digits", out=folder / "deep", model__name="deep-cnn", train__epochs=1)
    return {
        name: load_run(path)
        for name, path in (("digits", digits_run.path), ("deep", deep.path), ("cifar10-94", "cifar10-94"))
    }


@pytest.fixture(scope="session")
def site(runs: Mapping[str, Run]) -> Iterator[str]:
    """The address of a server of the whole application."""
    with Here(
        Settings(), Models([Served(name, f"{n:064x}", run) for n, (name, run) in enumerate(runs.items())])
    ) as here:
        yield str(here.client.base_url)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=Path(chromium), args=["--no-sandbox"])


@pytest.fixture
def walk(browser: Browser, site: str) -> Iterator[Walk]:
    """A page to walk on; whatever went wrong on it fails the test."""
    page = browser.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith((site, "blob:")) else wrong.append(request.url))
    yield Walk(page, site)
    page.close()
    assert not wrong


@pytest.fixture
def reader(browser: Browser, site: str) -> Iterator[Reader]:
    """Someone at the page of the digits network."""
    someone = Reader(browser, site)
    yield someone
    someone.end()
