"""A training that broke off, diverged or is at work is told by its records, and goes on as advised."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from convscope import train
from convscope.config import make_config
from convscope.doctor import Finding, examine_run
from convscope.errors import ConvscopeError
from convscope.runs import Run
from convscope.runs.claim import claimed
from convscope.train import train as train_run

Cli = Callable[..., tuple[int, str, str]]
Bad = Callable[[list[Finding]], dict[str, tuple[str, str]]]
Problems = Callable[..., dict[str, str]]
Advice = Callable[[Path], dict[str, str]]


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


def test_a_training_that_diverges(problems: Problems, tmp_path: Path) -> None:
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


def test_records_of_a_training_that_diverged(problems: Problems, copied_run: Run) -> None:
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
    (copied_run.path / "best.pt").rename(copied_run.path / "aside")  # the other checkpoint knows the classes too
    assert problems(copied_run.path)["training"] == seen
    (copied_run.path / "aside").rename(copied_run.path / "best.pt")
    metrics.write_text(with_loss("4.5"))
    assert problems(copied_run.path) == {}
    metrics.write_text("epoch\nthree\n")
    assert problems(copied_run.path)["training"].startswith("The records cannot be read: ")
    metrics.write_text(header + "\n")
    assert problems(copied_run.path)["training"].startswith("The records cannot be read: ")


@pytest.mark.parametrize("content", ["{", "[]", "3", '{"test_accuracy": 99.4}', '{"test_accuracy": "high"}'])
def test_results_that_cannot_be_read(problems: Problems, copied_run: Run, content: str) -> None:
    (copied_run.path / "results.json").write_text(content)
    assert problems(copied_run.path)["training"].startswith("The records cannot be read: ")


def test_a_training_that_was_stopped(problems: Problems, advice: Advice, copied_run: Run) -> None:
    (copied_run.path / "results.json").unlink()
    assert problems(copied_run.path)["training"].startswith("The records cannot be read: ")  # it was finished
    (copied_run.path / "manifest.json").unlink()
    assert problems(copied_run.path) == {"training": "The training stopped after epoch 3: there is no results.json."}
    assert f"`convscope train --resume {copied_run.path}` goes on" in advice(copied_run.path)["training"]
    (copied_run.path / "config.yaml").unlink()  # and without it nothing goes on
    assert advice(copied_run.path) == {"training": "Copy the run again, or train again."}


def test_a_training_that_was_stopped_in_its_first_epoch_goes_on_as_advised(
    problems: Problems, tmp_path: Path, cli: Cli
) -> None:
    folder = break_off(tmp_path / "my run", at_step=4)
    found = examine_run(folder)
    assert [(f.name, f.severity) for f in found] == [("checkpoint", "fine"), ("training", "problem")]
    assert found[0].seen == (
        "The weights fit tiny-resnet, 62 tensors in latest.pt; best.pt comes with the end of an epoch."
    )
    assert found[1].seen == "There is no metrics.csv: no epoch was ever finished."
    assert follow(found[1].advice, cli) == ["convscope", "train", "--resume", str(folder)]
    assert problems(folder) == {}


def test_a_training_that_was_killed_before_its_first_step_goes_on_as_advised(
    problems: Problems, advice: Advice, tmp_path: Path, cli: Cli
) -> None:
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


def test_a_training_that_was_killed_while_it_wrote_its_results_goes_on_as_advised(
    bad: Bad,
    problems: Problems,
    advice: Advice,
    copied_run: Run,
    cli: Cli,
) -> None:
    folder = copied_run.path
    for name in ("manifest.json", "report.html", "plots/explain.png"):
        (folder / name).unlink()
    expected = "The training ended while its results were being written: there is no manifest.json."
    assert problems(folder) == {"training": expected}
    assert advice(folder)["training"] == f"`convscope train --resume {folder}` finishes it."
    follow(advice(folder)["training"], cli)
    assert bad(examine_run(folder)) == {}
    assert (folder / "report.html").is_file()


def test_a_training_at_work_is_no_problem(bad: Bad, tmp_path: Path) -> None:
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


def test_a_training_that_has_just_begun_is_no_problem_and_a_lock_left_behind_none_at_work(
    problems: Problems, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with claimed(folder, make_config({"data": {"name": "digits"}, "model": {"name": "tiny-resnet"}})):
        assert {f.severity for f in examine_run(folder)} == {"fine"}
    assert sorted(path.name for path in folder.iterdir()) == ["config.yaml"]
    touched = folder.stat().st_mtime_ns
    assert problems(folder).keys() == {"checkpoint", "training"}
    assert folder.stat().st_mtime_ns == touched  # to look makes nothing, not even for a moment
    (folder / ".lock").touch()  # as a killed process leaves it
    assert problems(folder).keys() == {"checkpoint", "training"}


@pytest.mark.parametrize("gone", [(), ("manifest.json",), ("manifest.json", "best.pt")], ids=len)
def test_records_that_are_missing_are_no_training_that_never_was(
    problems: Problems, advice: Advice, copied_run: Run, gone: tuple[str, ...]
) -> None:
    for name in ("metrics.csv", *gone):
        (copied_run.path / name).unlink()
    seen = problems(copied_run.path)["training"]
    assert seen == "metrics.csv is missing, though 3 epochs are behind latest.pt."
    assert advice(copied_run.path)["training"] == "Copy the run again, or train again."
    (copied_run.path / "latest.pt").unlink()
    seen = problems(copied_run.path)["training"]
    epoch = copied_run.checkpoint["epoch"]
    ending = "There is no metrics.csv: no epoch was ever finished." if "best.pt" in gone else f"{epoch} epoch"
    assert ending in seen
