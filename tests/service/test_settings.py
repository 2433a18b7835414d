"""A flag beats its variable, that beats the default; every setting has both, and docs of its own."""

import inspect
from collections.abc import Callable

import pytest

from convscope.cli.serve import serve
from convscope.errors import UsageError
from convscope.service.defaults import SETTINGS
from convscope.service.settings import Settings, is_loopback, load_settings

Cli = Callable[..., tuple[int, str, str]]


def test_a_flag_beats_its_variable_and_that_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings({}).port == SETTINGS["port"].default == 8000
    monkeypatch.setenv("CONVSCOPE_PORT", "9001")
    assert load_settings({"port": None}).port == 9001
    assert load_settings({"port": 9002}).port == 9002


def test_a_variable_names_several_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVSCOPE_RUNS", "runs/a, cifar10-94")
    assert load_settings({}).runs == ("runs/a", "cifar10-94")


def test_every_setting_is_a_flag_but_the_key() -> None:
    flags = {name.rstrip("_") for name in inspect.signature(serve).parameters}
    assert flags == set(Settings.model_fields) - {"api_key"}
    assert set(Settings.model_fields) == set(SETTINGS)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("CONVSCOPE_PORT", "99999", "--port or CONVSCOPE_PORT: Input should be less than or equal to 65535"),
        ("CONVSCOPE_BODY_TIMEOUT", "soon", "--body-timeout or CONVSCOPE_BODY_TIMEOUT: Input should be a valid number"),
        ("CONVSCOPE_LOG_LEVEL", "loud", "--log-level or CONVSCOPE_LOG_LEVEL: Input should be 'debug', 'info'"),
    ],
)
def test_a_wrong_value_is_told_by_flag_and_variable(
    monkeypatch: pytest.MonkeyPatch, cli: Cli, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError) as error:
        load_settings({})
    assert str(error.value).startswith(message)
    assert cli("serve")[0] == 2


@pytest.mark.parametrize(("host", "loopback"), [("localhost", True), ("::1", True), ("127.8.0.1", True), ("::", False)])
def test_loopback_is_known(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
