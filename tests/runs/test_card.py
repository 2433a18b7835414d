"""The card's figures are the run's own, and what it tells a reader to type can be typed."""

import dataclasses

from convscope.runs import Run
from convscope.runs.artifacts import ARTIFACTS
from convscope.runs.card import card
from convscope.runs.report import Note, wilson_interval


def rows(text: str) -> dict[str, str]:
    """The cells of every table with two columns."""
    cells = [line.strip("| ").split(" | ", 1) for line in text.splitlines() if line.startswith("| ")]
    return {cell[0]: cell[1] for cell in cells if len(cell) == 2}


def test_it_names_the_epoch_that_was_chosen_and_the_figures(digits_run: Run) -> None:
    run = dataclasses.replace(digits_run, checkpoint=digits_run.checkpoint | {"epoch": 2})  # of three
    text = card(run, [], 360).replace("\N{NO-BREAK SPACE}", " ")
    found, results = rows(text), run.results
    assert found["checkpoint chosen"] == "epoch 2"
    assert found["best validation accuracy"] == f"{100 * results['val_accuracy']:.2f} %"
    assert found["model"] == f"tiny-resnet, {results['parameters']:,} parameters"
    assert found["classes"] == "10: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert found["input"].startswith("1×8×8 (C×H×W)")
    assert found["training"].startswith("3 epochs of sgd, seed 0, ")
    assert text.startswith("# digits: tiny-resnet on digits\n")
    low, high = wilson_interval(round(360 * results["test_accuracy"]), 360)
    assert f"{100 * results['test_accuracy']:.2f} % of 360 held-out test pictures are classified correctly" in text
    assert f"(95 % interval {100 * low:.1f} % to {100 * high:.1f} %)" in text


def test_the_written_card_names_the_epoch_of_the_checkpoint_and_every_file(digits_run: Run) -> None:
    text = (digits_run.path / "README.md").read_text()
    scores = [(row["val_accuracy"] or 0.0, -(row["val_loss"] or 0.0)) for row in digits_run.metrics]
    assert rows(text)["checkpoint chosen"] == f"epoch {1 + scores.index(max(scores))}"
    for name in ARTIFACTS:
        assert f"`{name.partition('/')[0]}{'/' if '/' in name else ''}`" in text or name == "README.md"


def test_notes_are_quoted_in_their_order(digits_run: Run) -> None:
    text = card(digits_run, [Note("warning", "First things first."), Note("info", "Then this.")], 360)
    assert [line for line in text.splitlines() if line.startswith(">")] == ["> First things first.", "> Then this."]
