"""A run's figures in, plain sentences out that say what to make of them: overfitting, tiny data, no held-out split."""

from collections.abc import Iterator

from convscope.runs.captions import percent
from convscope.runs.report import Note, wilson_interval
from convscope.runs.run import Run

FAR_AHEAD = 0.10  # training accuracy over validation accuracy, both fractions
FEW_PER_CLASS = 50  # training pictures; with fewer, chance decides which ones the network got to see
FEW_VALIDATION = 100
SETTLED = 4  # epochs; before, validation lags behind for reasons of its own


def notes(run: Run, training: int, validation: int, test: int) -> list[Note]:
    """What a careful reader should know of this run.

    Args:
        training, validation, test: how many pictures each set had.
    """
    return list(_notes(run, training, validation, test))


def _notes(run: Run, training: int, validation: int, test: int) -> Iterator[Note]:
    last, classes = run.metrics[-1], len(run.classes)
    held_out, learned = last["val_accuracy"], last["train_accuracy"] or 0.0
    if held_out is not None and learned - held_out > FAR_AHEAD and len(run.metrics) < SETTLED:
        yield Note(
            "info",
            f"Training accuracy ({percent(learned)}) is ahead of validation accuracy ({percent(held_out)}), "
            "which says little after so few epochs: BatchNorm's running statistics have not settled yet.",
        )
    elif held_out is not None and learned - held_out > FAR_AHEAD:
        yield Note(
            "warning",
            f"Training accuracy ({percent(learned)}) runs far ahead of validation accuracy ({percent(held_out)}): the "
            "network has learned its training pictures by heart rather than what they have in common. More pictures, "
            "stronger data.augment, a larger train.weight_decay or fewer epochs narrow the gap.",
        )
    if training < FEW_PER_CLASS * classes:
        yield Note(
            "warning",
            f"Only {training:,} training pictures for {classes} classes ({training / classes:.1f} each): another draw "
            "of pictures, or another train.seed, can change the accuracy by several points. "
            "Read this result as an example, not as a measurement.",
        )
    if validation == 0:
        yield Note(
            "info",
            "Nothing was held out for validation (data.val_fraction=0), so best.pt is simply the last epoch, and "
            "nothing but the test set says how well the network generalises.",
        )
    elif validation < FEW_VALIDATION:
        yield Note(
            "info",
            f"The validation split has only {validation} pictures: one picture is {percent(1 / validation)} of "
            "accuracy, so the choice of the best epoch is partly luck.",
        )
    right = round(run.results["test_accuracy"] * test)
    low, high = wilson_interval(right, test)
    if high - low > 0.05:
        yield Note(
            "info",
            f"The test set has {test:,} pictures, so the true accuracy lies between {percent(low)} and {percent(high)} "
            "(95 % interval); a smaller difference from another run means nothing.",
        )
    guessing = 1 / classes
    if run.results["test_accuracy"] < 1.5 * guessing:
        yield Note(
            "warning",
            f"Test accuracy is near what guessing gives ({percent(guessing)}): the network has not learned. "
            "Try a smaller train.lr, more epochs, and `convscope smoke`.",
        )
