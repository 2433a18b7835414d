"""Verify passes on a finished run and notices each way of breaking one."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from convscope.errors import ConvscopeError
from convscope.runs import Run
from convscope.runs.artifacts import ARTIFACTS, write_manifest
from convscope.verify import verify


def problems(folder: Path) -> dict[str, str]:
    return {check.name: check.problem for check in verify(folder).checks if not check.ok}


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
        (not_text, "report.html needs no other file", "UnicodeDecodeError"),
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


def test_a_broken_manifest_does_not_stop_the_other_checks(copied_run: Run) -> None:
    for content in ("{", "[]", json.dumps({"files": 3})):
        (copied_run.path / "manifest.json").write_text(content)
        assert list(problems(copied_run.path)) == ["manifest.json is there"]
    (copied_run.path / "manifest.json").unlink()
    assert "did not finish" in problems(copied_run.path)["manifest.json is there"]


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConvscopeError, match="no run folder"):
        verify(tmp_path / "nowhere")
