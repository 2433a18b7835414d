"""The commands of `convscope data`; each parses its arguments, calls one function and prints what it gave."""

from typing import Annotated

import typer

from convscope.cli.options import DataDir, Json
from convscope.registry import DATASETS

Name = Annotated[str, typer.Argument(metavar="NAME", help=f"One of: {', '.join(DATASETS)}.")]

data = typer.Typer(name="data", help="List the data sets, describe or download one.", rich_markup_mode=None)


@data.command("list")
def data_list(data_dir: DataDir = None, json: Json = False) -> None:
    """Every data set by name, and whether it is at hand."""
    from convscope.cli import show
    from convscope.data import available

    show.data_sets(available(data_dir), json)


@data.command("info")
def data_info(name: Name, data_dir: DataDir = None, json: Json = False) -> None:
    """Counts, shape, classes and channel statistics of one data set."""
    from convscope.cli import show
    from convscope.data import load

    show.data_set(name, *load(name, data_dir), json)


@data.command("fetch")
def data_fetch(
    name: Name,
    mirror: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Download from here instead of the official hosts.", show_default="CONVSCOPE_MIRROR"
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Download a data set and print where its files lie.

    Into the cache, checked by SHA-256; an interrupted download goes on where it stopped. Files that are at hand are
    not downloaded. A mirror is a data folder behind a web server, with the files as published.
    """
    from convscope.cli import show
    from convscope.data import fetch

    show.files(name, fetch(name, mirror), json)
