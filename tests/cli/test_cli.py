"""The command line as a user meets it: results on standard output, one line for an error, the right exit code."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convscope.data import load
from convscope.errors import DataError
from convscope.pictures import prepare
from convscope.predict import predict
from convscope.runs import Run

Cli = Callable[..., tuple[int, str, str]]


def convscope(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """The real program in a process of its own."""
    command = [sys.executable, "-m", "convscope", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload,no-any-return]


def test_the_main_job_end_to_end(tmp_path: Path) -> None:
    run = tmp_path / "run"
    small = ["--set", "train.epochs=2", "--set", "model.base_channels=8"]
    done = convscope("train", "digits", "--out", run, *small, "--json")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)  # nothing but the object on standard output
    assert results["run"] == str(run)
    lines = done.stderr.splitlines()
    assert re.match(
        r"epoch 1/2  loss [\d.]+  accuracy +[\d.]+%  validation +[\d.]+%  [\d,]+ images/s  00:\d\d left", lines[0]
    )
    for command in ("evaluate", "prove", "verify"):
        done = convscope(command, run, "--json")
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        if command == "evaluate":
            assert answer.items() >= results.items()
    environment = json.loads((run / "environment.json").read_text())
    assert environment["command"] == f"convscope train digits --out {run} {' '.join(small)} --json"


def test_help_is_quick_and_names_every_command() -> None:
    best = 9.0
    for _ in range(5):  # the quickest of a few: the machine may be busy
        started = time.perf_counter()
        done = convscope("--help")
        best = min(best, time.perf_counter() - started)
    assert best < 0.4
    for command in ("train", "evaluate", "predict", "explain", "look", "prove", "verify", "doctor", "smoke", "data"):
        assert re.search(rf"^  {command} ", done.stdout, re.MULTILINE), command
    assert convscope().stdout == done.stdout


def test_version(cli: Cli) -> None:
    assert cli("--version") == (0, "convscope 0.1.0\n", "")


def test_evaluate_prints_classes_and_confusions(cli: Cli, digits_run: Run) -> None:
    code, out, _ = cli("evaluate", digits_run.path)
    assert code == 0
    assert f"{digits_run.results['test_accuracy']:.2%} of 360 test pictures right" in out
    _, test = load("digits")
    predicted = digits_run.logits(test.images).argmax(axis=1)
    table = [line.split() for line in out.splitlines()]
    start = table.index(["class", "pictures", "recall", "precision"]) + 1
    right = [np.sum((test.labels == k) & (predicted == k)) for k in range(10)]
    recalls = [f"{right[k] / np.sum(test.labels == k):.1%}" for k in range(10)]
    precisions = [f"{right[k] / np.sum(predicted == k):.1%}" for k in range(10)]
    assert recalls != precisions
    answer = json.loads(cli("evaluate", digits_run.path, "--json")[1])
    assert [f"{row['recall']:.1%}" for row in answer["classes"]] == recalls
    assert [f"{row['precision']:.1%}" for row in answer["classes"]] == precisions
    assert [row["name"] for row in answer["classes"]] == list("0123456789")
    counts = [[int(np.sum((test.labels == t) & (predicted == p))) for p in range(10)] for t in range(10)]
    assert answer["confusion"] == counts
    top = answer["most_confused"][0]
    assert top["pictures"] == counts[int(top["true"])][int(top["predicted"])]
    assert top["pictures"] == max(counts[t][p] for t in range(10) for p in range(10) if t != p)
    assert table[start : start + 10] == [
        [str(k), str(np.sum(test.labels == k)), recalls[k], precisions[k]] for k in range(10)
    ]
    assert re.search(r"most confused\n  \d taken for \d: \d", out)


def test_predict_takes_pictures_of_any_size(cli: Cli, digits_run: Run, tmp_path: Path) -> None:
    _, test = load("digits")
    names = []
    for i in range(10):
        names.append(tmp_path / f"{i}.png")
        picture = Image.fromarray(test.images[i, 0])
        (picture if i % 2 else picture.resize((64, 64), Image.Resampling.NEAREST).convert("RGB")).save(names[-1])
    code, out, _ = cli("predict", digits_run.path, *names, "--json", "--top", 2)
    assert code == 0
    answers = json.loads(out)["results"]
    expected = digits_run.probabilities(test.images[:10])
    for i in range(1, 10, 2):  # those that were not resized are the very pictures
        assert answers[i]["probability"] == pytest.approx(expected[i].max(), abs=1e-6)
        assert answers[i]["label"] == str(expected[i].argmax())
        assert [choice["index"] for choice in answers[i]["top"]] == np.argsort(-expected[i])[:2].tolist()
    for i in range(0, 10, 2):  # the others are prepared as the checkpoint says
        prepared = prepare(names[i], digits_run.checkpoint["picture"])
        assert answers[i]["probability"] == pytest.approx(digits_run.probabilities(prepared[None]).max(), abs=1e-6)
    code, out, _ = cli("predict", digits_run.path, names[1])
    assert re.match(rf"{re.escape(str(names[1]))}: \d [\d.]+%, \d [\d.]+%, \d [\d.]+%\n", out)


def test_a_network_of_nan_labels_nothing(cli: Cli, copied_run: Run, tmp_path: Path) -> None:
    checkpoint = torch.load(copied_run.path / "best.pt", weights_only=True)
    checkpoint["model_state"]["head.bias"][3] = float("nan")
    torch.save(checkpoint, copied_run.path / "best.pt")
    Image.fromarray(load("digits")[1].images[0, 0]).save(tmp_path / "a.png")
    for machine in ([], ["--json"]):
        code, out, error = cli("predict", copied_run.path, tmp_path / "a.png", *machine)
        assert (code, out) == (1, "")
        assert re.fullmatch(r"convscope: the network in .* gives no numbers \(NaN\); `convscope doctor .*`\n", error)


def test_explain_writes_a_picture_and_says_which_class(cli: Cli, copied_run: Run, tmp_path: Path) -> None:
    code, out, _ = cli("explain", copied_run.path, "--index", 3, "--json")
    assert code == 0
    answer = json.loads(out)
    keys = ["method", "layer", "target", "label", "probability", "evidence", "png", "predicted", "true"]
    keys.append("pictures_changed")
    assert list(answer) == keys
    probabilities = copied_run.probabilities(load("digits")[1].images[3:4])[0]
    assert answer["target"] == probabilities.argmax()
    assert answer["probability"] == pytest.approx(probabilities.max())
    assert answer["predicted"] == answer["label"] == copied_run.classes[answer["target"]]
    assert answer["true"] == str(load("digits")[1].labels[3])
    assert answer["layer"] == copied_run.model.cam_layer
    assert Path(answer["png"]).parent == copied_run.path / "views"
    with Image.open(answer["png"]) as picture:
        assert min(picture.size) > 100

    out_file = tmp_path / "deep" / "map.png"
    code, out, _ = cli(
        "explain", copied_run.path, "--index", 3, "--target", "7", "--layer", "stem.relu", "--out", out_file
    )
    assert code == 0
    assert out.startswith("grad-cam for 7 (")
    assert "at layer stem.relu" in out
    assert out.splitlines()[1] == f"predicted {answer['predicted']}, true class {answer['true']}"
    assert out.splitlines()[-1] == str(out_file)
    assert out_file.is_file()
    assert cli("verify", copied_run.path)[0] == 0  # views are not in the manifest


def test_explain_takes_a_picture_file(cli: Cli, copied_run: Run, tmp_path: Path) -> None:
    Image.fromarray(load("digits")[1].images[0, 0]).resize((100, 80)).save(tmp_path / "mine.jpg")
    code, out, _ = cli("explain", copied_run.path, "--image", tmp_path / "mine.jpg", "--json")
    assert code == 0
    answer = json.loads(out)
    assert Path(answer["png"]).name.startswith("mine-")
    assert answer["true"] is None
    code, out, _ = cli("explain", copied_run.path, "--image", tmp_path / "mine.jpg")
    assert out.splitlines()[1:] == [f"predicted {answer['predicted']}", answer["png"]]


def test_look_draws_filters_and_maps(cli: Cli, copied_run: Run) -> None:
    for arguments in (
        ["filters"],
        ["filters", "--layer", "group2.0.sum.branch.conv1"],
        ["maps"],
        ["maps", "--layer", "stem.conv"],
        ["augment"],
    ):
        code, out, error = cli("look", copied_run.path, *arguments)
        assert code == 0, error
        with Image.open(out.strip()) as picture:
            assert np.asarray(picture.convert("L")).std() > 5


def test_look_lists_the_layers(cli: Cli, digits_run: Run) -> None:
    code, out, _ = cli("look", digits_run.path, "layers")
    assert code == 0
    table = [line.split() for line in out.splitlines()]
    assert table[0] == ["layer", "type", "output", "parameters", "multiply-adds"]
    assert table[1] == ["stem.conv", "Conv2D", "8×8×8", "72", "4,608"]
    assert ["group1.0.sum", "Residual", "8×8×8"] in table  # adds without parameters
    assert table[-1] == ["head", "Linear", "10", "170", "160"]
    code, out, _ = cli("look", digits_run.path, "layers", "--json")
    rows = json.loads(out)["layers"]
    assert [row["name"] for row in rows] == [line[0] for line in table[1:]]
    assert list(rows[0]) == ["name", "type", "output_shape", "parameters", "multiply_adds"]
    assert rows[0]["output_shape"] == [8, 8, 8]
    assert sum(row["parameters"] for row in rows) == digits_run.parameters


def test_look_draws_the_network(cli: Cli, copied_run: Run, tmp_path: Path) -> None:
    code, out, error = cli("look", copied_run.path, "network")
    assert code == 0, error
    assert Path(out.strip()) == copied_run.path / "views" / "network.png"
    drawn = (copied_run.path / "views" / "network.png").read_bytes()
    assert drawn == (copied_run.path / "plots" / "network.png").read_bytes()  # as the report has it
    code, out, _ = cli("look", copied_run.path, "network", "--out", tmp_path / "n.SVG", "--json")
    answer = json.loads(out)
    layers = json.loads(cli("look", copied_run.path, "layers", "--json")[1])["layers"]
    assert answer == {
        "model": "tiny-resnet",
        "parameters": copied_run.parameters,
        "multiply_adds": sum(layer["multiply_adds"] for layer in layers),
        "svg": str(tmp_path / "n.SVG"),
    }
    assert (tmp_path / "n.SVG").read_text(encoding="utf-8").startswith("<?xml")
    code, out, _ = cli("look", copied_run.path, "network", "--out", tmp_path / "n.svg")
    assert (code, out.strip()) == (0, str(tmp_path / "n.svg"))


def test_one_bad_file_costs_no_other_answer(cli: Cli, digits_run: Run, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.png", "broken.png", "c.png", "none.png")]
    for file, index in ((files[0], 0), (files[2], 7)):
        Image.fromarray(load("digits")[1].images[index, 0]).save(file)
    files[1].write_bytes(files[0].read_bytes()[:40])
    code, out, error = cli("predict", digits_run.path, *files)
    assert code == 1
    assert [line.split(": ")[0] for line in out.splitlines()] == [str(files[0]), str(files[2])]
    first, second = error.splitlines()
    assert first.startswith(f"convscope: {files[1]}: not a picture")
    assert second == f"convscope: {files[3]}: no such file"
    code, out, _ = cli("predict", digits_run.path, *files, "--json")
    assert code == 1
    items = json.loads(out)["results"]
    assert [item["image"] for item in items] == [str(file) for file in files]
    assert [list(item) for item in items[1::2]] == [["image", "error"]] * 2
    assert "no such file" in items[3]["error"]
    expected = digits_run.probabilities(load("digits")[1].images[[0, 7]])
    assert [item["index"] for item in items[::2]] == expected.argmax(axis=1).tolist()
    with pytest.raises(DataError, match=r"broken\.png"):
        predict(digits_run, files)
    assert [answer.label for answer in predict(digits_run, files[::2])] == [item["label"] for item in items[::2]]


def test_prove_prints_a_line_a_layer(cli: Cli, digits_run: Run) -> None:
    code, out, _ = cli("prove", digits_run.path, "--images", 10)
    assert code == 0
    assert re.search(r"^stem\.conv +Conv2D +\d\.\de-\d\d +\d\.\de-\d\d +\d\.\de-\d\d$", out, re.MULTILINE)
    assert "10 pictures, every layer in NumPy" in out
    assert "gradient" not in out
    assert out.splitlines()[-1] == "proved: rounding explains every difference"
    code, out, error = cli("prove", digits_run.path, "--json", "--images", 361)
    assert (code, error) == (0, "only 360 test pictures; all are replayed\n")
    assert json.loads(out)["images"] == 360
    code, out, error = cli("prove", digits_run.path, "--json", "--images", "all")
    assert (code, error) == (0, "")
    answer = json.loads(out)
    assert list(answer)[:4] == ["max_abs_diff", "layers", "images", "same_predictions"]
    assert answer["same_predictions"] is True
    assert answer["images"] == 360
    assert answer["max_abs_diff"] == max(layer["max_abs_diff"] for layer in answer["layers"])
    assert answer["gradients"] is answer["step"] is answer["grad_cam"] is None


def test_prove_goes_backward_too(cli: Cli, digits_run: Run) -> None:
    code, out, error = cli("prove", digits_run.path, "--images", 8, "--gradients")
    assert code == 0, error
    for line in (r"^input +gradient ", r"^stem\.norm\.running_var +running statistic ", r"^group2\.1\.relu +Grad-CAM "):
        assert re.search(line, out, re.MULTILINE), line
    assert "backward: the first 8 pictures, both sides in float64" in out
    assert out.splitlines()[-1] == "proved: rounding explains every difference"
    code, out, _ = cli("prove", digits_run.path, "--images", 8, "--gradients", "--json")
    answer = json.loads(out)
    assert list(answer["layers"][0])[:3] == ["name", "max_abs_diff", "relative"]
    assert [d["name"] for d in answer["gradients"]["train"]] == [d["name"] for d in answer["gradients"]["eval"]]
    assert answer["gradients"]["images"] == 8
    assert answer["grad_cam"]["name"] == "group2.1.relu"
    assert {d["name"] for d in answer["step"]} >= {"stem.conv.weight", "stem.norm.running_mean"}
    assert answer["ok"] is True


def test_prove_exits_1_and_names_the_culprit(cli: Cli, copied_run: Run) -> None:
    """A network whose BatchNorm takes 10⁶ off and adds it again: of what is left, float32 keeps a digit or two."""
    checkpoint = torch.load(copied_run.path / "best.pt", weights_only=True)
    state, norm = checkpoint["model_state"], "group1.0.sum.branch.norm2."
    state[norm + "running_mean"] += 1e6
    state[norm + "bias"] += 1e6 / torch.sqrt(state[norm + "running_var"] + 1e-5) * state[norm + "weight"]
    torch.save(checkpoint, copied_run.path / "best.pt")
    code, out, error = cli("prove", copied_run.path, "--images", 20)
    assert code == 1
    assert "OVER TOLERANCE" in out
    assert "proved" not in out
    assert re.match(r"not proved: layer group1\.0\.sum(\.branch\.norm2)? is .* off, rounding explains", error)


def test_verify_lists_what_is_wrong(cli: Cli, copied_run: Run) -> None:
    assert cli("verify", copied_run.path)[0] == 0
    (copied_run.path / "plots" / "curves.png").write_bytes(b"")
    code, out, _ = cli("verify", copied_run.path)
    assert code == 1
    assert "FAILED  plots/curves.png opens: not a picture" in out
    code, out, _ = cli("verify", copied_run.path, "--json")
    assert code == 1
    answer = json.loads(out)
    assert answer["ok"] is False
    assert [check["name"] for check in answer["checks"] if not check["ok"]] == [
        "plots/curves.png is there with the hash on record",
        "plots/curves.png opens",
    ]


def test_data_lists_and_describes(cli: Cli, tmp_path: Path) -> None:
    code, out, _ = cli("data", "list", "--json", "--data-dir", tmp_path)
    assert code == 0
    found = {item["name"]: item for item in json.loads(out)["data"]}
    assert found["digits"]["available"]
    assert not found["cifar10"]["available"]
    code, out, _ = cli("data", "info", "digits", "--json")
    answer = json.loads(out)
    assert (answer["train"], answer["test"], answer["shape"]) == (1437, 360, [1, 8, 8])
    assert cli("data", "info", "digits")[1].startswith("digits: 1,437 training and 360 test pictures, 1×8×8")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "nope"], 2, "no recipe 'nope'"),
        (["train"], 2, "Missing argument 'RECIPE'"),
        (["train", "digits", "--set", "train.epochs=x"], 2, "train.epochs: Input should be a valid integer"),
        (["train", "digits", "--set", "model.name=alexnet"], 2, "unknown model 'alexnet'; choose from lenet5"),
        (["train", "digits", "--set", "model.name=lenet5"], 2, "8×8 pictures .*; the smallest that works is 12×12"),
        (
            ["train", "digits", "--set", "model.depth=3"],
            2,
            "no option 'depth'; choose from base_channels",
        ),
        (["train", "cifar10-5k", "--data-dir", "EMPTY"], 1, "cifar10: found no cifar-10-python.tar.gz"),
        (["train", "--resume", "EMPTY/none"], 1, "no run in EMPTY/none to go on with; `convscope train"),
        (["train", "--resume", "EMPTY/none", "--set", "train.epochs=3"], 1, "no run in EMPTY/none to go on with"),
        (["train", "nope", "--resume", "EMPTY/none"], 1, "no run in EMPTY/none to go on with"),
        (["train", "nope", "--resume", "RUN"], 2, "no recipe 'nope'"),
        (["train", "--resume", "RUN", "--set", "train.epochs=9"], 2, "RUN was begun with train.epochs"),
        (["train", "--resume", "RUN", "--set", "a=b"], 2, "cannot set 'a': expected section.key"),
        (["tarin", "digits"], 2, "No such command 'tarin'"),
        (["--frobnicate"], 2, "No such option: --frobnicate"),
        (["evaluate", "EMPTY/none"], 1, "no run folder EMPTY/none; `convscope train"),
        (["evaluate", "EMPTY"], 1, "no checkpoint EMPTY/best.pt"),
        (["look", "RUN", "peaches"], 2, "'peaches' is not one of 'layers', 'network', 'filters', 'maps', 'patches', "),
        (["look", "RUN", "filters", "--index", "3"], 2, "look filters takes no --index"),
        (["look", "RUN", "augment", "--layer", "stem.conv"], 2, "look augment takes no --layer"),
        (["look", "RUN", "layers", "--layer", "stem.conv"], 2, "look layers takes no --layer"),
        (["look", "RUN", "layers", "--out", "a.png"], 2, "look layers takes no --out"),
        (["look", "RUN", "network", "--layer", "stem.conv"], 2, "look network takes no --layer"),
        (["look", "RUN", "network", "--index", "3"], 2, "look network takes no --index"),
        (["look", "RUN", "network", "--out", "EMPTY/a.pdf"], 2, "a name that ends in .png or .svg"),
        (["look", "RUN", "filters", "--out", "EMPTY/a.jpg"], 2, "--out EMPTY/a.jpg: .* a name that ends in .png"),
        (["explain", "RUN", "--index", "0", "--out", "EMPTY"], 2, "give a name that ends in .png"),
        (["explain", "RUN/best.pt", "--index", "3"], 1, "best.pt is a file; give the run folder"),
        (["explain", "RUN"], 2, "either --image FILE or --index N"),
        (["explain", "RUN", "--index", "0", "--image", "x.png"], 2, "either --image FILE or --index N"),
        (["explain", "RUN", "--index", "360"], 2, "the test set has pictures 0 to 359"),
        (["explain", "RUN", "--index", "-1"], 2, "the test set has pictures 0 to 359"),
        (["explain", "RUN", "--index", "0", "--target", "ten"], 2, "unknown class 'ten'; choose from 0, 1"),
        (["explain", "RUN", "--index", "0", "--layer", "stem.cnov"], 2, "no layer 'stem.cnov'; choose from"),
        (["explain", "RUN", "--index", "0", "--layer", "head"], 2, "head"),
        (["explain", "RUN", "--index", "0", "--method", "magic"], 2, "unknown explanation method 'magic'"),
        (["look", "RUN", "filters", "--layer", "stem.relu"], 2, "stem.relu"),
        (["predict", "RUN", "EMPTY/none.png"], 1, "none.png: no such file"),
        (["prove", "RUN", "--images", "0"], 2, "--images got '0': expected a whole number of at least 1, or all"),
        (["prove", "RUN", "--images", "some"], 2, "--images got 'some'"),
        (["data", "info", "imagenet"], 2, "unknown data set 'imagenet'; choose from digits"),
        (["verify", "EMPTY/none"], 1, "no run folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_an_error_is_one_line_with_its_exit_code(
    cli: Cli, digits_run: Run, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    places = {"RUN": str(digits_run.path), "EMPTY": str(tmp_path)}
    filled = [re.sub("RUN|EMPTY", lambda m: places[m[0]], argument) for argument in arguments]
    found, out, error = cli(*filled)
    assert (found, out) == (code, "")
    assert error.count("\n") == 1
    assert error.startswith("convscope: ")
    assert re.search(re.sub("RUN|EMPTY", lambda m: re.escape(places[m[0]]), message), error)
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_where(cli: Cli, tmp_path: Path) -> None:
    code, _, error = cli("evaluate", tmp_path, "--debug")
    assert code == 1
    assert "Traceback" in error
    assert error.splitlines()[-1].startswith("convscope: no checkpoint")


@pytest.mark.skipif(os.name != "posix", reason="a pipe whose reader has gone")
def test_a_reader_that_goes_away_is_no_traceback() -> None:
    command = f"{sys.executable} -m convscope data list | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("buffered", ["", "1"], ids=["buffered", "unbuffered"])  # noticed at the end, or at once
@pytest.mark.parametrize("command", ["data list", "data info digits --json", "train --help", "look RUN layers"])
def test_output_that_cannot_be_written_is_one_line(command: str, buffered: str, digits_run: Run) -> None:
    words = [sys.executable, "-m", "convscope", *command.replace("RUN", str(digits_run.path)).split()]
    with Path("/dev/full").open("w") as full:
        options = {"stdout": full, "stderr": subprocess.PIPE, "env": os.environ | {"PYTHONUNBUFFERED": buffered}}
        done = subprocess.run(words, text=True, check=False, **options)
    assert done.returncode == 1
    assert done.stderr == "convscope: could not write to standard output: No space left on device\n"


@pytest.mark.skipif(os.name != "posix", reason="a shell that closes streams")
@pytest.mark.parametrize(
    ("command", "code"), [("data list", 0), ("--help", 0), ("evaluate none", 1), ("evaluate --nosuch", 2)]
)
def test_streams_that_are_closed_or_full_change_no_exit_code(command: str, code: int, tmp_path: Path) -> None:
    def shell(redirection: str) -> tuple[int, str, str]:
        line = f"exec {sys.executable} -m convscope {command} {redirection}"
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        options = {"capture_output": True, "text": True, "cwd": tmp_path, "env": environment}
        done = subprocess.run(["bash", "-c", line], check=False, **options)  # type: ignore[call-overload]
        return done.returncode, done.stdout, done.stderr

    found, out, error = shell("")
    assert found == code
    assert bool(out) != bool(error)
    assert shell(">&-") == (code, "", error)
    assert shell("2>&-") == (code, out, "")
    assert shell(">&- 2>&-") == (code, "", "")
    if Path("/dev/full").exists():
        assert shell("2>/dev/full") == (code, out, "")
        assert shell(">/dev/full 2>/dev/full")[0] == (code or 1)
