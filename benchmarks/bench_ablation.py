"""Trains a recipe with each of its ideas switched off on its own, and says what that idea buys.

`python benchmarks/bench_ablation.py` trains every row of `IDEAS` with three seeds, which takes hours, and keeps
benchmarks/results/ablation.json up to date after each; what is there of the same code and settings is not run again.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))  # this checkout, not another that is installed

from benchmarks.ablation_table import describe, table
from benchmarks.numpy_tables import plain_text, threads
from convscope.config import RunConfig, load_config
from convscope.errors import ConvscopeError, UsageError
from convscope.runs import load_run
from convscope.runs.artifacts import write_json
from convscope.runs.environment import command_line, describe_environment

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "ablation.json"
RECIPE = "cifar10-5k"
IDEAS: list[tuple[str, list[str]]] = [  # what is done without, and the settings that do it
    ("the recipe as it is", []),
    ("full size from the start", ["train.sizes=null"]),
    ("float32", ["train.precision=float32"]),
    ("channels first in memory", ["train.channels_last=false"]),
    ("freed memory given back", ["train.keep_memory=false"]),
    ("no whitening", ["model.stem=plain"]),
    (
        "textbook residual blocks",
        ["model.groups=blocks", "model.stem_convs=1", "model.widen1=1", "model.widen2=2", "train.bias_lr=1"],
    ),
    ("no residual sums", ["model.skip=false"]),
    ("one convolution in the stem", ["model.stem_convs=1"]),
    ("ReLU, not GELU", ["model.activation=relu"]),
    ("mean, not maximum, before the head", ["model.head_pool=mean"]),
    ("SGD, not Muon", ["train.optimizer=sgd", "train.lr=0.1", "train.momentum=0.9", "train.weight_decay=5.0e-4"]),
    ("half the learning rate", ["train.lr=0.12"]),
    ("kernels of any norm", ["train.fixed_norm=false", "train.lr=0.05"]),
    ("offsets at the rate of the kernels", ["train.bias_lr=1"]),
    ("offsets that do not decay", ["train.bias_decay=false"]),
    ("five iterations of Newton-Schulz", ["train.ns_steps=5"]),
    ("cosine, not linear", ["train.schedule=cosine"]),
    ("mirrored by chance", ["data.augment.flip=true"]),
    ("no crops", ["data.augment.crop=0"]),
    ("no label smoothing", ["train.label_smoothing=0"]),
]
ROOMS = ("data", "models", "training")  # whose code decides what a training gives, and that of
FILES = ("config.py", "evaluate.py", "layers.py", "preprocess.py", "registry.py", "schedules.py", "train.py")
TEST, VALIDATION = "test set", "validation split"
Row = dict[str, Any]


def fingerprint(package: Path, config: RunConfig) -> str:
    """SHA-256 over what decides what a training gives: code, in the folder `package` of convscope, and settings."""
    code = [*(file for room in ROOMS for file in (package / room).rglob("*.py")), *(package / name for name in FILES)]
    digest = hashlib.sha256(config.as_yaml().encode())
    for file in sorted(code):
        digest.update(f"\0{file.relative_to(package).as_posix()}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def plan(recipe: str, changes: list[str], seeds: list[int], split: str, only: list[str]) -> list[Row]:
    """The rows to come, without what they will measure, seed after seed, so that few seeds are soon a whole table.

    Raises:
        UsageError: a setting that the recipe does not know, nothing held out to validate on, no such idea.
    """
    names = [name for name, _ in IDEAS]
    if unknown := [name for name in only if name not in names]:
        raise UsageError(f"no idea {unknown[0]!r}; choose from {', '.join(names)}")
    common = [*changes, *(["data.val_fraction=0"] if split == TEST else [])]
    config = load_config(recipe, common)
    if split == VALIDATION and not config.data.val_fraction:
        raise UsageError(f"{recipe} holds no pictures out to validate on; add --set data.val_fraction=0.2")
    same = {"recipe": recipe, "changes": changes, "split": split}
    same |= {"code": fingerprint(ROOT / "convscope", config), "machine": machine()}
    rows = []
    for seed in seeds:
        for place, (name, overrides) in enumerate(IDEAS):
            settings = [*common, *overrides, f"train.seed={seed}"]
            load_config(recipe, settings)  # a mistake in it should end this now, not after hours
            words = ["convscope", "train", recipe, *(word for setting in settings for word in ("--set", setting))]
            row = {"idea": name, "place": place, "overrides": overrides, "seed": seed}
            rows.append(row | {"command": command_line(words), "settings": settings} | same)
    return [row for row in rows if not only or row["idea"] in only]


def machine() -> str:
    """On what these rows are measured: figures of another machine are no part of one table."""
    found = describe_environment("cpu")
    return f"{found['processor']}, {found['cores']} cores, {threads(found)}, PyTorch {found['packages']['torch']}"


def known(rows: list[Row], row: Row) -> bool:
    """Whether `rows` has it: measured by the same command, of the same code, on such a machine."""
    return any(all(row[key] == other[key] for key in ("command", "code", "machine", "split")) for other in rows)


def carry_out(row: Row, data_dir: Path | None) -> Row:
    """Train what `row` says, in a process and a folder of its own; `row` with seconds, images_per_second, accuracy."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "run"
        options = [word for setting in row["settings"] for word in ("--set", setting)]
        options += ["--out", str(folder), "--json", *(["--data-dir", str(data_dir)] if data_dir else [])]
        command = [sys.executable, "-m", "convscope", "train", row["recipe"], *options]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, cwd=ROOT)
        if done.returncode:
            raise ConvscopeError(f"`{row['command']}` ended with exit code {done.returncode}; its message is above")
        results = json.loads(done.stdout)
        last = load_run(folder).metrics[-1]
    accuracy = results["test_accuracy"] if row["split"] == TEST else last["val_accuracy"]
    measured = {"seconds": results["train_seconds"], "images_per_second": results["images_per_second"]}
    return row | measured | {"accuracy": accuracy}


def main(arguments: list[str]) -> None:
    """Train what is missing in the file, writing it after each row, and print the table."""
    options = _parser().parse_args(arguments)
    command = command_line(["python", "benchmarks/bench_ablation.py", *arguments])
    try:
        split = VALIDATION if options.validation else TEST
        rows = json.loads(options.out.read_text(encoding="utf-8"))["rows"] if options.out.exists() else []
        for row in plan(options.recipe, options.set, options.seeds, split, options.only):
            if known(rows, row):
                print(f"{row['idea']}, seed {row['seed']}: in {options.out.name} already", flush=True)
                continue
            measured = carry_out(row, options.data_dir)
            print(
                f"{row['idea']}, seed {row['seed']}: {measured['accuracy']:.2%}, {measured['seconds']:.0f} s",
                flush=True,
            )
            rows = [*(other for other in rows if not _replaces(row, other)), measured]
            options.out.parent.mkdir(parents=True, exist_ok=True)
            write_json(options.out, {"environment": describe_environment("cpu") | {"command": command}, "rows": rows})
    except ConvscopeError as error:
        sys.exit(f"error: {error}")
    print(f"\n{describe(rows)}\n\n{plain_text(table(rows))}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--recipe", default=RECIPE, help=f"what is trained (default: {RECIPE})")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting in all rows")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    parser.add_argument("--only", action="append", default=[], metavar="IDEA", help="only this row; repeatable")
    parser.add_argument("--validation", action="store_true", help="on the pictures held out, not on the test set")
    parser.add_argument("--data-dir", type=Path, help="where the data set lies")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file to go on with (default: in results)")
    return parser


def _replaces(row: Row, other: Row) -> bool:
    """Whether `other` is an older measurement of the same row."""
    return all(row[key] == other[key] for key in ("idea", "seed", "recipe", "changes", "split"))


if __name__ == "__main__":
    main(sys.argv[1:])
