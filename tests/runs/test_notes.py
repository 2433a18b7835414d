"""Each note appears where its reason holds and not just short of it; `convscope train` prints them all."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from convscope.runs import Run
from convscope.runs.artifacts import METRICS, RESULTS, write_csv, write_json
from convscope.runs.notes import near_guessing, notes, overfitting

Cli = Callable[..., tuple[int, str, str]]
HEALTHY = {"training": 5000, "validation": 500, "test": 10_000}  # ten classes


def texts(
    folder: Path,
    *,
    learned: float = 0.9,
    held_out: float | None = 0.88,
    accuracy: float = 0.87,
    epochs: int = 4,
    **counts: int,
) -> dict[str, str]:
    """The notes on a run that came to these accuracies: text -> level."""
    # the earlier epochs are far apart, but only the last one counts
    early = [{"train_accuracy": 1.0, "val_accuracy": 0.1}] * (epochs - 1)
    rows = [*early, {"train_accuracy": learned, "val_accuracy": held_out}]
    write_csv(folder / METRICS, rows)
    write_json(folder / RESULTS, {"test_accuracy": accuracy})
    planned = {"config": {"train": {"epochs": epochs}}, "epoch": epochs, "best_val_accuracy": held_out}
    run = Run(folder, {"classes": list("0123456789")} | planned, nn.Identity())
    return {note.text.replace("\N{NO-BREAK SPACE}", " "): note.level for note in notes(run, **HEALTHY | counts)}


def test_a_healthy_run_needs_no_note(tmp_path: Path) -> None:
    assert texts(tmp_path) == {}


def test_after_early_stopping_the_kept_epoch_counts_not_the_poor_ones_that_followed(tmp_path: Path) -> None:
    rows = [{"train_accuracy": 0.96, "val_accuracy": 0.95}, *[{"train_accuracy": 0.99, "val_accuracy": 0.8}] * 4]
    write_csv(tmp_path / METRICS, rows)
    write_json(tmp_path / RESULTS, {"test_accuracy": 0.95})
    early, full = (
        Run(tmp_path, {"classes": ["a", "b"], "epoch": 1, "config": {"train": {"epochs": epochs}}}, nn.Identity())
        for epochs in (30, 5)
    )
    assert list(overfitting(early)) == []
    assert [remark.level for remark in overfitting(full)] == ["warning"]


def test_overfitting(tmp_path: Path) -> None:
    (text,) = found = texts(tmp_path, learned=0.985, held_out=0.88)
    assert text.startswith("Training accuracy (98.5 %) runs far ahead of validation accuracy (88.0 %)")
    assert found[text] == "warning"
    assert texts(tmp_path, learned=0.975, held_out=0.88) == {}


def test_overfitting_shows_on_the_test_set_where_nothing_is_held_out(tmp_path: Path) -> None:
    ahead, nothing = texts(tmp_path, learned=1.0, held_out=None, accuracy=0.87, validation=0)
    assert ahead.startswith("Training accuracy (100 %) runs far ahead of test accuracy (87.0 %)")
    assert nothing.startswith("Nothing was held out")


def test_a_gap_after_few_epochs_is_not_called_overfitting(tmp_path: Path) -> None:
    (text,) = found = texts(tmp_path, learned=0.6, held_out=0.31, epochs=1)
    assert text.startswith("Training accuracy (60.0 %) is ahead of validation accuracy (31.0 %), which says little")
    assert found[text] == "info"


def test_few_training_pictures(tmp_path: Path) -> None:
    (text,) = found = texts(tmp_path, training=499)
    assert text.startswith("Only 499 training pictures for 10 classes (49.9 each)")
    assert found[text] == "warning"
    assert texts(tmp_path, training=500) == {}


def test_few_validation_pictures(tmp_path: Path) -> None:
    (text,) = found = texts(tmp_path, validation=80)
    assert text.startswith("The validation split has only 80 pictures: one picture is 1.2 % of accuracy")
    assert found[text] == "info"
    assert texts(tmp_path, validation=100) == {}


def test_no_validation_pictures(tmp_path: Path) -> None:
    (text,) = texts(tmp_path, validation=0, held_out=None)
    assert text.startswith("Nothing was held out for validation (data.val_fraction=0)")


def test_few_test_pictures(tmp_path: Path) -> None:
    """The interval of 320 right of 400 after Wilson (1927), eq. 3, with z = 1.96: 0.758 to 0.836."""
    (text,) = found = texts(tmp_path, accuracy=0.8, test=400)
    assert text.startswith("The test set has 400 pictures, so the true accuracy lies between 75.8 % and 83.6 %")
    assert found[text] == "info"
    assert texts(tmp_path, accuracy=0.8, test=1000) == {}  # 0.774 to 0.824


def test_near_guessing(tmp_path: Path) -> None:
    poor = {"learned": 0.24, "held_out": 0.2}
    (text,) = found = texts(tmp_path, accuracy=0.149, **poor)
    assert text.startswith("Test accuracy is near what guessing gives (10.0 %): the network has not learned")
    assert found[text] == "warning"
    assert texts(tmp_path, accuracy=0.151, **poor) == {}


def test_two_classes_are_not_near_guessing_at_seventy_per_cent(tmp_path: Path) -> None:
    """Half as much again as guessing would be 75 %."""
    write_csv(tmp_path / METRICS, [{"train_accuracy": 0.6, "val_accuracy": None}])
    planned = {"config": {"train": {"epochs": 1}}, "epoch": 1, "best_val_accuracy": None}
    run = Run(tmp_path, {"classes": ["a", "b"]} | planned, nn.Identity())
    write_json(tmp_path / RESULTS, {"test_accuracy": 0.54})
    assert list(near_guessing(run)) == []
    write_json(tmp_path / RESULTS, {"test_accuracy": 0.52})
    assert [remark.seen for remark in near_guessing(run)] == [
        "Test accuracy is near what guessing gives (50.0\N{NO-BREAK SPACE}%): the network has not learned."
    ]


def test_validation_far_ahead_of_test_is_no_failure_to_learn(tmp_path: Path) -> None:
    (text,) = found = texts(tmp_path, learned=0.95, held_out=0.94, accuracy=0.12)
    assert text.startswith(
        "Validation accuracy (94.0 %) is far ahead of test accuracy (12.0 %), more than chance explains: the network "
        "has learned, but not what the test pictures ask for. Either the training pictures share a shortcut"
    )
    assert found[text] == "warning"
    assert texts(tmp_path, held_out=0.88, accuracy=0.785) == {}
    assert len(texts(tmp_path, held_out=0.88, accuracy=0.775)) == 1


def test_a_gap_that_so_few_pictures_may_show_by_chance_is_none(tmp_path: Path) -> None:
    few = texts(tmp_path, held_out=0.9, accuracy=0.7, validation=100, test=30)  # 0.83 to 0.94, and 0.52 to 0.83
    assert [text for text in few if "far ahead" in text] == []
    more = texts(tmp_path, held_out=0.9, accuracy=0.7, validation=100, test=60)  # 0.58 to 0.80
    assert len([text for text in more if "far ahead" in text]) == 1


@pytest.mark.parametrize("json_wanted", [False, True])
def test_training_prints_every_note_to_the_log(cli: Cli, tmp_path: Path, json_wanted: bool) -> None:
    changes = ["data.subset=60", "train.epochs=1", "model.base_channels=4", "train.lr=0.0001"]
    options = [word for change in changes for word in ("--set", change)]
    code, out, error = cli("train", "digits", "--out", tmp_path / "run", *options, *["--json"] * json_wanted)
    assert code == 0
    printed = [line.removeprefix("note: ") for line in error.splitlines() if line.startswith("note: ")]
    card = (tmp_path / "run" / "README.md").read_text().splitlines()
    assert printed == [line.removeprefix("> ") for line in card if line.startswith("> ")]
    starts = ["Only 54 training", "The validation split has only 6", "The test set has 360", "Test accuracy is near"]
    assert [text[: len(start)] for text, start in zip(printed, starts, strict=True)] == starts
    assert "note: " not in out
    if json_wanted:
        json.loads(out)
