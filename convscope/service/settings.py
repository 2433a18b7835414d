"""Flags and `CONVSCOPE_*` variables in, checked settings of the service out; a flag beats its variable."""

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from convscope.errors import UsageError
from convscope.service.defaults import SETTINGS

PREFIX = "CONVSCOPE_"


def setting(name: str, **limits: Any) -> Any:
    """The field of one entry of `SETTINGS`."""
    return Field(SETTINGS[name].default, description=SETTINGS[name].meaning, **limits)


class Settings(BaseSettings):
    """What the service was asked to be; `SETTINGS` says what each means."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    runs: Annotated[tuple[str, ...], NoDecode] = setting("runs")
    host: str = setting("host", min_length=1)
    port: int = setting("port", ge=0, le=65535)
    open: bool = setting("open")
    api_key: SecretStr | None = setting("api_key")
    api_key_file: Path | None = setting("api_key_file")
    watch: bool = setting("watch")
    threads: int = setting("threads", ge=0, le=1024)
    batch: int = setting("batch", ge=1, le=4096)
    batch_wait: float = setting("batch_wait", ge=0, le=1000)
    queue: int = setting("queue", ge=1)
    explain_queue: int = setting("explain_queue", ge=1)
    images: int = setting("images", ge=1)
    explain_images: int = setting("explain_images", ge=1)
    timeout: float = setting("timeout", gt=0)
    explain_timeout: float = setting("explain_timeout", gt=0)
    body: float = setting("body", gt=0)
    bodies: float = setting("bodies", gt=0)
    pixels: int = setting("pixels", ge=16, le=50_000_000)
    header_timeout: float = setting("header_timeout", gt=0)
    body_timeout: float = setting("body_timeout", gt=0)
    write_timeout: float = setting("write_timeout", gt=0)
    connections: int = setting("connections", ge=1)
    grace: float = setting("grace", ge=0)
    log_level: Literal["debug", "info", "warning", "error"] = setting("log_level")

    @field_validator("runs", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """A variable names several runs with commas between."""
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address; a name other than localhost could be anybody's."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load_settings(flags: dict[str, Any]) -> Settings:
    """Settings from flags (None: not given), variables and defaults.

    Raises:
        UsageError: a value is not what its setting takes, or the address asks for a key and there is none.
    """
    try:
        settings = Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = str(first["loc"][0])
        raise UsageError(f"{flag(name)} or {variable(name)}: {first['msg']}") from None
    if not (is_loopback(settings.host) or settings.open or settings.api_key or settings.api_key_file):
        raise UsageError(
            f"{settings.host} can be reached from other machines: set {variable('api_key')} or --api-key-file, "
            f"or say --open if anybody may ask"
        )
    return settings


def flag(name: str) -> str:
    """The flag of a setting."""
    return f"--{name.replace('_', '-')}"


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"{PREFIX}{name.upper()}"
