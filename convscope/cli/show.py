"""Results in, text on standard output out: a table for a person, or one JSON object for a machine."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convscope.cli.printing import print_json, print_table

if TYPE_CHECKING:  # showing needs none of these at run time
    from convscope.data import ImageSet
    from convscope.evaluate import Evaluation
    from convscope.predict import Prediction, Unreadable
    from convscope.runs import Run
    from convscope.runs.layer_table import LayerRow


def results(values: dict[str, Any], json: bool) -> None:
    """What `train` came to."""
    if json:
        return print_json(values)
    validation = values["val_accuracy"]
    print(f"run                 {values['run']}")
    print(f"model               {values['model']}, {values['parameters']:,} parameters")
    print(f"data set            {values['dataset']}")
    print(f"validation accuracy {'none held out' if validation is None else f'{validation:.2%}'}")
    print(f"test accuracy       {values['test_accuracy']:.2%}")
    if (tta := values.get("test_accuracy_tta")) is not None:
        print(f"test accuracy, TTA  {tta:.2%}")
    seconds = values["train_seconds"]
    print(
        f"training            {values['epochs']} epochs in {seconds:.1f} s, {values['images_per_second']:,.0f} images/s"
    )
    if (report := Path(values["run"]) / "report.html").exists():  # an export has none
        print(f"report              {report}")


def evaluation(values: dict[str, Any], result: "Evaluation", changed: bool | None, json: bool) -> None:
    """Accuracy, then a line a class, then the most confused pairs; `changed` as `evaluate_held_out` gives it."""
    matrix, pairs = result.confusion, result.most_confused()
    if json:
        values |= {"pictures_changed": changed, "classes": [asdict(row) for row in result.per_class]}
        confused = [{"true": true, "predicted": predicted, "pictures": n} for true, predicted, n in pairs]
        return print_json(values | {"most_confused": confused, "confusion": matrix.tolist()})
    tta = values.get("test_accuracy_tta")
    augmented = "" if tta is None else f"; {tta:.2%} with test-time augmentation"
    print(f"{values['run']}: {values['test_accuracy']:.2%} of {len(result.labels):,} test pictures right{augmented}\n")
    rows = [[row.name, f"{row.pictures:,}", _share(row.recall), _share(row.precision)] for row in result.per_class]
    print_table(["class", "pictures", "recall", "precision"], rows)
    if pairs:
        print("\nmost confused")
        for true, predicted, count in pairs:
            print(f"  {true} taken for {predicted}: {count}")
    if len(result.classes) <= 20:
        print("\nconfusion matrix (rows: true, columns: predicted)")
        print_table(
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
        print_json({"run": run.name, "model": run.model_name, "results": items})
    return not any("error" in item for item in items)


def explanation(values: dict[str, Any], json: bool) -> None:
    """What was explained, what the network and the truth say, and where the picture lies."""
    if json:
        return print_json(values)
    print(f"{values['method']} for {values['label']} ({values['probability']:.1%}) at layer {values['layer']}")
    print(f"predicted {values['predicted']}" + ("" if values["true"] is None else f", true class {values['true']}"))
    if values["evidence"] == "none":
        print("nothing at this layer argues for that class: the map is empty, and the picture says so")
    print(values["png"])


def sweep(values: dict[str, Any], json: bool) -> None:
    """What was explained, which methods and layers have nothing to show and why, and where the picture lies."""
    if json:
        return print_json(values)
    print(f"every method for {values['label']} ({values['probability']:.1%}), and {values['method']} at every layer")
    print(f"predicted {values['predicted']}" + ("" if values["true"] is None else f", true class {values['true']}"))
    for tile in values["tiles"]:
        what = f"{tile['method']} at {tile['layer']}"
        if tile["problem"] is not None:
            print(f"{what}: not for this model: {tile['problem']}")
        elif tile["evidence"] == "none":
            print(f"{what}: an empty map, nothing there argues for the class")
    print(values["png"])


def patches(values: dict[str, Any], json: bool) -> None:
    """A line a channel with its strongest pictures, which channels are dead, and where the picture lies."""
    if json:
        return print_json(values)
    print(f"{values['layer']}, {values['pictures']:,} test pictures")
    for channel in values["channels"]:
        found = ", ".join(f"{p['index']} ({p['true']}) {p['value']:.3g}" for p in channel["patches"][:3])
        print(f"channel {channel['channel']}: {found or 'dead, never above 0'}")
    if values["dead"]:
        print(f"dead channels, never above 0: {', '.join(map(str, values['dead']))}")
    print(values["png"])


def layers(run: "Run", rows: "Sequence[LayerRow]", json: bool) -> None:
    """A line a layer."""
    if json:
        return print_json({"run": run.name, "model": run.model_name, "layers": [asdict(row) for row in rows]})
    print_table(
        ["layer", "type", "output", "parameters", "multiply-adds"],
        [
            [
                r.name,
                r.type,
                "×".join(map(str, r.output_shape)),
                *(f"{n:,}" if n else "" for n in (r.parameters, r.multiply_adds)),
            ]
            for r in rows
        ],
    )


def view(values: dict[str, Any], json: bool) -> None:
    """Where the picture lies."""
    print_json(values) if json else print(values["png" if "png" in values else "svg"])


def export(made: "Run", run: "Run", json: bool) -> None:
    """Where the weights lie, which they are, and what they reach beside those of the run that they are of."""
    from convscope.runs.artifacts import fingerprint, weights_of

    path = weights_of(made.path)
    found, values = fingerprint(path), made.results
    if json:
        return print_json(values | {"weights": str(path), **found})
    print(f"{path}: {found['bytes']:,} bytes, SHA-256 {found['sha256']}")
    print(f"test accuracy {values['test_accuracy']:.2%}, of {run.name} {run.results['test_accuracy']:.2%}")


def data_sets(found: list[dict[str, Any]], json: bool) -> None:
    """A line a data set."""
    if json:
        return print_json({"data": found})
    print_table(
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
        return print_json(values)
    print(f"{name}: {len(train):,} training and {len(test):,} test pictures, {'×'.join(map(str, train.shape))} (C×H×W)")
    print(f"classes  {', '.join(train.classes)}")
    print(f"mean     {' '.join(f'{m:.4f}' for m in mean)}   of the training pictures, on [0, 1]")
    print(f"std      {' '.join(f'{s:.4f}' for s in std)}")


def files(name: str, paths: Sequence[Path], json: bool) -> None:
    """A path a line."""
    if json:
        return print_json({"name": name, "files": [str(path) for path in paths]})
    print("\n".join(map(str, paths)) or f"{name} needs no file")


def _share(fraction: float | None) -> str:
    return "–" if fraction is None else f"{fraction:.1%}"
