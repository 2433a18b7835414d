"""The command `convscope explain`: a run and a picture in, where the network saw its class out."""

from typing import Annotated

import typer

from convscope.cli.options import DataDir, ImageFile, Index, Json, LayerName, Png, RunFolder
from convscope.registry import METHODS


def explain(
    run: RunFolder,
    image: ImageFile = None,
    index: Index = None,
    method: Annotated[str, typer.Option(help=f"One of: {', '.join(METHODS)}.")] = "grad-cam",
    target: Annotated[
        str | None,
        typer.Option(help="The class to argue for, by name or number.", show_default="the predicted one"),
    ] = None,
    layer: LayerName = None,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Every method, and --method at every layer, on one page.")
    ] = False,
    out: Png = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show where in a picture the network saw its class.

    --sweep draws one picture by every method, those that look at a layer at --layer, and then by --method, which must
    be one of these, at every layer. A method that the network cannot have says why in its place.
    """
    from convscope import views
    from convscope.cli import show
    from convscope.cli.progress import progress_bar
    from convscope.runs import load_run

    opened = load_run(run)
    picture = views.choose_picture(opened, image, index, data_dir)
    with progress_bar("map" if sweep else "pass") as progress:
        draw = views.sweep_picture if sweep else views.explain_picture
        values = draw(opened, picture, method, target, layer, out, progress)
    (show.sweep if sweep else show.explanation)(values, json)
