"""Results in, text on standard output out: a table for a person, or one JSON object for a machine."""

import json as json_module
import math
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # showing needs none of these at run time
    from convscope.data import ImageSet
    from convscope.doctor import Finding
    from convscope.evaluate import Evaluation
    from convscope.predict import Prediction, Unreadable
    from convscope.proof import Difference, Proof
    from convscope.runs import Run
    from convscope.runs.layer_table import LayerRow
    from convscope.smoke import Smoke
    from convscope.verify import Verification


def results(values: dict[str, Any], json: bool) -> None:
    """What `train` came to."""
    if json:
        return _json(values)
    validation = values["val_accuracy"]
    print(f"run                 {values['run']}")
    print(f"model               {values['model']}, {values['parameters']:,} parameters")
    print(f"data set            {values['dataset']}")
    print(f"validation accuracy {'none held out' if validation is None else f'{validation:.2%}'}")
    print(f"test accuracy       {values['test_accuracy']:.2%}")
    seconds = values["train_seconds"]
    print(
        f"training            {values['epochs']} epochs in {seconds:.1f} s, {values['images_per_second']:,.0f} images/s"
    )
    print(f"report              {Path(values['run']) / 'report.html'}")


def evaluation(values: dict[str, Any], result: "Evaluation", json: bool) -> None:
    """Accuracy, then a line a class, then the most confused pairs."""
    if json:
        return _json(values)
    print(f"{values['run']}: {values['test_accuracy']:.2%} of {len(result.labels):,} test pictures right\n")
    matrix = result.confusion
    rows = [
        [
            name,
            f"{matrix[i].sum():,}",
            f"{_share(matrix[i, i], matrix[i].sum())}",
            f"{_share(matrix[i, i], matrix[:, i].sum())}",
        ]
        for i, name in enumerate(result.classes)
    ]
    _table(["class", "pictures", "recall", "precision"], rows)
    pairs = result.most_confused()
    if pairs:
        print("\nmost confused")
        for true, predicted, count in pairs:
            print(f"  {true} taken for {predicted}: {count}")
    if len(result.classes) <= 20:
        print("\nconfusion matrix (rows: true, columns: predicted)")
        _table(
            ["", *result.classes],
            [[name, *map(str, row)] for name, row in zip(result.classes, matrix, strict=True)],
        )


def predictions(run: "Run", found: "Iterable[Prediction | Unreadable]", json: bool) -> bool:
    """A line a picture, the classes considered behind it; a file without an answer goes to standard error.

    Returns whether every file had an answer.
    """
    from convscope.predict import Unreadable

    items: list[dict[str, Any]] = []
    for item in found:
        if isinstance(item, Unreadable):
            items.append(asdict(item))
            print(f"convscope: {' '.join(item.error.split())}", file=sys.stderr)
            continue
        best = item.top[0]
        values = {"image": item.image, "label": best.label, "index": best.index, "probability": best.probability}
        items.append(values | {"top": [asdict(choice) for choice in item.top]})
        if not json:
            print(f"{item.image}: {', '.join(f'{c.label} {c.probability:.1%}' for c in item.top)}")
    if json:
        _json({"run": str(run.path), "model": run.model_name, "results": items})
    return not any("error" in item for item in items)


def explanation(values: dict[str, Any], json: bool) -> None:
    """What was explained, what the network and the truth say, and where the picture lies."""
    if json:
        return _json(values)
    print(f"{values['method']} for {values['label']} ({values['probability']:.1%}) at layer {values['layer']}")
    print(f"predicted {values['predicted']}" + ("" if values["true"] is None else f", true class {values['true']}"))
    if values["evidence"] == "none":
        print("nothing at this layer argues for that class: the map is empty, and the picture says so")
    print(values["png"])


def layers(run: "Run", rows: "Sequence[LayerRow]", json: bool) -> None:
    """A line a layer."""
    if json:
        return _json({"run": str(run.path), "model": run.model_name, "layers": [asdict(row) for row in rows]})
    _table(
        ["layer", "type", "output", "parameters"],
        [
            [r.name, r.type, "×".join(map(str, r.output_shape)), f"{r.parameters:,}" if r.parameters else ""]
            for r in rows
        ],
    )


def view(values: dict[str, Any], json: bool) -> None:
    """Where the picture lies."""
    _json(values) if json else print(values["png"])


def proof(run: "Run", result: "Proof", json: bool) -> None:
    """A line a layer: how far NumPy and PyTorch lie apart; then a line for each thing of the backward pass."""
    if json:
        return _json(_proof_values(run, result))
    header = ["replayed by", "largest difference", "relative", "allowed", ""]
    _table(["layer", *header], [_difference_row(d) for d in result.layers])
    print(
        f"\n{_pictures(result.images)}, every layer in NumPy: largest difference {result.max_abs_diff:.1e}, "
        f"{'the same predictions' if result.same_predictions else 'DIFFERENT PREDICTIONS'}"
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
                _table([title, "what", *header[1:]], [_difference_row(d) for d in differences])
        print(f"\nbackward: the first {_pictures(found.images)}, both sides in float64")
        if found.dropout:
            print(f"dropout: PyTorch was given the masks that NumPy drew, at {', '.join(found.dropout)}")
        if found.grad_cam is None:
            print("Grad-CAM: not compared, this network has no layer of at least 4×4")
    if not result.ok:
        print(f"not proved: {result.problem}", file=sys.stderr)


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
        "run": str(run.path),
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
    allowed = d.allowed / d.scale if d.scale else 0.0
    return [
        d.name,
        d.kind,
        f"{d.max_abs_diff:.1e}",
        f"{d.relative:.1e}",
        f"{allowed:.1e}",
        "" if d.ok else "OVER TOLERANCE",
    ]


def verification(folder: Path, result: "Verification", json: bool) -> None:
    """A line a check: ok, FAILED with what is wrong, or skipped with the reason (in JSON, `ok` is then null)."""
    checks = result.checks
    if json:
        rows = [{**asdict(check), "ok": None if check.skipped else check.ok} for check in checks]
        return _json({"run": str(folder), "ok": result.ok, "checks": rows})
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
        _json({"ok": not counts["problem"], "findings": rows})
        return not counts["problem"]
    for about, found in groups.items():
        print(about)
        for finding in found:
            word = finding.severity if finding.severity == "fine" else finding.severity.upper()
            head = f"  {word:<7}  {finding.name:<13}  "
            for start, text in ((head, finding.seen), (" " * len(head) + "-> ", finding.advice)):
                if text:
                    print(fill(text, 100, initial_indent=start, subsequent_indent=" " * len(start)))
        print()
    words = [f"{n} {name}{'' if n == 1 else 's'}" for name in ("problem", "warning") if (n := counts[name])]
    print(", ".join([*words, f"{counts['fine']} fine"]) if words else f"all {counts['fine']} checks fine")
    return not counts["problem"]


def smoke(result: "Smoke", json: bool) -> None:
    """The verdict."""
    if json:
        return _json({"ok": result.ok, **asdict(result)})
    print(
        f"smoke {'passed' if result.ok else 'FAILED'}: loss {result.losses[0]:.3f} -> {result.losses[-1]:.3f}, "
        f"test accuracy {result.test_accuracy:.1%} (at least {result.threshold:.0%}), {result.seconds:.1f} s"
    )


def data_sets(found: list[dict[str, Any]], json: bool) -> None:
    """A line a data set."""
    if json:
        return _json({"data": found})
    _table(
        ["name", "at hand", "where"],
        [[d["name"], "yes" if d["available"] else "no", d["where"]] for d in found],
    )


def data_set(name: str, train: "ImageSet", test: "ImageSet", json: bool) -> None:
    """Counts, shape, classes, statistics."""
    mean, std = train.channel_stats()
    values = {
        "name": name,
        "train": len(train),
        "test": len(test),
        "shape": list(train.shape),
        "classes": list(train.classes),
        "mean": list(mean),
        "std": list(std),
    }
    if json:
        return _json(values)
    print(f"{name}: {len(train):,} training and {len(test):,} test pictures, {'×'.join(map(str, train.shape))} (C×H×W)")
    print(f"classes  {', '.join(train.classes)}")
    print(f"mean     {' '.join(f'{m:.4f}' for m in mean)}   of the training pictures, on [0, 1]")
    print(f"std      {' '.join(f'{s:.4f}' for s in std)}")


def files(name: str, paths: Sequence[Path], json: bool) -> None:
    """A path a line."""
    if json:
        return _json({"name": name, "files": [str(path) for path in paths]})
    print("\n".join(map(str, paths)) or f"{name} needs no file")


def _pictures(number: int) -> str:
    return f"{number:,} picture{'s' * (number != 1)}"


def _number(value: float) -> float | None:
    """JSON knows neither NaN nor infinity."""
    return value if math.isfinite(value) else None


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their widest cell; the first left-aligned, numbers right-aligned."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    numeric = [
        i > 0 and all(row[i][:1].isdigit() or row[i] in ("", "–", "nan", "inf") for row in rows)
        for i in range(len(header))
    ]
    for row in [header, *rows]:
        cells = [c.rjust(w) if n else c.ljust(w) for c, w, n in zip(row, widths, numeric, strict=True)]
        print("  ".join(cells).rstrip())


def _json(values: dict[str, Any]) -> None:
    print(json_module.dumps(values))
