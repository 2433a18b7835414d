"""The command `convscope serve`: runs in, an HTTP service out."""

from pathlib import Path
from typing import Annotated, Any

import typer

from convscope.errors import ConvscopeError
from convscope.service.defaults import SETTINGS


def option(name: str) -> Any:
    """The flag of a setting: its meaning, and its default, which a `CONVSCOPE_` variable may replace."""
    default, meaning = SETTINGS[name]
    is_switch = isinstance(default, bool)
    shown = False if default is None or is_switch else str(default)
    names = [f"--{name.replace('_', '-')}"] if is_switch else []
    return typer.Option(*names, help=meaning, show_default=shown)


def serve(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN", help=SETTINGS["runs"].meaning, show_default="cifar10-94"),
    ] = None,
    host: Annotated[str | None, option("host")] = None,
    port: Annotated[int | None, option("port")] = None,
    open_: Annotated[bool | None, option("open")] = None,
    api_key_file: Annotated[Path | None, option("api_key_file")] = None,
    watch: Annotated[bool | None, option("watch")] = None,
    threads: Annotated[int | None, option("threads")] = None,
    batch: Annotated[int | None, option("batch")] = None,
    batch_wait: Annotated[float | None, option("batch_wait")] = None,
    queue: Annotated[int | None, option("queue")] = None,
    explain_queue: Annotated[int | None, option("explain_queue")] = None,
    images: Annotated[int | None, option("images")] = None,
    explain_images: Annotated[int | None, option("explain_images")] = None,
    timeout: Annotated[float | None, option("timeout")] = None,
    explain_timeout: Annotated[float | None, option("explain_timeout")] = None,
    body: Annotated[float | None, option("body")] = None,
    bodies: Annotated[float | None, option("bodies")] = None,
    pixels: Annotated[int | None, option("pixels")] = None,
    header_timeout: Annotated[float | None, option("header_timeout")] = None,
    body_timeout: Annotated[float | None, option("body_timeout")] = None,
    write_timeout: Annotated[float | None, option("write_timeout")] = None,
    connections: Annotated[int | None, option("connections")] = None,
    grace: Annotated[float | None, option("grace")] = None,
    log_level: Annotated[str | None, option("log_level")] = None,
) -> None:
    """Put networks behind HTTP: a page that opens them up, predict, explain, metrics.

    Every setting is a CONVSCOPE_ variable too (CONVSCOPE_PORT), which its flag beats; CONVSCOPE_API_KEY is one only.
    Logs are JSON on standard error. SIGTERM answers what is in flight and exits 143; SIGHUP loads checkpoints anew.
    """
    flags = {name.rstrip("_"): value for name, value in locals().items()}
    try:
        from convscope.service.server import serve
        from convscope.service.settings import load_settings
    except ModuleNotFoundError as error:
        if str(error.name).startswith("convscope"):
            raise
        raise ConvscopeError(f"`serve` needs {error.name}: pip install 'convscope[serve]'") from None
    settings = load_settings({**flags, "runs": runs or None})
    serve(settings, lambda url: print(f"open {url} in a browser; Ctrl-C ends it", flush=True))
