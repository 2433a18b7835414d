"""Logits and labels in, a Score out: which pictures are right, and whether that is more than guessing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from convscope.doctor.finding import Finding
from convscope.doctor.passes import REFUSALS, are_logits, forward
from convscope.runs.captions import percent
from convscope.runs.report import wilson_interval

HANDFUL = 30  # pictures; if all of fewer are right, the true accuracy may still be below 89 %
GAIN = 0.05  # of accuracy: a correction that brings less proves nothing


@dataclass(frozen=True)
class Score:
    """How a model does on labelled pictures.

    Attributes:
        labels: int64, (N,).
        right: bool, (N,).
        guessing: the accuracy that guessing gives.
    """

    labels: Tensor
    right: Tensor
    guessing: float

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy."""
        return wilson_interval(self.count, len(self.right))

    @property
    def count(self) -> int:
        """How many pictures are right."""
        return int(self.right.sum())

    @property
    def verdict(self) -> Literal["works", "fails", "unclear"]:
        """Better than guessing, as bad as guessing, or too few pictures to tell."""
        low, high = self.interval
        if low > self.guessing:
            return "works"
        return "fails" if high < (1 + self.guessing) / 2 and len(self.right) >= HANDFUL else "unclear"

    @property
    def text(self) -> str:
        """In words, without a full stop."""
        return f"{self.count} of {len(self.right)} pictures are right ({percent(self.count / len(self.right))})"

    def beaten(
        self, model: nn.Module, images: Tensor, training: Callable[[nn.Module], bool] = lambda module: False
    ) -> "Score | None":
        """The score on the same pictures corrected, or in another mode, if chance does not explain that it is better.

        That is McNemar's test (Psychometrika 12, 1947) at 95 %, of pictures that are right only now or only then.
        """
        try:
            answer = forward(model, images, training)
        except REFUSALS:
            return None
        if not are_logits(answer, len(self.labels)):
            return None
        other = score(answer, self.labels)
        gained, lost = int((other.right & ~self.right).sum()), int((self.right & ~other.right).sum())
        return other if gained - lost > max(GAIN * len(self.labels), 1.96 * (gained + lost) ** 0.5) else None


def score(logits: Tensor, labels: Tensor) -> Score:
    """Logits (N, K) against class numbers (N,)."""
    return Score(labels, logits.argmax(dim=1) == labels, 1 / logits.shape[1])


def check_accuracy(found: Score) -> Finding:
    """Right answers against what guessing gives, as far as so many pictures can tell."""
    n, low, high = len(found.right), *found.interval
    seen = f"{found.text.removesuffix(')')}; 95 % interval {percent(low)} to {percent(high)})"
    guessing = percent(found.guessing)
    if found.count == n and n < HANDFUL:
        advice = f"That many prove little: measure on at least {HANDFUL} that the model has never seen."
        return Finding("accuracy", "warning", f"{seen}.", advice)
    if found.verdict == "works":
        return Finding("accuracy", "fine", f"{seen}; guessing gives {guessing}.")
    if found.verdict == "fails":
        advice = (
            "If it was trained: are pictures and labels still in the same order, and is the learning rate right? "
            "`convscope smoke` says whether learning works at all; a network should learn ten pictures by heart."
        )
        return Finding("accuracy", "problem", f"{seen}, no better than guessing ({guessing}).", advice)
    return Finding("accuracy", "warning", f"{seen}; guessing gives {guessing}.", "Too few to tell: take more pictures.")
