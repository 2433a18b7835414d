"""A run and pictures in; the requests of a soak out, and when an answer differs from the one given alone.

A prediction may differ from the one alone by two units of its sixth digit, the last that is sent: how many pictures are
computed together decides in which order a convolution adds up. Explanations are computed one by one, so those and
refusals must be the same to the last digit.
"""

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from convscope.registry import METHODS

ROUNDING = 2e-6
KINDS = ("predict", "explain", "bad")


@dataclass(frozen=True)
class Question:
    """A request: where to, with which pictures, and how far its numbers may lie from the answer given alone."""

    path: str
    contents: tuple[bytes, ...]
    tolerance: float = 0.0

    async def ask(self, client: httpx.AsyncClient) -> tuple[int, Any]:
        """Status and body; an error without the id of its request, the one thing in it that is new each time."""
        files = [("image", ("picture", content)) for content in self.contents]
        response = await client.post(self.path, files=files)
        body = response.json()
        if "error" in body:
            del body["error"]["request_id"]
        return response.status_code, body


def questions(pictures: Sequence[bytes], methods: Sequence[str] = tuple(METHODS)) -> dict[str, list[Question]]:
    """Those of each kind: predictions of one and of several pictures, every method both ways, and bad pictures."""
    a, b, c, *_ = pictures
    predict = [Question("/v1/predict", (picture,), ROUNDING) for picture in pictures]
    predict += [Question("/v1/predict?top_k=5", tuple(pictures[:count]), ROUNDING) for count in (2, 3, 8)]
    outputs = itertools.cycle(("png", "map"))
    turns = zip(methods, outputs, itertools.cycle(pictures), strict=False)
    explain = [Question(f"/v1/explain?method={quote(method)}&output={output}", (one,)) for method, output, one in turns]
    explain += [Question("/v1/explain?method=grad-cam&target=1", (a, b))]
    bad = [
        Question("/v1/predict", (a, b[: len(b) // 2])),
        Question("/v1/predict", (b"",)),
        Question("/v1/predict", (b"<svg/>",)),
        Question("/v1/predict", (a,) * 17),
        Question("/v1/explain?target=nothing", (a,)),
        Question("/v1/explain?method=nothing", (a,)),
        Question("/v1/predict?model=../nothing", (a,)),
        Question("/v1/predict", (c + b"more",)),
    ]
    return dict(zip(KINDS, (predict, explain, bad), strict=True))


def endless(of: Sequence[Question], seed: int) -> Iterator[Question]:
    """All of them in one order after another."""
    order, rng = list(of), random.Random(seed)
    while True:
        rng.shuffle(order)
        yield from order


def differs(got: Any, expected: Any, tolerance: float) -> bool:
    """Whether two answers differ, in numbers by more than `tolerance`."""
    if isinstance(got, dict) and isinstance(expected, dict):
        return got.keys() != expected.keys() or any(differs(got[key], expected[key], tolerance) for key in got)
    if isinstance(got, list) and isinstance(expected, list):
        return len(got) != len(expected) or any(map(differs, got, expected, itertools.repeat(tolerance)))
    if isinstance(got, float) and isinstance(expected, float):
        return not abs(got - expected) <= tolerance
    return bool(got != expected)
