"""A run's figures in, plain sentences out that say what to make of them: overfitting, tiny data, no held-out split."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from convscope.runs.captions import percent
from convscope.runs.report import Note, wilson_interval
from convscope.runs.run import Row, Run

FAR_AHEAD = 0.10  # training accuracy over validation accuracy, both fractions
FEW_PER_CLASS = 50  # training pictures; with fewer, chance decides which ones the network got to see
FEW_VALIDATION = 100
SETTLED = 4  # epochs; before, validation lags behind for reasons of its own


@dataclass(frozen=True)
class Remark:
    """What was seen in a run and, of a warning, what to do about it, in whole sentences."""

    level: Literal["info", "warning"]
    seen: str
    advice: str = ""

    @property
    def note(self) -> Note:
        """Both in one text, as card and report print it."""
        return Note(self.level, f"{self.seen} {self.advice}".rstrip())


def notes(run: Run, training: int, validation: int, test: int) -> list[Note]:
    """What a careful reader should know of this run.

    Args:
        training, validation, test: how many pictures each set had.
    """
    remarks = [
        *overfitting(run),
        *other_test_pictures(run, validation, test),
        *few_pictures(run, training, validation, test),
        *near_guessing(run),
    ]
    return [remark.note for remark in remarks]


def overfitting(run: Run) -> Iterator[Remark]:
    """Training accuracy far ahead of validation accuracy at the end; of test accuracy where nothing is held out.

    After early stopping the end is a poor epoch on purpose, so the one whose weights were kept is looked at.
    """
    last = _judged_epoch(run)
    learned, held_out, which = last["train_accuracy"] or 0.0, last["val_accuracy"], "validation"
    if held_out is None:
        held_out, which = run.results["test_accuracy"], "test"
    if learned - held_out <= FAR_AHEAD:
        return
    if len(run.metrics) < SETTLED:
        yield Remark(
            "info",
            f"Training accuracy ({percent(learned)}) is ahead of {which} accuracy ({percent(held_out)}), "
            "which says little after so few epochs: BatchNorm's running statistics have not settled yet.",
        )
    else:
        yield Remark(
            "warning",
            f"Training accuracy ({percent(learned)}) runs far ahead of {which} accuracy ({percent(held_out)}): the "
            "network has learned its training pictures by heart rather than what they have in common.",
            "More pictures, stronger data.augment, a larger train.weight_decay or fewer epochs narrow the gap.",
        )


def _judged_epoch(run: Run) -> Row:
    """The row of the last epoch; after early stopping, of the one whose weights were kept."""
    rows = run.metrics
    early = len(rows) < run.checkpoint["config"]["train"]["epochs"]
    return rows[run.checkpoint["epoch"] - 1 if early else -1]


def other_test_pictures(run: Run, validation: int, test: int) -> Iterator[Remark]:
    """Validation accuracy so far ahead of test accuracy that the two sets cannot be alike; counts as for `notes`.

    A shortcut that the training pictures share with those held out of them is one reason (Geirhos et al., Shortcut
    learning in deep neural networks, 2020).
    """
    held_out, tested = run.checkpoint["best_val_accuracy"], run.results["test_accuracy"]
    if held_out is None or held_out - tested <= FAR_AHEAD:
        return
    low, _ = wilson_interval(round(held_out * validation), validation)
    _, high = wilson_interval(round(tested * test), test)
    if low > high:
        yield Remark(
            "warning",
            f"Validation accuracy ({percent(held_out)}) is far ahead of test accuracy ({percent(tested)}), more than "
            "chance explains: the network has learned, but not what the test pictures ask for.",
            "Either the training pictures share a shortcut with those held out of them (a mark, a background, a "
            "camera), or the test set is of another kind: see with `convscope explain` what it looks at, and hold "
            "validation pictures out of the test set's source.",
        )


def few_pictures(run: Run, training: int, validation: int, test: int) -> Iterator[Remark]:
    """Sets so small that chance has its hand in the figures; counts as for `notes`."""
    classes = len(run.classes)
    if training < FEW_PER_CLASS * classes:
        yield Remark(
            "warning",
            f"Only {training:,} training pictures for {classes} classes ({training / classes:.1f} each): another draw "
            "of pictures, or another train.seed, can change the accuracy by several points.",
            "Read this result as an example, not as a measurement.",
        )
    if validation == 0:
        yield Remark(
            "info",
            "Nothing was held out for validation (data.val_fraction=0), so best.pt is simply the last epoch, and "
            "nothing but the test set says how well the network generalises.",
        )
    elif validation < FEW_VALIDATION:
        yield Remark(
            "info",
            f"The validation split has only {validation} pictures: one picture is {percent(1 / validation)} of "
            "accuracy, so the choice of the best epoch is partly luck.",
        )
    right = round(run.results["test_accuracy"] * test)
    low, high = wilson_interval(right, test)
    if high - low > 0.05:
        yield Remark(
            "info",
            f"The test set has {test:,} pictures, so the true accuracy lies between {percent(low)} and {percent(high)} "
            "(95 % interval); a smaller difference from another run means nothing.",
        )


def near_guessing(run: Run) -> Iterator[Remark]:
    """Test accuracy that takes no network, of one that did no better on its own training pictures."""
    guessing = 1 / len(run.classes)
    tested = run.results["test_accuracy"]
    # half as much again, but with two classes that would be 75 %, which a fair network may miss
    near = min(1.5 * guessing, guessing + (1 - guessing) / 18)
    if tested < near and (_judged_epoch(run)["train_accuracy"] or 0.0) - tested <= FAR_AHEAD:
        yield Remark(
            "warning",
            f"Test accuracy is near what guessing gives ({percent(guessing)}): the network has not learned.",
            "Try a smaller train.lr, more epochs, and `convscope smoke`.",
        )
