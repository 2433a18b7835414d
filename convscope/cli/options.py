"""The arguments and options that several commands share: a name for each, its help and its default in `--help`."""

from pathlib import Path
from typing import Annotated

import typer

RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run folder, or the name of a network that comes with convscope.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for a machine.")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Look for the data set here and nowhere else; of your own folder, its place by now.", show_default=False
    ),
]
ImageFile = Annotated[Path | None, typer.Option(help="A picture file.", show_default=False)]
Index = Annotated[int | None, typer.Option(help="A picture of the test set.", show_default=False)]
LayerName = Annotated[str | None, typer.Option(help="Dotted name of a layer.", show_default="the program's choice")]
Png = Annotated[
    Path | None,
    typer.Option(help="The PNG to write.", show_default="in RUN/views/; of a name, in runs/RUN-views/"),
]
