"""The command `convscope look`: a run in, a table or a picture of what the network learned out."""

from enum import StrEnum
from typing import Annotated

import typer

from convscope.cli.options import DataDir, ImageFile, Index, Json, LayerName, Png, RunFolder
from convscope.errors import UsageError


class What(StrEnum):
    """What `look` can show."""

    layers = "layers"
    network = "network"
    filters = "filters"
    maps = "maps"
    patches = "patches"
    augment = "augment"


TAKES: dict[What, set[str]] = {
    What.layers: set(),
    What.network: {"--out"},
    What.filters: {"--layer", "--out"},
    What.maps: {"--image", "--index", "--layer", "--out"},
    What.patches: {"--layer", "--channel", "--out"},
    What.augment: {"--out"},
}


def look(
    run: RunFolder,
    what: Annotated[
        What,
        typer.Argument(
            metavar="WHAT",
            help=f"{', '.join(list(What)[:-1])} or {list(What)[-1]}: a table of the network, or one of five pictures.",
        ),
    ],
    image: ImageFile = None,
    index: Index = None,
    layer: LayerName = None,
    channel: Annotated[
        int | None,
        typer.Option(help="Of patches: one channel of the layer, larger.", show_default="those that stand out most"),
    ] = None,
    out: Png = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show what the network learned, and what it learned from.

    layers: a table of every layer, its type, output, parameters and multiply-adds. network: the same as a diagram, with
    its groups and shortcuts; an SVG where --out ends so. filters: the kernels of a convolution, by default the first
    learned one; those of a colour picture in colour too. maps: what each layer makes of a picture, by default the first
    of the test set; with --layer the channels of one. patches: the test pictures that excite a channel most, and its
    receptive field in each; by default at the layer that explain looks at. augment: training pictures, and what
    augmentation makes of them.
    """
    from convscope import views
    from convscope.cli import show
    from convscope.cli.progress import progress_bar
    from convscope.runs import load_run
    from convscope.runs.layer_table import layer_rows

    given = {"--image": image, "--index": index, "--layer": layer, "--channel": channel, "--out": out}
    for option, value in given.items():
        if value is not None and option not in TAKES[what]:
            raise UsageError(f"look {what} takes no {option}")
    opened = load_run(run)
    match what:
        case What.layers:
            return show.layers(opened, layer_rows(opened), json)
        case What.network:
            view = views.look_at_network(opened, out)
        case What.filters:
            view = views.look_at_filters(opened, layer, out)
        case What.augment:
            view = views.look_at_augmentation(opened, data_dir, out)
        case What.patches:
            with progress_bar("picture") as progress:
                values = views.look_at_patches(opened, layer, channel, data_dir, out, progress)
            return show.patches(values, json)
        case What.maps:
            picture = views.choose_picture(opened, image, 0 if image is None and index is None else index, data_dir)
            view = views.look_at_maps(opened, picture, layer, out)
    show.view(view, json)
