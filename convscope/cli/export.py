"""The command `convscope export`: a run in, a folder that holds its network alone out."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from convscope.cli.options import DataDir, Json, RunFolder


class Format(StrEnum):
    """What `export` can write."""

    safetensors = "safetensors"


def export(
    run: RunFolder,
    to: Annotated[Format, typer.Option(help="safetensors: weights in float16, in a small run folder.")],
    out: Annotated[Path, typer.Option(help="The folder to make.")],
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Write the network alone, to keep or to send.

    The folder has its weights rounded to float16, their own accuracy on the run's pictures, and how they were trained,
    without where files lay on this machine. Every command but train takes it as RUN.
    """
    from convscope.cli import show
    from convscope.export import export_safetensors
    from convscope.runs import load_run

    opened = load_run(run)
    show.export(export_safetensors(opened, out, data_dir), opened, json)
