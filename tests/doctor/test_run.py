"""A run folder with a classic mistake in it is found out; a healthy one, whatever it was trained on, has no problem."""

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from convscope import train
from convscope.config import make_config
from convscope.doctor import CHECKS, Finding, examine_run
from convscope.errors import ConvscopeError
from convscope.models import build_model
from convscope.runs import Run
from convscope.runs.claim import claimed
from convscope.train import train as train_run

Cli = Callable[..., tuple[int, str, str]]


def bad(findings: list[Finding]) -> dict[str, tuple[str, str]]:
    """What is not fine: name -> (severity, what was seen)."""
    return {f.name: (f.severity, f.seen) for f in findings if f.severity != "fine"}


def problems(folder: Path, data_dir: Path | None = None) -> dict[str, str]:
    return {
        name: seen for name, (severity, seen) in bad(examine_run(folder, data_dir)).items() if severity == "problem"
    }


def advice(folder: Path) -> dict[str, str]:
    """What to do, by the name of the check."""
    return {finding.name: finding.advice for finding in examine_run(folder) if finding.advice}


def follow(advised: str, cli: Cli) -> list[str]:
    """Run the command in the advice, as a shell takes it apart; returns its words."""
    words = shlex.split(re.findall("`(.+?)`", advised)[0])
    code, _, error = cli(*words[1:])
    assert code == 0, error
    return words


TINY = {"data__subset": 400, "model__base_channels": 4}


def break_off(folder: Path, at_step: int) -> Path:
    """A training on the digits that something ends at this step of its first epoch."""
    steps = iter(range(1, at_step + 1))

    def augment(images: torch.Tensor) -> torch.Tensor:
        if next(steps) == at_step:
            raise InterruptedError
        return images

    with pytest.raises(InterruptedError):
        train("digits", out=folder, augment=augment, **TINY, train__epochs=3)
    return folder


def change(folder: Path, **values: Any) -> None:
    """Write other values into best.pt."""
    checkpoint = torch.load(folder / "best.pt", weights_only=True)
    torch.save(checkpoint | values, folder / "best.pt")


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


def test_a_sound_run_passes_every_check(digits_run: Run) -> None:
    found = examine_run(digits_run.path)
    assert bad(found) == {}
    assert {finding.name for finding in found} == {*CHECKS["run"], *CHECKS["model and batch"]}


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        ("synthetic", {}),
        ("shapes", {"data__subset": 1600, "data__size": 16, "train__epochs": 3, "model__base_channels": 8}),
        ("digits", {"data__val_fraction": 0, "train__epochs": 3, "model__base_channels": 8}),
        ("digits", {"train__epochs": 6, "model__skip": False, "model__base_channels": 8}),
    ],
    ids=["synthetic", "shapes", "nothing held out", "without skips"],
)
def test_a_healthy_run_has_no_problem(tmp_path: Path, recipe: str, changes: dict[str, Any]) -> None:
    assert problems(train(recipe, out=tmp_path / "run", **changes).path) == {}


def test_a_healthy_lenet_has_no_problem(tmp_path: Path, data_dir: Path) -> None:
    small = {"data__subset": 2000, "train__epochs": 3}
    run = train("mnist-lenet5", out=tmp_path / "run", data_dir=data_dir, **small)
    assert bad(examine_run(run.path, data_dir)) == {}


def test_a_folder_with_few_pictures_is_a_warning_not_a_problem(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "mine", each=20)
    run = train("folder", out=tmp_path / "run", data__path=str(pictures), data__size=16, model__base_channels=8)
    found = bad(examine_run(run.path))
    assert run.results["test_accuracy"] == 1  # all eight of them
    assert found["accuracy"] == ("warning", "8 of 8 pictures are right (100 %; 95 % interval 67.6 % to 100 %).")
    assert found["data"][1].startswith("Only 29 training pictures for 2 classes (14.5 each)")
    assert {severity for severity, _ in found.values()} == {"warning"}


def test_a_training_that_guesses(tmp_path: Path) -> None:
    run = train("digits", out=tmp_path / "run", train__epochs=1, train__lr=1e-7, model__base_channels=4)
    found = problems(run.path)
    assert found["accuracy"].endswith("no better than guessing (10.0 %).")


def test_a_handful_learned_by_heart(tmp_path: Path) -> None:
    small = {"data__subset": 20, "data__val_fraction": 0, "data__augment": None, "model__base_channels": 8}
    run = train("digits", out=tmp_path / "run", train__epochs=40, train__label_smoothing=0, **small)
    found = bad(examine_run(run.path))
    assert found.keys() == {"overfitting", "data"}
    assert found["overfitting"][1].startswith("Training accuracy (100 %) runs far ahead of test accuracy (")
    assert found["data"][1].startswith("Only 20 training pictures")


def test_a_training_that_diverges(tmp_path: Path) -> None:
    """Without BatchNorm a learning rate like this ends in NaN before the first epoch is over."""
    wild = {
        "data": {"name": "synthetic"},
        "model": {"name": "simple-cnn"},
        "train": {"epochs": 2, "lr": 1e4},
    }
    with pytest.raises(ConvscopeError, match="the loss"):
        train_run(make_config(wild), out=tmp_path / "run")
    assert problems(tmp_path / "run") == {"training": "There is no metrics.csv: no epoch was ever finished."}
    (finding,) = [f for f in examine_run(tmp_path / "run") if f.name == "training"]
    assert finding.advice.endswith(
        "if the loss became nan: train again with a smaller train.lr or a longer train.warmup."
    )


def test_records_of_a_training_that_diverged(copied_run: Run) -> None:
    metrics = copied_run.path / "metrics.csv"
    header, *rows = metrics.read_text().splitlines()

    def with_loss(loss: str) -> str:
        cells = rows[-1].split(",")
        cells[header.split(",").index("train_loss")] = loss
        return "\n".join([header, *rows[:-1], ",".join(cells)]) + "\n"

    metrics.write_text(with_loss("nan"))
    assert problems(copied_run.path) == {"training": "The metrics of epoch 3 contain NaN or infinity."}
    metrics.write_text(with_loss("4.7"))
    seen = "The training loss ended at 4.7; guessing gives 2.3: it has diverged."
    assert problems(copied_run.path) == {"training": seen}
    metrics.write_text(with_loss("4.5"))
    assert problems(copied_run.path) == {}
    metrics.write_text("epoch\nthree\n")
    assert problems(copied_run.path)["training"].startswith("The records cannot be read: ")
    metrics.write_text(header + "\n")
    assert problems(copied_run.path)["training"].startswith("The records cannot be read: ")


@pytest.mark.parametrize("content", ["{", "[]", "3", '{"test_accuracy": 99.4}', '{"test_accuracy": "high"}'])
def test_results_that_cannot_be_read(copied_run: Run, content: str) -> None:
    (copied_run.path / "results.json").write_text(content)
    assert problems(copied_run.path)["training"].startswith("The records cannot be read: ")


def test_a_training_that_was_stopped(copied_run: Run) -> None:
    (copied_run.path / "results.json").unlink()
    assert problems(copied_run.path)["training"].startswith("The records cannot be read: ")  # it was finished
    (copied_run.path / "manifest.json").unlink()
    assert problems(copied_run.path) == {"training": "The training stopped after epoch 3: there is no results.json."}
    assert f"`convscope train --resume {copied_run.path}` goes on" in advice(copied_run.path)["training"]
    (copied_run.path / "config.yaml").unlink()  # and without it nothing goes on
    assert advice(copied_run.path) == {"training": "Copy the run again, or train again."}


def test_a_training_that_was_stopped_in_its_first_epoch_goes_on_as_advised(tmp_path: Path, cli: Cli) -> None:
    folder = break_off(tmp_path / "my run", at_step=4)
    found = examine_run(folder)
    assert [(f.name, f.severity) for f in found] == [("checkpoint", "fine"), ("training", "problem")]
    assert found[0].seen == (
        "The weights fit tiny-resnet, 62 tensors in latest.pt; best.pt comes with the end of an epoch."
    )
    assert found[1].seen == "There is no metrics.csv: no epoch was ever finished."
    assert follow(found[1].advice, cli) == ["convscope", "train", "--resume", str(folder)]
    assert problems(folder) == {}


def test_a_training_that_was_killed_before_its_first_step_goes_on_as_advised(tmp_path: Path, cli: Cli) -> None:
    folder = break_off(tmp_path / "run", at_step=1)
    (folder / "latest.pt").unlink()
    (folder / "environment.json").unlink()
    found = advice(folder)
    assert found == {
        "checkpoint": f"`convscope train --resume {folder}` begins again.",
        "training": found["training"],
    }
    follow(found["checkpoint"], cli)
    assert problems(folder) == {}
    (folder / "manifest.json").unlink()
    (folder / "best.pt").unlink()  # after its first epoch a run cannot do without
    assert problems(folder)["checkpoint"].startswith(f"No checkpoint {folder / 'best.pt'}; give")
    assert advice(folder)["checkpoint"] == "Copy the run again, or train again."


def test_a_training_that_was_killed_while_it_wrote_its_results_goes_on_as_advised(copied_run: Run, cli: Cli) -> None:
    folder = copied_run.path
    for name in ("manifest.json", "report.html", "plots/explain.png"):
        (folder / name).unlink()
    expected = "The training ended while its results were being written: there is no manifest.json."
    assert problems(folder) == {"training": expected}
    assert advice(folder)["training"] == f"`convscope train --resume {folder}` finishes it."
    follow(advice(folder)["training"], cli)
    assert bad(examine_run(folder)) == {}
    assert (folder / "report.html").is_file()


def test_a_training_at_work_is_no_problem(tmp_path: Path) -> None:
    """Looked at from within, under its own lock, which is the operating system's and holds for all but its owner."""
    folder = tmp_path / "run"
    seen: list[list[Finding]] = []

    def look(images: torch.Tensor) -> torch.Tensor:
        before = sorted(path.name for path in folder.iterdir())
        seen.append(examine_run(folder))
        assert sorted(path.name for path in folder.iterdir()) == before
        assert ".lock" in before
        return images

    train("digits", out=folder, augment=look, **TINY, data__val_fraction=0, train__epochs=2, train__batch_size=1200)
    first, *_, last = seen
    assert [(f.name, f.severity) for f in first] == [("checkpoint", "fine"), ("training", "fine")]
    assert first[1].seen == "Still training: 0 epochs done so far."
    assert [f.seen for f in last if f.name == "training"] == ["Still training: 1 epoch done so far."]
    assert "accuracy" in {f.name for f in last}
    assert "training" not in bad(examine_run(folder))


def test_a_training_that_has_just_begun_is_no_problem_and_a_lock_left_behind_none_at_work(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with claimed(folder, make_config({"data": {"name": "digits"}, "model": {"name": "tiny-resnet"}})):
        assert {f.severity for f in examine_run(folder)} == {"fine"}
    assert sorted(path.name for path in folder.iterdir()) == ["config.yaml"]
    touched = folder.stat().st_mtime_ns
    assert problems(folder).keys() == {"checkpoint", "training"}
    assert folder.stat().st_mtime_ns == touched  # to look makes nothing, not even for a moment
    (folder / ".lock").touch()  # as a killed process leaves it
    assert problems(folder).keys() == {"checkpoint", "training"}


def test_overfitting(copied_run: Run) -> None:
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


def test_pictures_that_the_checkpoint_leaves_in_0_to_255(copied_run: Run) -> None:
    change(copied_run.path, mean=[0.0], std=[1 / 255])
    found = problems(copied_run.path)
    assert found["values"] == ("The pictures are not normalised: values from 0 to 255, as if still on [0, 255].")
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
def test_a_normalisation_of_other_pictures(copied_run: Run, shift: float, factor: float, severity: str | None) -> None:
    """ImageNet's mean and deviation on MNIST, say; a little is left to pictures that were added since."""
    mean, std = copied_run.checkpoint["mean"][0], copied_run.checkpoint["std"][0]
    change(copied_run.path, mean=[mean + shift * std * factor], std=[std * factor])
    assert bad(examine_run(copied_run.path)).get("normalisation", (None, ""))[0] == severity


def test_a_checkpoint_of_another_architecture(copied_run: Run) -> None:
    other = build_model("deep-cnn", (1, 8, 8), 10).state_dict()
    change(copied_run.path, model_state=other)
    (finding, *_) = examine_run(copied_run.path)
    assert finding.seen.startswith(
        "The weights do not fit tiny-resnet, base_channels=8: stem.conv.weight is missing; "
        "stem.norm.weight is missing; stem.norm.bias is missing and "
    )
    assert finding.advice.startswith("The weights fit deep-cnn. Take the checkpoint of the model that you mean")
    assert problems(copied_run.path).keys() == {"checkpoint"}


def test_a_checkpoint_of_the_same_model_with_other_options(copied_run: Run) -> None:
    change(copied_run.path, model={"name": "tiny-resnet", "options": {"base_channels": 16}})
    (finding, *_) = examine_run(copied_run.path)
    assert "stem.conv.weight is (8, 1, 3, 3), the model has (16, 1, 3, 3)" in finding.seen
    assert finding.advice.startswith("The weights fit tiny-resnet with other options.")


@pytest.mark.parametrize(
    ("model", "seen"),
    [
        ({"name": "alexnet", "options": {}}, "Its model cannot be built: unknown model 'alexnet'; choose from"),
        ({"name": "lenet5", "options": {}}, "Its model cannot be built: LeNet5 got 8×8 pictures"),
        (
            {"name": "tiny-resnet", "options": {"depth": 3}},
            "Its model cannot be built: tiny-resnet has no option 'depth'",
        ),
    ],
    ids=["unknown", "too large", "unknown option"],
)
def test_a_model_that_cannot_be_built(copied_run: Run, model: dict[str, Any], seen: str) -> None:
    change(copied_run.path, model=model)
    assert problems(copied_run.path)["checkpoint"].startswith(seen)


def test_a_damaged_checkpoint(copied_run: Run) -> None:
    (copied_run.path / "best.pt").write_bytes(b"not a checkpoint")
    assert "is not a readable checkpoint" in problems(copied_run.path)["checkpoint"]


def test_weights_that_are_no_numbers(copied_run: Run) -> None:
    state = copied_run.checkpoint["model_state"]
    change(copied_run.path, model_state=state | {"head.bias": state["head.bias"] * float("inf")})
    assert problems(copied_run.path) == {"weights": "NaN or infinity in head.bias: the training has diverged."}


def test_a_blank_heatmap(copied_run: Run) -> None:
    state = copied_run.checkpoint["model_state"]
    change(copied_run.path, model_state=state | {"head.weight": -state["head.weight"].abs()})
    assert problems(copied_run.path)["heatmap"].startswith(
        "32 of 32 Grad-CAM heatmaps at layer group2.1.relu are blank"
    )


def test_another_data_set_than_the_run_was_trained_on(copied_run: Run) -> None:
    change(copied_run.path, config=copied_run.checkpoint["config"] | {"data": {"name": "synthetic"}})
    seen = problems(copied_run.path)["data"]
    assert "pictures (3, 32, 32) of 4 classes; the run was trained on (1, 8, 8) of 10" in seen


def test_without_the_pictures_the_rest_is_still_looked_at(tmp_path: Path, cli: Cli) -> None:
    pictures = write_pictures(tmp_path / "mine", each=20)
    changes = {"data__size": 16, "model__base_channels": 4, "train__epochs": 2}
    run = train("folder", out=tmp_path / "run", data_dir=pictures, **changes)
    found = bad(examine_run(run.path))
    assert found.keys() == {"data"}
    assert found["data"][0] == "warning"
    assert found["data"][1].startswith("The data set is not at hand (folder: no folder was named")
    assert "normalisation" in {finding.name for finding in examine_run(run.path, pictures)}
    results = json.loads((run.path / "results.json").read_text()) | {"test_accuracy": 0.5}
    (run.path / "results.json").write_text(json.dumps(results))
    assert bad(examine_run(run.path))["accuracy"][1].startswith("Test accuracy is near what guessing gives (50.0 %)")
    shutil.rmtree(pictures)
    code, out, _ = cli("doctor", run.path)
    assert code == 0
    assert "WARNING  data" in out


def test_the_command_prints_findings_and_exits_1_on_a_problem(cli: Cli, copied_run: Run) -> None:
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
    assert (
        " PROBLEM values The pictures are not normalised: values from 0 to 255, as if still on [0, 255]. "
        "-> Subtract the training mean and divide by the training standard deviation. fine labels "
    ) in " ".join(out.split())
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
