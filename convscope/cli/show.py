"""Results in, text on standard output out: a table for a person, or one JSON object for a machine."""

import json as json_module
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # showing needs none of these at run time
    from convscope.data import ImageSet
    from convscope.doctor import Finding
    from convscope.evaluate import Evaluation
    from convscope.predict import Prediction
    from convscope.proof import Proof
    from convscope.runs import Run
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


def predictions(run: "Run", found: "Sequence[Prediction]", json: bool) -> None:
    """A line a picture, the classes considered behind it."""
    if json:
        items = [
            {
                "image": item.image,
                "label": item.label,
                "index": item.top[0].index,
                "probability": item.probability,
                "top": [asdict(choice) for choice in item.top],
            }
            for item in found
        ]
        return _json({"run": str(run.path), "model": run.model_name, "results": items})
    for item in found:
        print(f"{item.image}: {', '.join(f'{c.label} {c.probability:.1%}' for c in item.top)}")


def explanation(values: dict[str, Any], json: bool) -> None:
    """What was explained and where the picture lies."""
    if json:
        return _json(values)
    print(f"{values['method']} for {values['label']} ({values['probability']:.1%}) at layer {values['layer']}")
    if values["evidence"] == "none":
        print("nothing at this layer argues for that class: the map is empty, and the picture says so")
    print(values["png"])


def view(values: dict[str, Any], json: bool) -> None:
    """Where the picture lies."""
    _json(values) if json else print(values["png"])


def proof(run: "Run", result: "Proof", json: bool) -> None:
    """A line a layer: how far NumPy and PyTorch lie apart."""
    if json:
        layers = [{"name": d.name, "max_abs_diff": d.max_abs_diff} for d in result.layers]
        return _json(
            {
                "run": str(run.path),
                "ok": result.ok,
                "max_abs_diff": result.max_abs_diff,
                "layers": layers,
                "images": result.images,
                "same_predictions": result.same_predictions,
            }
        )
    rows = [
        [d.name, d.kind, f"{d.max_abs_diff:.1e}", f"{d.scale:.3g}", "" if d.ok else "OVER TOLERANCE"]
        for d in result.layers
    ]
    _table(["layer", "replayed by", "largest difference", "largest value", ""], rows)
    print(
        f"\n{result.images} pictures, every layer in NumPy: largest difference {result.max_abs_diff:.1e}, "
        f"{'the same predictions' if result.same_predictions else 'DIFFERENT PREDICTIONS'}"
    )
    if not result.ok:
        print(f"not proved: {_first_bad(result)}", file=sys.stderr)


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


def _first_bad(result: "Proof") -> str:
    bad = next((d for d in result.layers if not d.ok), None)
    return f"{bad.name} is the first layer over tolerance" if bad else "the predictions differ"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their widest cell; the first left-aligned, numbers right-aligned."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    numeric = [
        i > 0 and all(row[i][:1].isdigit() or row[i] in ("", "–", "nan") for row in rows) for i in range(len(header))
    ]
    for row in [header, *rows]:
        cells = [c.rjust(w) if n else c.ljust(w) for c, w, n in zip(row, widths, numeric, strict=True)]
        print("  ".join(cells).rstrip())


def _json(values: dict[str, Any]) -> None:
    print(json_module.dumps(values))
