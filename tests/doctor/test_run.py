"""A run folder with a classic mistake in it is found out; a healthy one, whatever it was trained on, has no problem."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from convscope import train
from convscope.doctor import CHECKS, Finding, examine_run
from convscope.runs import Run

Cli = Callable[..., tuple[int, str, str]]
Bad = Callable[[list[Finding]], dict[str, tuple[str, str]]]
Problems = Callable[..., dict[str, str]]
Change = Callable[..., None]


def write_pictures(folder: Path, each: int) -> Path:
    """Two classes that differ in colour, seeded."""
    rng = np.random.default_rng(11)
    for label, name in enumerate(("red", "blue")):
        (folder / name).mkdir(parents=True)
        for i in range(each):
            pixels = rng.integers(0, 120, (20, 15, 3)).astype(np.uint8)
            pixels[..., 2 * label] += 100
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


def test_a_sound_run_passes_every_check(bad: Bad, digits_run: Run) -> None:
    found = examine_run(digits_run.path)
    assert bad(found) == {}
    assert {finding.name for finding in found} == {*CHECKS["run"], *CHECKS["model and batch"]}


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        ("synthetic", {"train__epochs": 3}),
        ("shapes", {"data__subset": 1600, "data__size": 16, "train__epochs": 3, "model__base_channels": 8}),
        ("digits", {"data__val_fraction": 0, "train__epochs": 3, "model__base_channels": 8}),
        ("digits", {"train__epochs": 6, "model__skip": False, "model__base_channels": 8}),
    ],
    ids=["synthetic", "shapes", "nothing held out", "without skips"],
)
def test_a_healthy_run_has_no_problem(problems: Problems, tmp_path: Path, recipe: str, changes: dict[str, Any]) -> None:
    assert problems(train(recipe, out=tmp_path / "run", **changes).path) == {}


def test_a_healthy_lenet_has_no_problem_and_its_pictures_are_not_downloaded_again(
    bad: Bad, tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train("mnist-lenet5", out=tmp_path / "run", data__subset=2000, train__epochs=3)
    assert bad(examine_run(run.path, data_dir)) == bad(examine_run(run.path)) == {}
    monkeypatch.delenv("CONVSCOPE_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (seen,) = [seen for _, seen in bad(examine_run(run.path)).values()]
    assert "or let `convscope data fetch mnist` download it): neither normalisation nor answers were looked at" in seen
    assert not (tmp_path / "cache").exists()


def test_a_folder_with_few_pictures_is_a_warning_not_a_problem(bad: Bad, tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "mine", each=20)
    run = train("folder", out=tmp_path / "run", data__path=str(pictures), data__size=16, model__base_channels=8)
    found = bad(examine_run(run.path))
    assert run.results["test_accuracy"] == 1  # all eight of them
    assert found["accuracy"] == ("warning", "8 of 8 pictures are right (100 %; 95 % interval 67.6 % to 100 %).")
    assert found["data"][1].startswith("Only 29 training pictures for 2 classes (14.5 each)")
    assert {severity for severity, _ in found.values()} == {"warning"}


def test_a_training_that_guesses(problems: Problems, tmp_path: Path) -> None:
    run = train("digits", out=tmp_path / "run", train__epochs=1, train__lr=1e-7, model__base_channels=4)
    found = problems(run.path)
    assert found["accuracy"].endswith("no better than guessing (10.0 %).")


def test_a_handful_learned_by_heart(bad: Bad, tmp_path: Path) -> None:
    small = {"data__subset": 20, "data__val_fraction": 0, "data__augment": None, "model__base_channels": 8}
    run = train("digits", out=tmp_path / "run", train__epochs=40, train__label_smoothing=0, **small)
    found = bad(examine_run(run.path))
    assert found.keys() == {"overfitting", "data"}
    assert found["overfitting"][1].startswith("Training accuracy (100 %) runs far ahead of test accuracy (")
    assert found["data"][1].startswith("Only 20 training pictures")


def test_overfitting(bad: Bad, copied_run: Run) -> None:
    metrics = copied_run.path / "metrics.csv"
    header, *rows = metrics.read_text().splitlines()
    columns = header.split(",")
    cells = dict(zip(columns, rows[-1].split(","), strict=True)) | {"train_accuracy": "1.0", "val_accuracy": "0.8"}
    metrics.write_text("\n".join([header, *rows, ",".join(cells.values())]) + "\n")
    assert bad(examine_run(copied_run.path))["overfitting"] == (
        "warning",
        "Training accuracy (100 %) runs far ahead of validation accuracy (80.0 %): the network has learned its "
        "training pictures by heart rather than what they have in common.",
    )


def test_pictures_that_the_checkpoint_leaves_in_0_to_255(problems: Problems, change: Change, copied_run: Run) -> None:
    change(copied_run.path, mean=[0.0], std=[1 / 255])
    found = problems(copied_run.path)
    assert found["values"].startswith("The pictures are not normalised: values from 0 to 255, as if still on [0, 255].")
    right = round(360 * copied_run.results["test_accuracy"])
    with_those_of_the_batch = re.search(r"; normalised, (\d+) are\.$", found["values"])
    assert with_those_of_the_batch
    assert abs(int(with_those_of_the_batch[1]) - right) < 10
    mean, std = copied_run.checkpoint["mean"][0], copied_run.checkpoint["std"][0]
    assert f"mean {255 * mean:.2g} and standard deviation {255 * std:.3g} in channel 0" in found["normalisation"]


@pytest.mark.parametrize(
    ("shift", "factor", "severity"),
    [
        (0.6, 1.0, "problem"),
        (0.0, 1.6, "problem"),
        (0.0, 0.6, "problem"),
        (-0.2, 1.0, "warning"),
        (0.0, 1.1, "warning"),
        (0.03, 1.02, None),
    ],
)
def test_a_normalisation_of_other_pictures(
    bad: Bad, change: Change, copied_run: Run, shift: float, factor: float, severity: str | None
) -> None:
    """ImageNet's mean and deviation on MNIST, say; a little is left to pictures that were added since."""
    mean, std = copied_run.checkpoint["mean"][0], copied_run.checkpoint["std"][0]
    change(copied_run.path, mean=[mean + shift * std * factor], std=[std * factor])
    assert bad(examine_run(copied_run.path)).get("normalisation", (None, ""))[0] == severity


def test_weights_that_are_no_numbers(problems: Problems, change: Change, copied_run: Run) -> None:
    state = copied_run.checkpoint["model_state"]
    change(copied_run.path, model_state=state | {"head.bias": state["head.bias"] * float("inf")})
    assert problems(copied_run.path) == {"weights": "NaN or infinity in head.bias: the training has diverged."}


def test_a_blank_heatmap(problems: Problems, change: Change, copied_run: Run) -> None:
    state = copied_run.checkpoint["model_state"]
    change(copied_run.path, model_state=state | {"head.weight": -state["head.weight"].abs()})
    assert problems(copied_run.path)["heatmap"].startswith(
        "32 of 32 Grad-CAM heatmaps at layer group2.1.relu are blank"
    )


def test_another_data_set_than_the_run_was_trained_on(problems: Problems, change: Change, copied_run: Run) -> None:
    change(copied_run.path, config=copied_run.checkpoint["config"] | {"data": {"name": "synthetic"}})
    seen = problems(copied_run.path)["data"]
    assert "pictures (3, 32, 32) of 4 classes; the run was trained on (1, 8, 8) of 10" in seen


def test_without_the_pictures_the_rest_is_still_looked_at(bad: Bad, tmp_path: Path, cli: Cli) -> None:
    pictures = write_pictures(tmp_path / "mine", each=20)
    changes = {"data__size": 16, "model__base_channels": 4, "train__epochs": 2}
    run = train("folder", out=tmp_path / "run", data_dir=pictures, **changes)
    assert "normalisation" in {finding.name for finding in examine_run(run.path)}  # where they lay is remembered
    moved = pictures.rename(tmp_path / "moved")
    found = bad(examine_run(run.path))
    assert found.keys() == {"data"}
    assert found["data"][0] == "warning"
    assert found["data"][1].startswith("The data set is not at hand (folder: no folder was named")
    assert "normalisation" in {finding.name for finding in examine_run(run.path, moved)}
    (run.path / "results.json").write_text(json.dumps(run.results | {"test_accuracy": 0.5}))
    (run.path / "metrics.csv").write_text("train_loss,train_accuracy,val_accuracy\n0.7,0.52,0.5\n0.69,0.53,0.5\n")
    seen = bad(examine_run(run.path))["accuracy"][1]
    assert seen.startswith("Test accuracy is near what guessing gives (50.0\N{NO-BREAK SPACE}%)")
    code, out, _ = cli("doctor", run.path)
    assert code == 0
    assert "WARNING  data" in out


def test_pictures_that_have_changed_since_the_training(bad: Bad, tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "mine", each=40)
    own = {"data__path": str(pictures), "data__size": 8, "data__subset": 40}
    run = train("folder", out=tmp_path / "run", **own, model__base_channels=4, train__epochs=2)
    assert not bad(examine_run(run.path)).get("data", ("", "Only"))[1].startswith("The ")
    (pictures / "red" / "0.png").unlink()
    found = examine_run(run.path)
    (data,) = [finding for finding in found if finding.name == "data"]
    assert data.severity == "warning"
    assert data.seen == (
        "The training, validation and test pictures are no longer those of the training; there are 36 training, "
        "4 validation and 16 test pictures. Some that it learned from may be test pictures now, so its accuracy on "
        "these says little."
    )
    assert "--data-dir" in data.advice
    assert "accuracy" in {finding.name for finding in found}  # it goes on with what is there
    for number in range(1, 30):
        (pictures / "blue" / f"{number}.png").unlink()
        (pictures / "red" / f"{number}.png").unlink()
    found = examine_run(run.path)
    assert found[-1].name == "data"  # and not where no split can be made of them
    assert found[-1].severity == "problem"
    assert found[-1].seen.startswith("The pictures are no longer those of the training: cannot take 40 pictures")


def test_other_test_pictures_alone(bad: Bad, tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_pictures(tmp_path / "mine" / part, each=30)
    own = {"data__path": str(tmp_path / "mine"), "data__size": 8, "model__base_channels": 4, "train__epochs": 2}
    run = train("folder", out=tmp_path / "run", **own)
    Image.new("RGB", (9, 7), "green").save(tmp_path / "mine" / "test" / "red" / "0.png")
    severity, seen = bad(examine_run(run.path))["data"]
    assert severity == "warning"
    start = "The test pictures are no longer those of the training; there are 54 training, 6 validation and 60 test"
    assert seen == f"{start} pictures."
    record = json.loads((run.path / "environment.json").read_text())
    del record["pictures"]
    (run.path / "environment.json").write_text(json.dumps(record))
    assert bad(examine_run(run.path))["data"][1].endswith(
        "environment.json does not say whether the training had these."
    )


def test_a_planted_shortcut_is_no_failure_to_learn(tmp_path: Path) -> None:
    small = {"data__subset": 1600, "data__size": 16, "model__base_channels": 8, "train__epochs": 4}
    run = train("shapes", out=tmp_path / "run", data__shortcut=0.95, **small)
    assert run.results["val_accuracy"] > 0.8
    assert run.results["test_accuracy"] < 0.3
    found = {finding.name: finding for finding in examine_run(run.path)}
    validation, test = (f"{100 * run.results[f'{name}_accuracy']:.1f}" for name in ("val", "test"))
    assert found["shift"].severity == "warning"
    assert found["shift"].seen.replace("\N{NO-BREAK SPACE}", " ") == (
        f"Validation accuracy ({validation} %) is far ahead of test accuracy ({test} %), more than chance explains: "
        "the network has learned, but not what the test pictures ask for."
    )
    assert "share a shortcut with those held out of them" in found["shift"].advice
    assert found["overfitting"].severity == "fine"
    assert found["accuracy"].severity == "problem"  # of this seed; its advice was to look for shuffled labels
    assert found["accuracy"].advice.endswith("see shift.")
    assert "has not learned" not in (run.path / "README.md").read_text()


def test_the_command_prints_findings_and_exits_1_on_a_problem(change: Change, cli: Cli, copied_run: Run) -> None:
    code, out, _ = cli("doctor", copied_run.path)
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "this machine"
    assert str(copied_run.path) in lines
    assert "  fine     checkpoint     The weights fit tiny-resnet, 62 tensors." in lines
    change(copied_run.path, mean=[0.0], std=[1 / 255])
    code, out, _ = cli("doctor", copied_run.path)
    lines = out.splitlines()
    assert code == 1
    assert max(map(len, lines[lines.index(str(copied_run.path)) + 1 :])) <= 100
    assert re.search(
        r" PROBLEM values The pictures are not normalised: values from 0 to 255, as if still on \[0, 255\]. "
        r"\d+ of 360 pictures are right \([\d.]+ %\); normalised, \d+ are. "
        "-> Subtract the training mean and divide by the training standard deviation. fine labels ",
        " ".join(out.split()),
    )
    assert lines[-1].startswith(f"{out.count('PROBLEM')} problem")
    code, out, _ = cli("doctor", copied_run.path, "--json")
    assert code == 1
    answer = json.loads(out)
    assert answer["ok"] is False
    (values,) = [finding for finding in answer["findings"] if finding["name"] == "values"]
    assert values.keys() == {"about", "name", "severity", "seen", "advice"}
    assert (values["about"], values["severity"]) == (str(copied_run.path), "problem")
    assert {f["about"] for f in answer["findings"]} == {"this machine", str(copied_run.path)}


def test_the_command_without_a_run_looks_at_the_machine(cli: Cli, tmp_path: Path) -> None:
    code, out, _ = cli("doctor", "--json")
    assert code == 0
    assert [f["name"] for f in json.loads(out)["findings"]] == list(CHECKS["environment"])
    code, out, error = cli("doctor", tmp_path / "nowhere")
    assert (code, out) == (1, "")
    assert error.startswith(f"convscope: no run folder {tmp_path / 'nowhere'}; `convscope train")
