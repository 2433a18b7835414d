"""The command line as a user meets it: results on standard output, one line for an error, the right exit code."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convscope.data import load
from convscope.pictures import prepare
from convscope.runs import Run, load_run

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
            assert answer == results
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


def test_explain_writes_a_picture_and_says_which_class(cli: Cli, copied_run: Run, tmp_path: Path) -> None:
    code, out, _ = cli("explain", copied_run.path, "--index", 3, "--json")
    assert code == 0
    answer = json.loads(out)
    assert list(answer) == ["method", "layer", "target", "label", "probability", "evidence", "png"]
    probabilities = copied_run.probabilities(load("digits")[1].images[3:4])[0]
    assert answer["target"] == probabilities.argmax()
    assert answer["probability"] == pytest.approx(probabilities.max())
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
    assert out.splitlines()[-1] == str(out_file)
    assert out_file.is_file()
    assert cli("verify", copied_run.path)[0] == 0  # views are not in the manifest


def test_explain_takes_a_picture_file(cli: Cli, copied_run: Run, tmp_path: Path) -> None:
    Image.fromarray(load("digits")[1].images[0, 0]).resize((100, 80)).save(tmp_path / "mine.jpg")
    code, out, _ = cli("explain", copied_run.path, "--image", tmp_path / "mine.jpg", "--json")
    assert code == 0
    assert "mine" in json.loads(out)["png"]


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


def test_prove_prints_a_line_a_layer(cli: Cli, digits_run: Run) -> None:
    code, out, _ = cli("prove", digits_run.path, "--images", 10)
    assert code == 0
    assert re.search(r"^stem\.conv +Conv2D +\d\.\de-\d\d", out, re.MULTILINE)
    assert "10 pictures, every layer in NumPy" in out
    code, out, _ = cli("prove", digits_run.path, "--json", "--images", 10)
    answer = json.loads(out)
    assert answer["same_predictions"] is True
    assert answer["images"] == 10
    assert answer["max_abs_diff"] == max(layer["max_abs_diff"] for layer in answer["layers"])


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
        (["train", "digits", "--set", "model.depth=3"], 2, "no option 'depth'; choose from base_channels, skip"),
        (["train", "cifar10-5k", "--data-dir", "EMPTY"], 1, "cifar10: found no cifar-10-python.tar.gz"),
        (["tarin", "digits"], 2, "No such command 'tarin'"),
        (["--frobnicate"], 2, "No such option: --frobnicate"),
        (["evaluate", "EMPTY/none"], 1, "no run folder EMPTY/none; `convscope train"),
        (["evaluate", "EMPTY"], 1, "no checkpoint EMPTY/best.pt"),
        (["look", "RUN", "patches"], 2, "'patches' is not one of 'filters', 'maps', 'augment'"),
        (["look", "RUN", "filters", "--index", "3"], 2, "look filters takes no --index"),
        (["look", "RUN", "augment", "--layer", "stem.conv"], 2, "look augment takes no --layer"),
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
        (["prove", "RUN", "--images", "0"], 2, "--images"),
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


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_ctrl_c_is_one_line_and_leaves_what_was_saved(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "convscope", "train", "digits", "--out", str(tmp_path / "run")]
    with subprocess.Popen([*command, "--set", "train.epochs=500"], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while not process.stderr.readline().startswith("epoch   2/500"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert rest.splitlines()[-1] == "convscope: interrupted"
    assert "Traceback" not in rest
    assert load_run(tmp_path / "run").checkpoint["epoch"] >= 1


@pytest.mark.skipif(os.name != "posix", reason="a pipe whose reader has gone")
def test_a_reader_that_goes_away_is_no_traceback() -> None:
    command = f"{sys.executable} -m convscope data list | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
