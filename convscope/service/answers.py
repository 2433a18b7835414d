"""A model and prepared pictures in; probabilities, or explanations with what is shown of them, out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convscope.explain import Explanation, display_size, explain, overlay
from convscope.pictures import encode_png
from convscope.runs.run import softmax
from convscope.service.batcher import Ticket
from convscope.service.models import Served, padded

Pictures = NDArray[np.uint8]  # (N, C, H, W), prepared as the checkpoint says
Rows = NDArray[np.float64]  # (N, K), probabilities


@dataclass(frozen=True, eq=False)
class Question:
    """What to explain of which pictures; `target` None is the class that is predicted for each."""

    pictures: Pictures
    method: str
    layer: str | None
    target: int | None
    drawn: bool


@dataclass(frozen=True, eq=False)
class Answer:
    """One picture's explanation; `png`, where asked for, is the heat laid over the picture."""

    found: Explanation
    probabilities: NDArray[np.float64]  # (K,)
    png: bytes | None


class AbandonedError(Exception):
    """Nobody waits for this any more."""


def probabilities(model: Served, tickets: Sequence[Ticket[Pictures, Rows]]) -> list[Rows]:
    """Those of a batch, computed at once, with blank pictures up to a `padded` size; for each ticket its own."""
    pictures = np.concatenate([ticket.work for ticket in tickets])
    blank = np.zeros((padded(len(pictures)) - len(pictures), *pictures.shape[1:]), np.uint8)
    rows = model.run.probabilities(np.concatenate([pictures, blank]))
    ends = np.cumsum([len(ticket.work) for ticket in tickets])
    return np.split(rows, ends)[:-1]


def explanations(model: Served, tickets: Sequence[Ticket[Question, list[Answer]]]) -> list[list[Answer]]:
    """A picture after the other, so that each is explained as it would be alone, bit for bit."""
    return [_explained(model, ticket) for ticket in tickets]


def _explained(model: Served, ticket: Ticket[Question, list[Answer]]) -> list[Answer]:
    """The answers to one question; breaks off, also within a slow method, when nobody waits any more."""

    def go_on(*_: int) -> None:
        if ticket.future.done():
            raise AbandonedError

    question, answers = ticket.work, []
    for picture in question.pictures:
        go_on()
        batch = model.run.preprocess(picture[None])
        found = explain(model.run.model, batch, question.target, question.layer, question.method, go_on)
        png = None
        if question.drawn:
            drawn = overlay(picture, found.heatmaps(display_size(*picture.shape[1:]))[0])  # (H, W, 3)
            png = encode_png(drawn.transpose(2, 0, 1))
        answers.append(Answer(found, softmax(found.logits.astype(np.float64))[0], png))
    return answers
