"""What a check found in, text on standard output out: the verdicts of prove, verify, doctor and smoke."""

import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from convscope.cli.printing import print_json, print_table

if TYPE_CHECKING:  # showing needs none of these at run time
    from convscope.doctor import Finding
    from convscope.proof import Difference, Proof
    from convscope.runs import Run
    from convscope.smoke import Smoke
    from convscope.verify import Verification


def proof(run: "Run", result: "Proof", changed: bool | None, json: bool) -> None:
    """A line a layer: how far NumPy and PyTorch lie apart; then a line for each thing of the backward pass; a verdict.

    `changed`: whether the test pictures are others than the training's; None where nobody knows.
    """
    if json:
        return print_json(_proof_values(run, result) | {"pictures_changed": changed})
    header = ["replayed by", "largest difference", "allowed", "relative", ""]
    print_table(["layer", *header], [_difference_row(d) for d in result.layers])
    print(
        f"\n{_pictures(result.images)}, every layer in NumPy: largest difference {result.max_abs_diff:.1e}, "
        f"{_predictions(result)}"
    )
    for tie in result.ties:
        print(
            f"picture {tie.index} is a tie below rounding: {run.classes[tie.numpy_class]} in NumPy, "
            f"{run.classes[tie.torch_class]} in PyTorch, {tie.margin:.1e} apart"
        )
    if (found := result.gradients) is not None:
        for title, differences in (
            ("gradient, train mode", found.train),
            ("gradient, eval mode", found.eval),
            ("after two steps of SGD", found.step),
            ("Grad-CAM", () if found.grad_cam is None else (found.grad_cam,)),
        ):
            print()
            if differences:
                print_table([title, "what", *header[1:]], [_difference_row(d) for d in differences])
        print(f"\nbackward: the first {_pictures(found.images)}, both sides in float64")
        if found.dropout:
            print(f"dropout: PyTorch was given the masks that NumPy drew, at {', '.join(found.dropout)}")
        if found.grad_cam is None:
            print("Grad-CAM: not compared, this network has no layer of at least 4×4")
    if result.ok:
        print("\nproved: rounding explains every difference")
    else:
        print(f"not proved: {result.problem}", file=sys.stderr)


def _predictions(result: "Proof") -> str:
    if not result.finite:
        return "no predictions, the logits are not finite"
    return "the same predictions" if result.same_predictions else "DIFFERENT PREDICTIONS"


def _proof_values(run: "Run", result: "Proof") -> dict[str, Any]:
    """The JSON object of `prove`; its keys are described in docs/architecture.md."""
    found = result.gradients
    return {
        "max_abs_diff": _number(result.max_abs_diff),
        "layers": [_difference_values(d) for d in result.layers],
        "images": result.images,
        "same_predictions": result.same_predictions,
        "ties": [
            {"index": t.index, "numpy": t.numpy_class, "torch": t.torch_class, "margin": t.margin} for t in result.ties
        ],
        "gradients": found
        and {
            "images": found.images,
            "train": [_difference_values(d) for d in found.train],
            "eval": [_difference_values(d) for d in found.eval],
            "dropout_masks_shared": list(found.dropout),
        },
        "step": found and [_difference_values(d) for d in found.step],
        "grad_cam": found and found.grad_cam and _difference_values(found.grad_cam),
        "ok": result.ok,
        "problem": result.problem or None,
        "run": run.name,
    }


def _difference_values(d: "Difference") -> dict[str, Any]:
    """One comparison, for a machine; what is no number is null."""
    return {
        "name": d.name,
        "max_abs_diff": _number(d.max_abs_diff),
        "relative": _number(d.relative),
        "allowed": _number(d.allowed),
        "ok": d.ok,
    }


def _difference_row(d: "Difference") -> list[str]:
    """One comparison, for a person."""
    return [
        d.name,
        d.kind,
        f"{d.max_abs_diff:.1e}",
        f"{d.allowed:.1e}",
        f"{d.relative:.1e}",
        "" if d.ok else "OVER TOLERANCE",
    ]


def verification(folder: Path, result: "Verification", json: bool) -> None:
    """A line a check: ok, FAILED with what is wrong, or skipped with the reason (in JSON, `ok` is then null)."""
    checks = result.checks
    if json:
        rows = [{**asdict(check), "ok": None if check.skipped else check.ok} for check in checks]
        return print_json({"run": str(folder), "ok": result.ok, "checks": rows})
    for check in checks:
        word = "FAILED" if check.problem else "skipped" if check.skipped else "ok"
        print(f"{word:<8}{check.name}" + (f": {reason}" if (reason := check.problem or check.skipped) else ""))
    failed, skipped = (sum(map(bool, kind)) for kind in zip(*((c.problem, c.skipped) for c in checks), strict=True))
    if failed:
        verdict = f"{failed} of {len(checks)} checks failed"
    else:
        verdict = f"{len(checks) - skipped} checks passed" if skipped else f"all {len(checks)} checks passed"
    print(f"\n{folder}: {verdict}" + (f", {skipped} could not be made here" if skipped else ""))


def findings(groups: Mapping[str, "Sequence[Finding]"], json: bool) -> bool:
    """A line a finding, below what it is about, and a line what to do; returns whether there is no problem."""
    counts = Counter(finding.severity for found in groups.values() for finding in found)
    if json:
        rows = [{"about": about, **asdict(finding)} for about, found in groups.items() for finding in found]
        print_json({"ok": not counts["problem"], "findings": rows})
        return not counts["problem"]
    for about, found in groups.items():
        print(about)
        for finding in found:
            word = finding.severity if finding.severity == "fine" else finding.severity.upper()
            head = f"  {word:<7}  {finding.name:<13}  "
            for start, text in ((head, finding.seen), (" " * len(head) + "-> ", finding.advice)):
                if text:
                    print(_wrapped(text, start))
        print()
    words = [f"{n} {name}{'' if n == 1 else 's'}" for name in ("problem", "warning") if (n := counts[name])]
    print(", ".join([*words, f"{counts['fine']} fine"]) if words else f"all {counts['fine']} checks fine")
    return not counts["problem"]


def smoke(result: "Smoke", json: bool) -> None:
    """The verdict."""
    if json:
        return print_json({"ok": result.ok, **asdict(result)})
    print(
        f"smoke {'passed' if result.ok else 'FAILED'}: loss {result.losses[0]:.3f} -> {result.losses[-1]:.3f}, "
        f"test accuracy {result.test_accuracy:.1%} (at least {result.threshold:.0%}), {result.seconds:.1f} s"
    )


def _pictures(number: int) -> str:
    return f"{number:,} picture{'s' * (number != 1)}"


def _number(value: float) -> float | None:
    """JSON knows neither NaN nor infinity."""
    return value if math.isfinite(value) else None


def _wrapped(text: str, start: str) -> str:
    """Lines of 100 columns, all but the first indented as far; a path or a command stays whole, to be copied."""
    indent = " " * len(start)
    return fill(
        text, 100, initial_indent=start, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )
