"""Checkpoints rebuild their model by themselves, hold no code, and survive a failed write."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from convscope.errors import ConvscopeError
from convscope.models import MODELS, build_model
from convscope.runs import Run, load_run
from convscope.runs.artifacts import check_against_manifest, write_file
from convscope.runs.checkpoint import KEYS, load_checkpoint, rebuild_model, save_checkpoint


def test_a_checkpoint_has_the_keys_of_the_design(digits_run: Run) -> None:
    for name in ("best.pt", "latest.pt"):
        checkpoint = torch.load(digits_run.path / name, weights_only=True)
        assert set(checkpoint) == set(KEYS)
    assert checkpoint["model"] == {"name": "tiny-resnet", "options": {"base_channels": 8}}
    assert checkpoint["epoch"] == 3
    assert checkpoint["classes"] == list("0123456789")
    assert checkpoint["picture"] == {"size": [8, 8], "mode": "L", "crop": "resize"}


def test_best_is_the_best_by_validation_and_latest_the_last(digits_run: Run) -> None:
    best, latest = (load_checkpoint(digits_run.path / name) for name in ("best.pt", "latest.pt"))
    accuracies = [row["val_accuracy"] for row in digits_run.metrics]
    assert best["best_val_accuracy"] == max(a for a in accuracies if a is not None)
    assert accuracies[best["epoch"] - 1] == best["best_val_accuracy"]
    assert latest["epoch"] == len(accuracies) == 3


def test_another_process_rebuilds_the_model_and_gets_the_same_logits(digits_run: Run, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 1, 8, 8)).astype(np.uint8)
    np.save(tmp_path / "images.npy", images)
    script = (
        "import sys, numpy as np; from convscope import load_run; run = load_run(sys.argv[1]);"
        "np.save(sys.argv[2] + '/logits.npy', run.logits(np.load(sys.argv[2] + '/images.npy')))"
    )
    subprocess.run([sys.executable, "-c", script, str(digits_run.path), str(tmp_path)], check=True)
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), digits_run.logits(images), rtol=1e-5, atol=1e-5)


FAST: dict[str, object] = {
    "stem": "whitening",
    "stem_pool": 2,
    "groups": "pooled",
    "head_pool": "max",
    "activation": "gelu",
}


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, {}) for name in MODELS]
    + [("tiny-resnet", options) for options in ({"skip": False}, FAST, FAST | {"skip": False})],
)
@pytest.mark.parametrize("shape", [(1, 12, 12), (3, 20, 23)])
def test_every_model_comes_back_from_its_checkpoint(
    name: str, options: dict[str, object], shape: tuple[int, int, int], tmp_path: Path, digits_run: Run
) -> None:
    torch.manual_seed(0)
    model = build_model(name, shape, 4, **options).eval()
    checkpoint = digits_run.checkpoint | {
        "model": {"name": name, "options": options},
        "model_state": model.state_dict(),
        "input_shape": list(shape),
        "classes": ["a", "b", "c", "d"],
        "mean": [0.4, 0.5, 0.6][: shape[0]],
        "std": [0.2, 0.3, 0.25][: shape[0]],
    }
    save_checkpoint(tmp_path / "one.pt", checkpoint)
    again = rebuild_model(load_checkpoint(tmp_path / "one.pt"))
    x = torch.randn(2, *shape)
    assert torch.equal(again(x), model(x))
    assert not again.training


def test_code_in_a_checkpoint_does_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "owned",))

    torch.save({"model": Evil()}, tmp_path / "evil.pt")
    (tmp_path / "raw.pt").write_bytes(pickle.dumps(Evil()))
    for name in ("evil.pt", "raw.pt"):
        with pytest.raises(ConvscopeError, match="not a readable checkpoint"):
            load_checkpoint(tmp_path / name)
    assert not (tmp_path / "owned").exists()


def test_what_is_no_checkpoint_is_refused_in_one_line(copied_run: Run, tmp_path: Path) -> None:
    path = copied_run.path / "best.pt"
    whole = path.read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ConvscopeError, match=r"best\.pt is not a readable checkpoint") as caught:
            load_run(copied_run.path)
        assert "\n" not in str(caught.value)
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(ConvscopeError, match="not a convscope checkpoint"):
        load_run(copied_run.path)
    save_checkpoint(path, copied_run.checkpoint | {"format": 99})
    with pytest.raises(ConvscopeError, match="format 99; this version reads format 1"):
        load_run(copied_run.path)
    save_checkpoint(path, copied_run.checkpoint | {"model": {"name": "simple-cnn", "options": {}}})
    with pytest.raises(ConvscopeError, match=r"weights do not fit .*simple-cnn"):
        load_run(copied_run.path)
    with pytest.raises(ConvscopeError, match="no run folder"):
        load_run(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_shape": [1, 10**8, 10**8]}, r"not a usable checkpoint: its 'input_shape' is \[1, 100000000, 1000"),
        ({"input_shape": [1, 0, 8]}, r"its 'input_shape' is \[1, 0, 8\]"),
        ({"input_shape": [1, 3000, 2000]}, ""),  # large, but its weights are the same few
        ({"model": ("tiny-resnet", {"base_channels": 10**6})}, "do not fit .*'base_channels': 1000000.*: it has more"),
        (
            {"model": ("tiny-resnet", {"base_channels": 10**30})},
            "do not fit .*'base_channels': 10000000.*: it has more",
        ),
        ({"model": ("tiny-resnet", {"base_channels": 7})}, r"do not fit .*: size mismatch for stem\.conv\.weight: "),
        ({"model": ("tiny-resnet", {"base_channels": 9})}, "do not fit .*: it has more numbers than their 11,228"),
        (
            {"model": ("tiny-resnet", {"base_channels": -1})},
            "cannot be built: .*base_channels must be at least 1, got -1",
        ),
        ({"model": ("deep-cnn", {"num_blocks": 10**9})}, "cannot be built: .*; the smallest that works is"),
        ({"model": ("lenet6", {})}, "cannot be built: unknown model 'lenet6'; choose from"),
        ({"classes": ["a\nb", *"123456789"]}, r"its 'classes' is \['a\\nb', '1'"),
    ],
    ids=lambda value: str(value)[:50] if isinstance(value, dict) else "",
)
def test_an_absurd_checkpoint_is_refused_before_it_takes_memory(
    change: dict[str, Any], message: str, copied_run: Run
) -> None:
    resource = pytest.importorskip("resource")
    if "model" in change:
        name, options = change["model"]
        change = {"model": {"name": name, "options": options}}
    save_checkpoint(copied_run.path / "best.pt", copied_run.checkpoint | change)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if message:
        with pytest.raises(ConvscopeError, match=message) as caught:
            load_run(copied_run.path)
        assert caught.value.exit_code == 1
        assert "\n" not in str(caught.value)
    else:
        assert load_run(copied_run.path).model.cam_layer == "group2.1.relu"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KB


def test_a_write_replaces_whole_files_and_leaves_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    write_file(path, "one")
    write_file(path, b"two")
    assert path.read_text() == "two"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="limits file sizes through POSIX")
def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """The disk is full: a process whose files may not grow past 1,000 bytes, a real failure of a real write."""
    script = (
        "import resource, signal, sys; from pathlib import Path; from convscope.runs.artifacts import write_file;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000));"
        "write_file(Path(sys.argv[1]), 'new' * 1000)"
    )
    path = tmp_path / "file.txt"
    path.write_text("old")
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert f"cannot write {path}: File too large; nothing was changed" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]
    assert path.read_text() == "old"


def test_the_manifest_notices_every_change(copied_run: Run) -> None:
    assert set(check_against_manifest(copied_run.path).values()) == {""}
    card = copied_run.path / "README.md"
    card.write_text(card.read_text(encoding="utf-8").replace("a", "b", 1), encoding="utf-8")
    (copied_run.path / "plots" / "curves.png").unlink()
    (copied_run.path / "report.html").write_text("short")
    wrong = {name: problem for name, problem in check_against_manifest(copied_run.path).items() if problem}
    assert wrong.keys() == {"README.md", "plots/curves.png", "report.html"}
    assert "SHA-256" in wrong["README.md"]
    assert wrong["plots/curves.png"] == "missing"
    assert "5 bytes" in wrong["report.html"]
