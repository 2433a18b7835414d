"""Places on the page in; the numbers that it shows there, and what they are checked by, out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx
import numpy as np
from playwright.sync_api import Page


@dataclass(frozen=True)
class Shown:
    """A number on the page: the model's, the page's own sum and the bound (NaN: none), and the cell that it is of."""

    cell: str
    value: np.float32
    sum: float
    bound: float

    def holds(self) -> bool:
        """The sum is within the bound, and the bound is no excuse."""
        return abs(float(self.value) - self.sum) <= self.bound <= 1e-4 * max(1, abs(self.sum))


class Walk:
    """The way of a reader from number to number, on one page."""

    def __init__(self, page: Page, site: str) -> None:
        self.page, self._site = page, site

    def graph(self, model: str) -> dict[str, Any]:
        """The network as the page has it."""
        answer: dict[str, Any] = httpx.get(f"{self._site}/v1/trace/{model}", timeout=60, trust_env=False).json()
        return answer

    def go(self, **place: object) -> None:
        """Change the address."""
        self.page.evaluate("hash => { location.hash = hash }", urlencode(place, safe=":,"))

    def to(self, cell: str, **place: object) -> Shown:
        """The number in focus once the page is at that place and shows `cell`."""
        self.go(**place)
        self.page.wait_for_selector(f"#focus[data-cell={json.dumps(cell)}]")
        return self.shown("#focus")[0]

    def shown(self, selector: str) -> Sequence[Shown]:
        """The numbers on those elements."""
        found = self.page.eval_on_selector_all(selector, "all => all.map((e) => ({ ...e.dataset }))")
        return [
            Shown(one["cell"], np.float32(one["value"]), float(one.get("sum", "nan")), float(one.get("bound", "nan")))
            for one in found
        ]
