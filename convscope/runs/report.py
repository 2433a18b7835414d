"""What a run found goes in; one self-contained HTML page comes out, that teaches how to read it."""

import base64
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Literal

import numpy as np
from jinja2 import Environment, StrictUndefined
from numpy.typing import NDArray

from convscope.runs.canvas import is_printable
from convscope.runs.captions import percent
from convscope.runs.environment import command_line
from convscope.runs.layer_table import LayerRow

PICTURES = ("curves", "confusion", "explain", "filters", "feature_maps", "network")
CHARTS = ("curves", "confusion", "network")  # without photographs, so that a dark page may turn them dark
FOLDED = 20  # classes; beyond, the table shows the weakest and folds the rest away


@dataclass(frozen=True)
class Note:
    """One plain sentence on what to make of the run."""

    level: Literal["info", "warning"]
    text: str


@dataclass(frozen=True, eq=False)
class ReportData:
    """Everything that the report shows.

    Attributes:
        run: the run folder as a user would type it; the commands on the page carry it.
        recipe, model, dataset: names.
        classes: K names.
        confusion: counts on the test set, (K, K), rows true, columns predicted; the accuracies follow from it.
        parameters: how many numbers were learned.
        epochs: how many were trained.
        best_epoch: the one whose weights were tested, chosen on the validation split; None without one.
        train_seconds: of training alone; images_per_second: while training, None if nobody measured.
        layers: the network, in order.
        pictures: PNG bytes by name, any of `PICTURES`; one that is missing leaves its section out.
        notes: what to make of it, computed elsewhere.
        config_yaml: the run's configuration.
        environment: on what it ran; a mapping inside (the packages) is written out, None left out.
        explain_index: the test picture that the page suggests to explain; a mistake teaches most.
        accuracy_tta: of the test set with test-time augmentation; None leaves it out.
    """

    run: str
    recipe: str
    model: str
    dataset: str
    classes: Sequence[str]
    confusion: NDArray[np.integer]
    parameters: int
    epochs: int
    best_epoch: int | None
    train_seconds: float
    images_per_second: float | None
    layers: Sequence[LayerRow]
    pictures: Mapping[str, bytes]
    config_yaml: str
    environment: Mapping[str, Any]
    notes: Sequence[Note] = field(default_factory=tuple)
    explain_index: int = 0
    accuracy_tta: float | None = None

    def __post_init__(self) -> None:
        k = len(self.classes)
        if self.confusion.shape != (k, k) or self.confusion.sum() == 0:
            raise ValueError(
                f"expected a (K, K) confusion matrix of at least one picture for {k} classes, "
                f"got {self.confusion.shape} with {self.confusion.sum()} pictures"
            )
        if unknown := set(self.pictures) - set(PICTURES):
            raise ValueError(f"unknown pictures {sorted(unknown)}; choose from {', '.join(PICTURES)}")


def render_report(data: ReportData) -> str:
    """The whole page as HTML: styles and pictures inside, no script, nothing fetched.

    All text that comes from `data` is escaped.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"count": _count, "percent": percent, "duration": _duration}
    template = (resources.files("convscope.runs") / "report.html").read_text(encoding="utf-8")
    right, tested = int(np.trace(data.confusion)), int(data.confusion.sum())
    low, high = wilson_interval(right, tested)
    page = environment.from_string(template).render(
        data=data,
        right=right,
        tested=tested,
        accuracy=right / tested,
        low=low,
        high=high,
        chance=1 / len(data.classes),
        guess_loss=math.log(len(data.classes)),
        charts=CHARTS,
        pictures={name: _embed(data.pictures[name]) for name in PICTURES if name in data.pictures},
        class_rows=_class_rows(data),
        folded=FOLDED,
        worst=_worst_mistake(data),
        layer_total=max(1, data.parameters),
        multiply_adds=sum(layer.multiply_adds for layer in data.layers),
        environment_rows=_flatten(data.environment),
        path=command_line([data.run]),
        numbered=not all(map(is_printable, data.classes)),
    )
    return page.strip() + "\n"


def wilson_interval(correct: int, n: int) -> tuple[float, float]:
    """The 95 % score interval of a proportion: where the true accuracy lies, judged from `n` pictures.

    With p = correct/n and z = 1.96: (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n). Unlike p ± 1.96 standard
    errors it stays within [0, 1] and is not of zero width at 0 or n.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the
    American Statistical Association 22 (1927), 209-212.

    Raises:
        ValueError: not 0 <= correct <= n, or n = 0.
    """
    if not 0 <= correct <= n or n == 0:
        raise ValueError(f"expected 0 <= correct <= n and n > 0, got correct={correct}, n={n}")
    z = 1.959963984540054  # the 97.5 % point of the normal distribution
    p = correct / n
    middle = p + z * z / (2 * n)
    reach = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # at the ends rounding would leave -1e-17 or 1.0000000000000002
    return (0.0 if correct == 0 else (middle - reach) / scale, 1.0 if correct == n else (middle + reach) / scale)


def _class_rows(data: ReportData) -> list[dict[str, Any]]:
    """A row a class; where the table is long, the weakest first. A class without pictures has no accuracy."""
    rows: list[dict[str, Any]] = []
    for index, name in enumerate(data.classes):
        counts = np.array(data.confusion[index])
        n, right = int(counts.sum()), int(counts[index])
        counts[index] = 0
        other = int(counts.argmax())
        rows.append(
            {
                "number": index,
                "name": name,
                "n": n,
                "right": right,
                "accuracy": right / n if n else None,
                "confused": data.classes[other] if counts[other] else None,
                "times": int(counts[other]),
            }
        )
    if len(rows) > FOLDED:
        rows.sort(key=lambda row: row["right"] / row["n"] if row["n"] else 2.0)
    return rows


def _worst_mistake(data: ReportData) -> dict[str, Any] | None:
    """The most frequent mistake: which class was taken for which, how often, of how many; None if there is none."""
    mistakes = np.array(data.confusion)
    np.fill_diagonal(mistakes, 0)
    true, predicted = divmod(int(mistakes.argmax()), len(data.classes))
    if mistakes[true, predicted] == 0:
        return None
    return {
        "true": data.classes[true],
        "predicted": data.classes[predicted],
        "times": int(mistakes[true, predicted]),
        "n": int(data.confusion[true].sum()),
    }


def _embed(png: bytes) -> dict[str, Any]:
    """A PNG as a data URI, and its size on the page: 0.6 of its pixels, so that 10 points become 12 CSS pixels."""
    if png[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError(f"expected PNG bytes, got {png[:8]!r}")
    width, height = struct.unpack(">II", png[16:24])
    uri = "data:image/png;base64," + base64.b64encode(png).decode("ascii")
    return {"uri": uri, "width": round(0.6 * width), "height": round(0.6 * height)}


def _flatten(environment: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values as text, nesting written out, None left out."""
    rows: list[tuple[str, str]] = []
    for name, value in environment.items():
        if isinstance(value, Mapping):
            prefix = "" if name == "packages" else f"{name.replace('_', ' ')}: "
            rows += [(f"{prefix}{inner}", item) for inner, item in _flatten(value)]
        elif value is not None:
            rows.append((name, f"{value:.4g}" if isinstance(value, float) else str(value)))
    return rows


def _count(value: float) -> str:
    """175258 as 175,258."""
    return f"{value:,.0f}"


def _duration(seconds: float) -> str:
    """75 as 1 min 15 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
