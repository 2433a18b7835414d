"""The command `convscope audit`: a run in, a page on its explanations and a verdict a method out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convscope.cli.options import DataDir, Json, RunFolder
from convscope.cli.printing import print_json, print_table
from convscope.errors import UsageError
from convscope.registry import METHODS

if TYPE_CHECKING:  # showing needs none of these at run time
    from convscope.audit import Audit, MethodAudit, Oracle
    from convscope.audit.contest import Interval
    from convscope.audit.sanity import Likeness


def audit(
    run: RunFolder,
    images: Annotated[int, typer.Option(min=16, help="How many test pictures; slow methods get fewer.")] = 256,
    method: Annotated[
        list[str] | None,
        typer.Option(help=f"Only this one; repeatable. One of: {', '.join(METHODS)}.", show_default="all"),
    ] = None,
    random_labels: Annotated[
        bool, typer.Option("--random-labels", help="Also train the recipe again, on permuted labels.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The HTML page to write.", show_default="RUN/views/audit.html; of a name, in runs/RUN-views/"
        ),
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Find out whether its explanations can be trusted.

    On the run's own checkpoint: equations that the methods must obey; deletion, insertion and ROAD curves beside three
    controls that know nothing of the network; what is left of the maps when its weights become random; and, where the
    pictures come with masks, whether heat lies on the objects or on a mark. Writes one HTML page. Exits 1 where an
    equation does not hold; that a control beats a method is a finding, and exit 0.
    """
    from convscope.audit import audit as examine
    from convscope.audit import render_audit
    from convscope.runs import load_run
    from convscope.runs.artifacts import write_file

    for name in method or ():
        METHODS[name]  # a UsageError that lists the choices, before anything is computed
    if out is not None and out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--out {out}: the page is HTML; give a name that ends in .html")
    opened = load_run(run)
    result = examine(opened, images, list(dict.fromkeys(method or ())) or None, random_labels, data_dir, progress=True)
    page = out or opened.views / "audit.html"
    write_file(page, render_audit(result))
    print_json(values(result, page)) if json else show(result, page)
    if not result.ok:
        raise typer.Exit(1)


def show(result: "Audit", page: Path) -> None:
    """The numbers of every method, its verdict, and where the page is."""
    if result.objects and (check := result.objects.check):
        print(f"{check.sentence}\n")
    elif result.objects:
        print(f"no mark was looked for: {result.objects.problem}\n")
    held = sum(oracle.ok is True for oracle in result.oracles)
    apply = held + len(result.failed)
    print(f"equations: {held} of {apply} hold, {len(result.oracles) - apply} do not apply")
    for oracle in result.failed:
        print(f"WRONG  {oracle.name}: off by {oracle.measured.error:.1e}, allowed {oracle.measured.allowed:.1e}")  # type: ignore[union-attr]
    print()
    header = ["method", "pictures", "deletion", "insertion", "ROAD", "left with random weights", ""]
    rows = [
        [m.name, str(len(m.maps)), *(f"{m.entry.values[c].mean():.3f}" for c in header[2:5]), *_left(m.likeness)]
        for m in result.methods
    ]
    controls = [
        [name, str(len(e)), *(f"{e.values[c].mean():.3f}" for c in header[2:5]), "", ""]
        for name, (_, e) in result.controls.items()
    ]
    print_table(header, rows + controls)
    print()
    for m in result.methods:
        print(f"{m.name}: {m.verdict}")
    for name, reason in result.refused.items():
        print(f"{name}: not possible here: {reason}")
    print(f"\n{page}")


def _left(likeness: "Likeness") -> list[str]:
    if likeness.end is None:
        return ["–", "not checked"]
    return [f"{likeness.end.mean:.2f}", "passed" if likeness.passed else "FAILED"]


def values(result: "Audit", page: Path) -> dict[str, Any]:
    """The JSON object; its keys are described in docs/architecture.md."""
    return {
        "ok": result.ok,
        "run": result.run,
        "dataset": result.dataset,
        "model": result.model,
        "images": len(result.subject.images),
        "layer": result.subject.layer,
        "shortcut": result.shortcut,
        "shortcut_check": (found := result.objects) and found.check and found.check.as_dict(),
        "localisation": found and found.localisation.as_dict(),
        "oracles": [_oracle(oracle) for oracle in result.oracles],
        "methods": [_method(m) for m in result.methods],
        "refused": dict(result.refused),
        "controls": {
            name: {measure: _interval(i) for measure, i in entry.intervals().items()}
            for name, (_, entry) in result.controls.items()
        },
        "stages": list(result.cascade.stages),
        "random_labels": None
        if (labels := result.random_labels) is None
        else {"epochs": labels.epochs, "learned": labels.learned, "chance": labels.chance},
        "seconds": result.seconds,
        "html": str(page),
        "pictures_changed": result.changed,
    }


def _oracle(oracle: "Oracle") -> dict[str, Any]:
    from math import isfinite

    found = oracle.measured
    return {
        "name": oracle.name,
        "methods": list(oracle.methods),
        "error": found.error if found and isfinite(found.error) else None,
        "allowed": found and found.allowed,
        "images": found and found.pictures,
        "ok": oracle.ok,
        "skipped": oracle.skipped or None,
    }


def _method(m: "MethodAudit") -> dict[str, Any]:
    return {
        "name": m.name,
        "layer": m.maps.found.layer,
        "images": len(m.maps),
        "verdict": m.verdict,
        "measures": {measure: _interval(i) for measure, i in m.entry.intervals().items()},
        "better_by": {
            control: {measure: _interval(i) for measure, i in gains.items()} for control, gains in m.gains.items()
        },
        "random_weights": _likeness(m.likeness),
        "random_labels": m.labels and _likeness(m.labels),
    }


def _likeness(found: "Likeness") -> dict[str, Any]:
    return {
        "correlations": found.means,
        "left": found.end and _interval(found.end),
        "passed": found.passed,
        "images": found.pictures,
    }


def _interval(i: "Interval") -> list[float]:
    """[mean, low, high]."""
    return [i.mean, i.low, i.high]
