"""Verify passes on a finished run and notices each way of breaking one."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convscope import train
from convscope.errors import ConvscopeError
from convscope.runs import Run, load_run
from convscope.runs.artifacts import ARTIFACTS, write_csv, write_json, write_manifest
from convscope.verify import verify

Cli = Callable[..., tuple[int, str, str]]
VALIDATION = "metrics.csv says what best.pt reaches on validation"
TEST = "results.json says what best.pt reaches on the test set"


def problems(folder: Path) -> dict[str, str]:
    """What is wrong or could not be looked at."""
    return {check.name: check.problem or check.skipped for check in verify(folder).checks if not check.ok}


def test_a_finished_run_passes(digits_run: Run) -> None:
    result = verify(digits_run.path)
    assert problems(digits_run.path) == {}
    assert result.ok
    assert len(result.checks) > len(ARTIFACTS)


@pytest.mark.parametrize("name", ARTIFACTS)
def test_a_missing_artefact_is_named(copied_run: Run, name: str) -> None:
    (copied_run.path / name).unlink()
    assert problems(copied_run.path)[f"{name} is there with the hash on record"] == "missing"


def nan_weights(folder: Path) -> None:
    checkpoint = torch.load(folder / "best.pt", weights_only=True)
    checkpoint["model_state"]["head.bias"][0] = float("nan")
    torch.save(checkpoint, folder / "best.pt")


def other_shape(folder: Path) -> None:
    checkpoint = torch.load(folder / "latest.pt", weights_only=True)
    checkpoint["model_state"]["head.bias"] = torch.zeros(3)
    torch.save(checkpoint, folder / "latest.pt")


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1), encoding="utf-8")

    return change


def change_checkpoint(key: str, value: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        torch.save(torch.load(folder / "best.pt", weights_only=True) | {key: value}, folder / "best.pt")

    return change


def not_text(folder: Path) -> None:
    (folder / "report.html").write_bytes(b"\xff\xfe</html>")


def flipped_byte(folder: Path) -> None:
    data = bytearray((folder / "plots" / "confusion.png").read_bytes())
    data[data.index(b"IDAT") + 10] ^= 0xFF
    (folder / "plots" / "confusion.png").write_bytes(bytes(data))


def cut_row(folder: Path) -> None:
    lines = (folder / "metrics.csv").read_text().splitlines()
    (folder / "metrics.csv").write_text("\n".join(lines[:-1]) + "\n")


def half_a_picture(folder: Path) -> None:
    data = (folder / "plots" / "explain.png").read_bytes()
    (folder / "plots" / "explain.png").write_bytes(data[: len(data) // 2])


def list_for_results(folder: Path) -> None:
    (folder / "results.json").write_text("[1]")


def not_a_picture(folder: Path) -> None:
    (folder / "plots" / "confusion.png").write_bytes(b"GIF89a nonsense")


@pytest.mark.parametrize(
    ("damage", "check", "problem"),
    [
        (nan_weights, "best.pt predicts", "finite: False"),
        (other_shape, "latest.pt rebuilds the model by itself", "size mismatch for head.bias"),
        (edit("config.yaml", "epochs: 3", "epochs: 4"), "config.yaml is a valid recipe", "differs .* in train"),
        (edit("config.yaml", "epochs: 3", "epochs: no"), "config.yaml is a valid recipe", "train.epochs"),
        (edit("metrics.csv", "train_loss", "loss"), "metrics.csv has one sane row an epoch", "expected the columns"),
        (change_checkpoint("model", None), "best.pt predicts", "its 'model' is None"),
        (change_checkpoint("model", {"name": "tiny-resnet"}), "best.pt predicts", "its 'model' is"),
        (change_checkpoint("classes", 10), "best.pt predicts", "its 'classes' is 10"),
        (change_checkpoint("mean", []), "best.pt predicts", "its 'mean' is"),
        (change_checkpoint("mean", [0.1, 0.2]), "best.pt predicts", "another number of channels"),
        (change_checkpoint("model_state", None), "best.pt rebuilds the model by itself", "its 'model_state' is None"),
        (not_text, "report.html needs no other file", "^it is damaged: not UTF-8 text$"),
        (half_a_picture, "plots/explain.png opens", "^a broken picture, or half of one"),
        (list_for_results, TEST, "holds something else than it"),
        (edit("results.json", "test_acc", "tset_acc"), TEST, "^it is damaged: it lacks test_accuracy$"),
        (flipped_byte, "plots/confusion.png opens", "."),
        (cut_row, "metrics.csv has one sane row an epoch", "expected epochs 1 to 3, got 2 rows"),
        (not_a_picture, "plots/confusion.png opens", "not a picture"),
        (
            edit("report.html", "<img", '<img src="https://example.org/x.png"'),
            "report.html needs no other file",
            "example",
        ),
        (edit("report.html", "</html>", ""), "report.html needs no other file", "cut off"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_damage_behind_a_fresh_manifest_is_found(
    copied_run: Run, damage: Callable[[Path], None], check: str, problem: str
) -> None:
    """Even someone who rewrites the hashes is caught, by opening what the hashes are of."""
    damage(copied_run.path)
    write_manifest(copied_run.path)
    found = problems(copied_run.path)
    assert check in found
    assert re.search(problem, found[check])
    assert not re.search(r"Error|Errno|\n", found[check])


def test_what_no_reader_expects_is_told_as_it_is(copied_run: Run) -> None:
    """It may be damage of a new kind, or a mistake in convscope itself: only Python's own words can say."""
    results = json.loads((copied_run.path / "results.json").read_text())
    write_json(copied_run.path / "results.json", results | {"test_accuracy": "high"})
    expected = "it could not be checked: TypeError: unsupported operand type(s) for -: 'float' and 'str'"
    assert problems(copied_run.path)[TEST] == expected


def test_a_broken_manifest_does_not_stop_the_other_checks(copied_run: Run) -> None:
    for content in ("{", "[]", json.dumps({"files": 3})):
        (copied_run.path / "manifest.json").write_text(content)
        assert list(problems(copied_run.path)) == ["manifest.json is there"]
    (copied_run.path / "manifest.json").unlink()
    assert "did not finish" in problems(copied_run.path)["manifest.json is there"]


def claim_a_better_validation(folder: Path) -> None:
    """One more picture and a half, in the table, in the checkpoint and in the results alike."""
    run = load_run(folder)
    better = run.checkpoint["best_val_accuracy"] + 1.6 / 144
    rows = [row | {"val_accuracy": better} if row["epoch"] == run.checkpoint["epoch"] else row for row in run.metrics]
    write_csv(folder / "metrics.csv", rows)
    torch.save(run.checkpoint | {"best_val_accuracy": better}, folder / "best.pt")
    write_json(folder / "results.json", run.results | {"val_accuracy": better})


def claim_a_lower_loss(folder: Path) -> None:
    run = load_run(folder)
    write_csv(folder / "metrics.csv", [row | {"val_loss": (row["val_loss"] or 0) * 0.998} for row in run.metrics])


def claim_a_better_test(folder: Path) -> None:
    results = load_run(folder).results
    write_json(folder / "results.json", results | {"test_accuracy": results["test_accuracy"] + 1.6 / 360})


def claim_another_validation_result(folder: Path) -> None:
    write_json(folder / "results.json", load_run(folder).results | {"val_accuracy": 1.0})


def change_a_weight(folder: Path) -> None:
    checkpoint = torch.load(folder / "best.pt", weights_only=True)
    checkpoint["model_state"]["head.bias"][3] += 3.0
    torch.save(checkpoint, folder / "best.pt")


def change_the_normalisation(folder: Path) -> None:
    checkpoint = torch.load(folder / "best.pt", weights_only=True)
    torch.save(checkpoint | {"mean": [checkpoint["mean"][0] + 1e-4]}, folder / "best.pt")


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (claim_a_better_validation, {VALIDATION: r"epoch \d: accuracy 0\.\d+, recomputed 0\.\d+ on 144 pictures"}),
        (claim_a_lower_loss, {VALIDATION: r"epoch \d: loss [\d.]+, recomputed [\d.]+$"}),
        (claim_a_better_test, {TEST: r"test: accuracy 0\.\d+, recomputed 0\.\d+ on 360 pictures"}),
        (claim_another_validation_result, {TEST: r"it says validation accuracy 1\.0, best\.pt says 0\.\d+"}),
        (change_a_weight, {VALIDATION: "recomputed", TEST: "recomputed"}),
        (change_the_normalisation, {VALIDATION: "other classes, mean or deviation", TEST: "mean or deviation"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_only_computing_again_notices(copied_run: Run, damage: Callable[[Path], None], found: dict[str, str]) -> None:
    """Everything else agrees with everything else, hashes included."""
    damage(copied_run.path)
    write_manifest(copied_run.path)
    wrong = problems(copied_run.path)
    assert wrong.keys() == found.keys()
    assert not any(check.skipped for check in verify(copied_run.path).checks)
    for check, problem in found.items():
        assert re.search(problem, wrong[check])


def test_the_accuracy_with_test_time_augmentation_is_recomputed_too(tmp_path: Path) -> None:
    small = {"train__epochs": 1, "model__base_channels": 4, "data__subset": 200}
    run = train("digits", out=tmp_path / "run", train__tta=True, **small)
    assert problems(run.path) == {}
    claimed = run.results["test_accuracy_tta"]
    for share, found in ((claimed + 0.9 / 360, None), (claimed - 1.6 / 360, rf"recomputed {claimed:.6g} on 360")):
        write_json(run.path / "results.json", run.results | {"test_accuracy_tta": share})
        write_manifest(run.path)
        assert problems(run.path).keys() == ({TEST} if found else set())
        assert not found or re.search(
            f"^test-time augmentation: accuracy .*{found} pictures$", problems(run.path)[TEST]
        )
    write_json(run.path / "results.json", {k: v for k, v in run.results.items() if k != "test_accuracy_tta"})
    write_manifest(run.path)
    assert problems(run.path) == {TEST: "it is damaged: it lacks test_accuracy_tta"}


def test_rounding_of_one_picture_and_of_the_loss_is_allowed(copied_run: Run) -> None:
    folder = copied_run.path
    write_json(
        folder / "results.json", copied_run.results | {"test_accuracy": copied_run.results["test_accuracy"] + 1 / 360}
    )
    write_csv(
        folder / "metrics.csv", [row | {"val_loss": (row["val_loss"] or 0) * 1.0005} for row in copied_run.metrics]
    )
    write_manifest(folder)
    assert problems(folder) == {}


def test_a_run_without_validation_is_held_to_its_test_accuracy(tmp_path: Path) -> None:
    run = train("synthetic", out=tmp_path / "run", train__epochs=1)
    assert problems(run.path) == {}
    claim_a_better = run.results | {"test_accuracy": run.results["test_accuracy"] / 2}
    write_json(run.path / "results.json", claim_a_better)
    write_csv(run.path / "metrics.csv", [row | {"val_accuracy": 0.9} for row in run.metrics])
    torch.save(run.checkpoint | {"best_val_accuracy": 0.9}, run.path / "best.pt")
    write_manifest(run.path)
    found = problems(run.path)
    assert found.keys() == {VALIDATION, TEST}
    assert "held nothing out" in found[VALIDATION]
    assert "recomputed" in found[TEST]


def test_without_the_pictures_the_check_is_skipped_and_says_why(tmp_path: Path, cli: Cli) -> None:
    pictures = write_pictures(tmp_path / "mine")
    run = train("folder", out=tmp_path / "run", data__path=str(pictures), train__epochs=1, model__base_channels=4)
    assert problems(run.path) == {}
    moved = pictures.rename(tmp_path / "moved")
    found = problems(run.path)
    assert found.keys() == {VALIDATION, TEST}
    assert all("not at hand" in reason and "mine: no such folder" in reason for reason in found.values())
    code, out, _ = cli("verify", run.path)
    assert code == 0
    assert f"skipped {TEST}: the data set is not at hand" in out
    assert out.splitlines()[-1] == f"{run.path}: 26 checks passed, 2 could not be made here"
    answer = json.loads(cli("verify", run.path, "--json")[1])
    assert answer["ok"] is True
    assert [(check["ok"], check["problem"]) for check in answer["checks"][-2:]] == [(None, "")] * 2
    assert "no such folder" in answer["checks"][-1]["skipped"]

    moved.rename(pictures)
    for name in ("red", "blue"):
        (pictures / name / "0.png").unlink()
    assert all("no longer those of the training" in reason for reason in problems(run.path).values())
    assert verify(run.path).ok


def test_other_test_pictures_are_noticed_though_the_training_is_the_same(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_pictures(tmp_path / "mine" / part)
    own = {"data__path": str(tmp_path / "mine"), "data__subset": 24, "data__val_fraction": 0.25}
    run = train("folder", out=tmp_path / "run", **own, train__epochs=1, train__batch_size=4, model__base_channels=4)
    assert problems(run.path) == {}
    (tmp_path / "mine" / "test" / "red" / "0.png").unlink()
    assert set(problems(run.path).values()) == {"the test pictures are no longer those of the training"}
    assert verify(run.path).ok
    for picture in (tmp_path / "mine" / "train").rglob("1*.png"):  # 10 to 19, and 1: nine of twenty are left
        picture.unlink()
    (reason,) = set(problems(run.path).values())
    assert reason.startswith("the pictures are no longer those of the training (cannot take 24 pictures")


def test_a_loss_of_nothing_is_rounding_too(tmp_path: Path) -> None:
    """Black and white: the loss falls below what float32 can tell from 0."""
    for name, value in (("black", 0), ("white", 255)):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for index in range(20):
            Image.new("L", (16, 16), value).save(tmp_path / "mine" / name / f"{index}.png")
    own = {"data__path": str(tmp_path / "mine"), "data__size": 16, "data__augment": None, "model__name": "simple-cnn"}
    adam = {"train__optimizer": "adam", "train__lr": 0.003, "train__epochs": 20, "train__label_smoothing": 0}
    run = train("folder", out=tmp_path / "run", **own, **adam)
    assert (run.metrics[-1]["val_loss"] or 0) < 1e-5
    assert problems(run.path) == {}


def test_rows_cut_off_the_end_are_noticed_though_it_may_have_stopped_early(tmp_path: Path) -> None:
    stuck = {"train__lr": 1e-9, "train__warmup": 0, "train__patience": 2, "data__subset": 200, "train__epochs": 9}
    run = train("digits", out=tmp_path / "run", model__base_channels=4, **stuck)
    assert problems(run.path) == {}
    write_csv(run.path / "metrics.csv", run.metrics[:-1])
    write_manifest(run.path)
    name = "metrics.csv has one sane row an epoch"
    assert problems(run.path)[name] == f"expected epochs 1 to {len(run.metrics) + 1}, got {len(run.metrics)} rows"


def test_a_row_that_is_no_number_is_noticed(copied_run: Run) -> None:
    write_csv(copied_run.path / "metrics.csv", [row | {"lr": float("nan")} for row in copied_run.metrics])
    write_manifest(copied_run.path)
    assert problems(copied_run.path) == {"metrics.csv has one sane row an epoch": "lr of epoch 1 is no finite number"}


def test_a_data_set_that_would_be_downloaded_is_not(
    tmp_path: Path, data_dir: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"data__subset": 100, "train__epochs": 1}
    run = train("mnist-lenet5", out=tmp_path / "run", data_dir=data_dir, **small)
    assert verify(run.path, data_dir).ok
    code, out, _ = cli("verify", run.path, "--data-dir", tmp_path)
    assert code == 0
    assert f"skipped {VALIDATION}: the data set is not at hand (mnist: found no mnist/train-images" in out
    assert f"skipped {VALIDATION}" not in cli("verify", run.path, "--data-dir", data_dir)[1]
    monkeypatch.delenv("CONVSCOPE_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert all("or let `convscope data fetch mnist` download it" in reason for reason in problems(run.path).values())
    assert verify(run.path).ok
    assert not (tmp_path / "cache").exists()


def write_pictures(folder: Path) -> Path:
    """Two classes of twenty noisy PNG files, seeded."""
    rng = np.random.default_rng(5)
    for label, name in enumerate(("red", "blue")):
        (folder / name).mkdir(parents=True)
        for i in range(20):
            pixels = rng.integers(0, 120, (12, 9, 3)).astype(np.uint8)
            pixels[..., 2 * label] += 100
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConvscopeError, match="no run folder"):
        verify(tmp_path / "nowhere")
