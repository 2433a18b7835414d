"""Who may ask: keys from a variable or a file, and addresses that need one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from convscope.errors import UsageError
from convscope.service.gate import read_keys
from convscope.service.settings import Settings
from tests.service.pictures import encoded, files, noise

Start = Callable[..., Any]  # as in conftest
Cli = Callable[..., tuple[int, str, str]]


def test_a_key_opens_what_is_locked(start: Start, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("first-key\n\n  second-key\n")
    client = start(api_key="third-key", api_key_file=keys).client
    sent = files(encoded(noise()))
    for key in ("first-key", "second-key", "third-key"):
        assert client.post("/v1/predict", files=sent, headers={"X-API-Key": key}).status_code == 200
    for headers in ({}, {"X-API-Key": "first-ke"}, {"X-API-Key": "first-key\tsecond-key"}, {"X-API-Key": "é"}):
        refused = client.post("/v1/predict", files=sent, headers={k: v.encode() for k, v in headers.items()})
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "no_key")
    for path in ("/v1/models", "/metrics", "/v1/trace/models", "/nowhere", "/static/../metrics"):
        assert client.get(path).status_code == 401
    for path in ("/health/live", "/health/ready", "/docs", "/openapi.json", "/static/docs/start.js"):
        assert client.get(path).status_code == 200
    schemes = client.get("/openapi.json").json()["components"]["securitySchemes"]
    assert [scheme["name"] for scheme in schemes.values()] == ["X-API-Key"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"api_key": ""}, "CONVSCOPE_API_KEY is empty"),
        ({"api_key_file": "no-such-file"}, "cannot be read"),
        ({"api_key_file": "empty"}, "has no key in it"),
        ({"api_key_file": "commented"}, "API key 2 of 2 has blanks in it"),
        ({"api_key": "schlüssel"}, "more than ASCII"),
    ],
)
def test_keys_that_cannot_be_used_are_told(settings: dict[str, str], message: str, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n \n")
    (tmp_path / "commented").write_text("first-key\n# second-key of Anna\n")
    given: Any = {k: tmp_path / v if k == "api_key_file" else v for k, v in settings.items()}
    with pytest.raises(UsageError, match=message):
        read_keys(Settings(**given))


def test_keys_are_not_in_what_settings_show() -> None:
    assert "secret-one" not in repr(Settings(api_key="secret-one"))  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_an_address_that_others_reach_needs_a_key(cli: Cli, host: str) -> None:
    code, out, err = cli("serve", "--host", host)
    assert (code, out) == (2, "")
    assert err == (
        f"convscope: {host} can be reached from other machines: set CONVSCOPE_API_KEY or --api-key-file, "
        "or say --open if anybody may ask\n"
    )


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *((host, 200) for host in ("localhost", "localhost:8000", "[::1]:80", "127.0.0.9")),
        *((host, 403) for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "[")),
    ],
)
def test_without_keys_only_this_machine_is_asked(start: Start, host: str, status: int) -> None:
    client = start().client
    for path in ("/v1/models", "/", "/health/live"):
        assert client.get(path, headers={"Host": host}).status_code == status, path


def test_with_keys_or_openly_any_host_is_answered(start: Start) -> None:
    for settings in ({"api_key": "a-key"}, {"open": True}):
        answer = start(**settings).client.get("/v1/models", headers={"Host": "birds.example", "X-API-Key": "a-key"})
        assert answer.status_code == 200
