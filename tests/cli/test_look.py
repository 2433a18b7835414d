"""`look patches` and `explain --sweep` as a user meets them: what is printed, what combines and what is refused."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from convscope.data import load
from convscope.explain import METHODS, feature_maps
from convscope.runs import Run

Cli = Callable[..., tuple[int, str, str]]


def test_patches_prints_a_line_a_channel(cli: Cli, copied_run: Run) -> None:
    code, out, error = cli("look", copied_run.path, "patches")
    assert (code, error) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "group2.1.relu, 360 test pictures"
    assert len([line for line in lines if re.match(r"channel \d+: \d+ \(\d\) [\d.]+, \d+ \(\d\) ", line)]) == 12
    assert Path(lines[-1]) == copied_run.path / "views" / "patches-group2.1.relu.png"
    code, out, _ = cli("look", copied_run.path, "patches", "--json")
    answer = json.loads(out)
    channels = [re.match(r"channel (\d+): (\d+) \((\d)\)", line) for line in lines]
    found = [match.groups() for match in channels if match]
    expected = [(c["channel"], c["patches"][0]["index"], c["patches"][0]["true"]) for c in answer["channels"]]
    assert found == [tuple(map(str, row)) for row in expected]
    assert cli("verify", copied_run.path)[0] == 0


def test_one_channel_of_one_layer(cli: Cli, digits_run: Run, tmp_path: Path) -> None:
    out_file = tmp_path / "p.png"
    arguments = ["--layer", "stem.relu", "--channel", 1, "--out", out_file, "--json"]
    code, out, _ = cli("look", digits_run.path, "patches", *arguments)
    assert code == 0
    answer = json.loads(out)
    assert (answer["layer"], answer["png"]) == ("stem.relu", str(out_file))
    assert [channel["channel"] for channel in answer["channels"]] == [1]
    assert list(answer["channels"][0]["patches"][0]) == ["index", "true", "value", "place", "box"]


def test_maps_says_which_channels_are_silent(cli: Cli, digits_run: Run, tmp_path: Path) -> None:
    arguments = ["maps", "--layer", "group2.1.relu", "--out", tmp_path / "m.png", "--json"]
    answer = json.loads(cli("look", digits_run.path, *arguments)[1])
    x = digits_run.preprocess(load("digits")[1].images[:1])
    maps = feature_maps(digits_run.model, x, ["group2.1.relu"])["group2.1.relu"][0]
    assert answer["silent"] == {"group2.1.relu": [k for k, plane in enumerate(maps) if not plane.any()]}


def test_sweep_names_what_has_nothing_to_show(cli: Cli, digits_run: Run, tmp_path: Path) -> None:
    arguments = ["--index", 5, "--sweep", "--out", tmp_path / "s.png"]
    code, out, error = cli("explain", digits_run.path, *arguments, "--json")
    assert (code, error) == (0, "")
    answer = json.loads(out)
    assert list(answer["tiles"][0]) == ["method", "layer", "evidence", "problem"]
    code, out, _ = cli("explain", digits_run.path, *arguments)
    lines = out.splitlines()
    assert lines[0] == f"every method for {answer['label']} ({answer['probability']:.1%}), and grad-cam at every layer"
    assert lines[1] == f"predicted {answer['predicted']}, true class {answer['true']}"
    silent = [tile for tile in answer["tiles"] if tile["evidence"] != "positive"]
    assert len(lines) == 3 + len(silent)
    assert lines[-1] == str(tmp_path / "s.png")
    layered = [tile["layer"] for tile in answer["tiles"][len(METHODS) :]]
    assert len(layered) == len(set(layered)) > 20


def test_sweep_takes_a_picture_file_a_method_and_a_class(cli: Cli, copied_run: Run, tmp_path: Path) -> None:
    Image.fromarray(load("digits")[1].images[4, 0]).resize((90, 70)).save(tmp_path / "mine.png")
    arguments = [
        "--image",
        tmp_path / "mine.png",
        "--sweep",
        "--method",
        "layer-cam",
        "--target",
        7,
        "--layer",
        "stem.relu",
    ]
    code, out, error = cli("explain", copied_run.path, *arguments, "--json")
    assert (code, error) == (0, "")
    answer = json.loads(out)
    assert (answer["label"], answer["layer"], answer["method"], answer["true"]) == ("7", "stem.relu", "layer-cam", None)
    assert {tile["method"] for tile in answer["tiles"][len(METHODS) :]} == {"layer-cam"}
    assert Path(answer["png"]).parent == copied_run.path / "views"
    assert Path(answer["png"]).name.startswith("mine-sweep-layer-cam-7-stem.relu-")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["look", "RUN", "patches", "--index", "3"], "look patches takes no --index"),
        (["look", "RUN", "patches", "--image", "x.png"], "look patches takes no --image"),
        (["look", "RUN", "maps", "--channel", "3"], "look maps takes no --channel"),
        (["look", "RUN", "filters", "--channel", "3"], "look filters takes no --channel"),
        (["look", "RUN", "patches", "--channel", "16"], "no channel 16 in layer 'group2.1.relu': it has 16, 0 to 15"),
        (["look", "RUN", "patches", "--layer", "stem.cnov"], "TinyResNet has no layer 'stem.cnov'; choose from 21"),
        (["look", "RUN", "patches", "--out", "EMPTY/p.svg"], "a name that ends in .png"),
        (["explain", "RUN", "--sweep"], "either --image FILE or --index N"),
        (["explain", "RUN", "--index", "0", "--sweep", "--method", "saliency"], "it cannot go from layer to layer"),
        (["explain", "RUN", "--index", "0", "--sweep", "--method", "magic"], "unknown explanation method 'magic'"),
        (["explain", "RUN", "--index", "0", "--sweep", "--layer", "head"], "layer 'head' cannot be used"),
        (["explain", "RUN", "--index", "0", "--sweep", "--target", "ten"], "unknown class 'ten'"),
        (["explain", "RUN", "--index", "0", "--sweep", "--out", "EMPTY/p.jpg"], "a name that ends in .png"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_does_not_combine_is_one_line(
    cli: Cli, digits_run: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    places = {"RUN": str(digits_run.path), "EMPTY": str(tmp_path)}
    code, out, error = cli(*[re.sub("RUN|EMPTY", lambda m: places[m[0]], argument) for argument in arguments])
    assert (code, out) == (2, "")
    assert error.count("\n") == 1
    assert error.startswith("convscope: ")
    assert message in error
    assert list(tmp_path.iterdir()) == []
