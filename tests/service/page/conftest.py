"""What the page's tests share: networks behind the real application, a real browser, and what PyTorch computes."""

from collections.abc import Iterator, Mapping

import pytest
from playwright.sync_api import Browser

from convscope import train
from convscope.runs import Run, load_run
from convscope.service.models import Models, Served
from convscope.service.settings import Settings
from tests.service.conftest import Here
from tests.service.page.keyboard import Keyboard
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


@pytest.fixture
def reader(browser: Browser, site: str) -> Iterator[Reader]:
    """Someone at the page of the digits network."""
    someone = Reader(browser, site)
    yield someone
    someone.end()


@pytest.fixture(scope="module")
def keys(browser: Browser, site: str) -> Iterator[Keyboard]:
    """Someone without a mouse, on one page for all tests of a file: each goes to its place by a link."""
    someone = Keyboard(browser, site)
    yield someone.go()
    someone.end()


@pytest.fixture
def walk(reader: Reader, site: str) -> Walk:
    """The same one, going from number to number."""
    reader.go()
    return Walk(reader.page, site)
