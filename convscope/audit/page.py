"""An audit in, one HTML page out: styles, drawings and pictures inside, no script, nothing fetched."""

import base64
import io
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from convscope.audit.audit import IMAGES, Audit, MethodAudit
from convscope.audit.charts import curve_chart, likeness_chart
from convscope.audit.contest import BETTER, CURVES, Interval
from convscope.audit.not_checked import not_checked
from convscope.audit.sanity import THRESHOLD, Likeness
from convscope.audit.verdict import CONTROLS, beats_all, listed, outcome
from convscope.explain import Explanation, display_size, overlay
from convscope.registry import METHODS
from convscope.runs.environment import command_line

SHOWN = 6  # pictures
PIXELS = 112  # of a picture's longer side
MARKS = {1: "better", -1: "worse", 0: "level"}


def render_audit(audit: Audit) -> str:
    """The whole page; all text that comes from the run is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": _number, "signed": _signed, "interval": _interval, "small": _small}
    template = (resources.files("convscope.audit") / "page.html").read_text(encoding="utf-8")
    best = [method.name for method in audit.methods if beats_all(method.gains)]
    page = environment.from_string(template).render(
        audit=audit,
        again=_again(audit),
        best=best,
        listed=listed,
        methods=[_method(method, audit) for method in audit.methods],
        controls={CONTROLS.get(name, name): entry.intervals() for name, (_, entry) in audit.controls.items()},
        control_names=[CONTROLS.get(name, name) for name in audit.controls],
        measures=list(BETTER),
        curves=CURVES,
        held=sum(oracle.ok is True for oracle in audit.oracles),
        skipped=[oracle for oracle in audit.oracles if oracle.ok is None],
        pictures=_pictures(audit),
        rows=_rows(audit),
        threshold=THRESHOLD,
        kept=[m.name for m in audit.methods if m.likeness.passed is False],
        tested=[m.name for m in audit.methods if m.likeness.passed is not None],
        not_checked=not_checked(audit),
    )
    return page.strip() + "\n"


def _again(audit: Audit) -> str:
    """The command that makes this page again, for a shell to take."""
    count, asked = len(audit.subject.images), [*(m.name for m in audit.methods), *audit.refused]
    options = [] if count == IMAGES else ["--images", str(count)]
    if len(asked) < len(METHODS):
        options += [part for name in asked for part in ("--method", name)]
    return command_line(["convscope", "audit", audit.run, *options, *["--random-labels"] * bool(audit.random_labels)])


def _method(method: MethodAudit, audit: Audit) -> dict[str, Any]:
    """What the page shows of one method."""
    return {
        "name": method.name,
        "pictures": len(method.maps),
        "passes": method.maps.passes,
        "verdict": method.verdict,
        "after": _after(method.likeness),
        "labels": _after(method.labels) if method.labels else None,
        "failed": [oracle.name for oracle in audit.failed if method.name in oracle.methods],
        "marks": {
            curve: [MARKS[(over[curve].low > 0) - (over[curve].high < 0)] for over in method.gains.values()]
            for curve in CURVES
        },
        "charts": {curve: _chart(method, audit, curve) for curve in CURVES},
        "intervals": method.entry.intervals(),
        "gains": {CONTROLS.get(name, name): gains for name, gains in method.gains.items()},
        "beaten": all(not outcome(gains)[0] for gains in method.gains.values()),
    }


def _chart(method: MethodAudit, audit: Audit, curve: str) -> Markup:
    own, count = method.entry.curves[curve], len(method.entry)
    controls = {name: entry.curves[curve].values[:count] for name, (_, entry) in audit.controls.items()}
    return Markup(curve_chart(own.shares, own.values, controls, f"{curve} of {method.name} and of the controls"))


def _after(likeness: Likeness) -> dict[str, Any]:
    """What became of the maps."""
    label = f"rank correlation of {likeness.method} with its old maps"
    return {
        "end": likeness.end,
        "passed": likeness.passed,
        "pictures": likeness.pictures,
        "problem": likeness.problem,
        "chart": Markup(likeness_chart(likeness.means, THRESHOLD, label)),
    }


def _pictures(audit: Audit) -> list[dict[str, Any]]:
    """The pictures shown, each with what it is and what it was taken for."""
    subject, found = audit.subject, []
    for index in range(min(SHOWN, len(subject.images))):
        predicted, true = int(subject.targets[index]), int(subject.pictures.labels[index])
        found.append(
            {
                "uri": _embed(_plain(subject.pictures.images[index])),
                "predicted": subject.pictures.classes[predicted],
                "true": subject.pictures.classes[true] if true != predicted else None,
            }
        )
    return found


def _rows(audit: Audit) -> list[dict[str, Any]]:
    """The heat of each method and control over the pictures shown."""
    found = {method.name: method.maps.found for method in audit.methods}
    controls: Mapping[str, Explanation] = {
        CONTROLS.get(name, name): explanation for name, (explanation, _) in audit.controls.items()
    }
    return [
        {"name": name, "control": name in controls, "uris": _overlays(explanation, audit)}
        for name, explanation in (*found.items(), *controls.items())
    ]


def _overlays(found: Explanation, audit: Audit) -> list[str]:
    pictures = audit.subject.pictures.images[:SHOWN]
    first = replace(found, maps=found.maps[:SHOWN])
    heat = first.heatmaps(display_size(*audit.subject.size))
    return [_embed(overlay(picture, h)) for picture, h in zip(pictures, heat, strict=True)]


def _plain(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(C, H, W) as an overlay without heat, its pixels as squares: (H', W', 3)."""
    factor = display_size(*picture.shape[1:])[0] // picture.shape[1]
    colour = np.broadcast_to(picture.transpose(1, 2, 0), (*picture.shape[1:], 3))
    return colour.repeat(factor, 0).repeat(factor, 1)


def _embed(pixels: NDArray[np.uint8]) -> str:
    """(H, W, 3) as a data URI, `PIXELS` on the longer side, twice that for sharp screens: a JPEG, as there are many."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((2 * PIXELS, 2 * PIXELS), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _number(value: float) -> str:
    """0.1234 as 0.123."""
    return f"{value:.3f}".replace("-", "−")


def _signed(value: float) -> str:
    """0.1234 as +0.123."""
    return f"{value:+.3f}".replace("-", "−")


def _interval(value: Interval) -> str:
    return f"{_number(value.low)} to {_number(value.high)}"


def _small(value: float) -> str:
    """1.2e-16 as it is, 0 as 0."""
    return f"{value:.1e}".replace("-", "−") if value else "0"
