"""Trainings that break off: by a real signal, a real kill, a full disk; and go on as if nothing had happened."""

import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from convscope.config import load_config
from convscope.data import load
from convscope.errors import ConvscopeError, StoppedError, UsageError
from convscope.runs import Run, load_run
from convscope.runs.artifacts import ENVIRONMENT, MANIFEST, RESULTS
from convscope.runs.checkpoint import load_checkpoint
from convscope.train import resume, train
from convscope.verify import verify

Cli = Callable[..., tuple[int, str, str]]
SMALL = {
    "train__epochs": 4,
    "model__base_channels": 4,
    "data__subset": 200,
    "train__batch_size": 32,
}  # 6 steps an epoch
FAST: dict[str, Any] = {
    **{"model__stem": "whitening", "model__groups": "pooled", "model__head_pool": "max", "train__sizes": [5, 8]},
    **{"train__optimizer": "muon", "train__fixed_norm": True, "train__bias_lr": 3.0, "train__head_lr": 0.1},
    **{"train__precision": "bfloat16", "train__channels_last": True, "data__augment": {"flip": "alternating"}},
}
SETS = [word for key, value in SMALL.items() for word in ("--set", f"{key.replace('__', '.')}={value}")]
GOES_ON = "convscope train --resume"
TIMING = ("seconds", "images_per_second", "train_seconds", "run", "run_dir")


class Signal:
    """An augmentation that leaves its pictures alone and sends this process a signal with the batch of one step."""

    def __init__(self, step: int, signum: int = signal.SIGTERM) -> None:
        self.left, self.signum = step, signum

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        self.left -= 1
        if not self.left:
            signal.raise_signal(self.signum)
        return images


def broken_off(folder: Path, step: int, signum: int = signal.SIGTERM, **settings: Any) -> None:
    """Train in `folder` until a signal arrives in the middle of `step`."""
    with pytest.raises(StoppedError, match=rf"stopped in epoch \d+, after step {step} of \d+; `convscope train --res"):
        train("digits", out=folder, augment=Signal(step, signum), **(SMALL | settings))


def plain(value: Any) -> Any:
    """A checkpoint or a row with tensors as bytes, without what a clock or a folder's name decides."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if key not in TIMING}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.numpy().tobytes() if isinstance(value, torch.Tensor) else value


def content(folder: Path) -> Any:
    """All that a run came to."""
    checkpoints = [load_checkpoint(folder / name) for name in ("best.pt", "latest.pt")]
    run = load_run(folder)
    return plain([*checkpoints, run.metrics, run.results])


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train("digits", out=tmp_path_factory.mktemp("unbroken") / "run", **SMALL)


@pytest.mark.parametrize("step", [1, 3, 6, 7, 16, 24])
def test_a_training_that_a_signal_stops_goes_on_bit_for_bit(step: int, unbroken: Run, tmp_path: Path) -> None:
    assert unbroken.config.data.augment.crop  # or augmentation would not be tried
    folder = tmp_path / "run"
    broken_off(folder, step)
    latest = load_checkpoint(folder / "latest.pt")
    assert (latest["step"], latest["epoch"]) == (step, (step - 1) // 6)  # the step is finished, the epoch is not
    torch.randn(100)  # whatever else draws in between
    run = resume(folder)
    assert content(folder) == content(unbroken.path)
    assert verify(folder).ok
    assert (run.metrics[-1]["seconds"] or 0) > 0


@pytest.mark.parametrize(
    ("settings", "step"),
    [
        ({"train__optimizer": "adamw", "train__lr": 0.01, "model__name": "deep-cnn", "model__dropout": 0.4}, 9),
        ({"train__optimizer": "adam", "train__lr": 0.01, "train__schedule": "step", "train__step_size": 1}, 13),
        ({"train__optimizer": "muon", "train__lr": 0.05}, 9),
        ({"data__val_fraction": 0, "train__batch_size": 40}, 10),  # its last step of an epoch
        ({"train__patience": 1, "train__lr": 1e-9, "train__epochs": 12}, 8),
        ({"train__precision": "bfloat16", "train__channels_last": True}, 10),
        (FAST, 9),
        (FAST, 15),
        ({"train__precision": "float16"}, 10),
        ({"train__precision": "float64"}, 10),
        ({"data__augment": {"crop": 2, "cutout": 3, "brightness": 0.4, "contrast": 0.3}}, 11),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else str(value),
)
def test_whatever_the_configuration_it_goes_on_bit_for_bit(settings: dict[str, Any], step: int, tmp_path: Path) -> None:
    settings = SMALL | settings
    if settings.get("model__name", "tiny-resnet") != "tiny-resnet":
        settings.pop("model__base_channels")
    train("digits", out=tmp_path / "whole", **settings)
    with pytest.raises(StoppedError):
        train("digits", out=tmp_path / "run", augment=Signal(step), **settings)
    resume(tmp_path / "run")
    assert content(tmp_path / "run") == content(tmp_path / "whole")


def test_breaking_off_again_and_again_changes_nothing(unbroken: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    broken_off(folder, 2)
    for steps in (1, 5, 9):
        with pytest.raises(StoppedError):
            resume(folder, augment=Signal(steps, signal.SIGINT))
    resume(folder)
    assert content(folder) == content(unbroken.path)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_exit_code_says_which_signal(signum: int, code: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "convscope", "train", "digits", "--out", str(tmp_path / "run")]
    with subprocess.Popen([*command, "--set", "train.epochs=500"], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while not process.stderr.readline().startswith("epoch   2/500"):
            assert process.poll() is None
        process.send_signal(signum)
        rest = process.stderr.read()
    assert process.returncode == code
    assert re.fullmatch(
        rf"convscope: stopped (in|after) epoch \d+.*; `convscope train --resume {tmp_path}/run` goes on",
        rest.splitlines()[-1],
    )
    assert "Traceback" not in rest
    assert load_checkpoint(tmp_path / "run" / "latest.pt")["epoch"] >= 2
    assert load_run(tmp_path / "run").checkpoint["epoch"] >= 1


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_at_once(signum: int, code: int, tmp_path: Path) -> None:
    script = f"""
import sys, time
from pathlib import Path
from convscope.cli import main
import convscope.training.job as job

def slow(*arguments):
    def wait(images, generator):
        print("in the step", flush=True)
        time.sleep(60)
        return images
    return wait

job.build_augment = slow
sys.exit(main(["train", "digits", "--out", {str(tmp_path / "run")!r}]))
"""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", script], **pipes) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "in the step\n"
            process.send_signal(signum)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1.5)  # it waits for the step
            process.send_signal(signum)
            assert process.wait(30) == code
            line = process.stderr.read().splitlines()[-1]
            word = "interrupted" if signum == signal.SIGINT else "terminated"
            assert line == f"convscope: {word}; `{GOES_ON} {tmp_path}/run` goes on from what was saved last"
        finally:
            process.kill()
    assert load_checkpoint(tmp_path / "run" / "latest.pt")["step"] == 0


def test_outside_the_main_thread_signals_are_left_alone(tmp_path: Path) -> None:
    import threading

    runs: list[Run] = []
    worker = threading.Thread(target=lambda: runs.append(train("digits", out=tmp_path / "run", **SMALL)))
    before = signal.getsignal(signal.SIGINT)
    worker.start()
    assert signal.getsignal(signal.SIGINT) is before
    worker.join()
    assert runs[0].results["epochs"] == 4


KILLED_AT = """
import os, signal, sys
from convscope.cli import main
left, sync = int(sys.argv.pop(1)), os.fsync

def kill(descriptor):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    sync(descriptor)

os.fsync = kill
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_sigkill_in_the_middle_of_any_write(unbroken: Run, tmp_path: Path) -> None:
    """Every write syncs its bytes, then, renamed, its folder: a kill at each of these, in one life after the other."""
    folder = tmp_path / "run"
    arguments = ["digits", "--out", str(folder), *SETS]
    died = 0
    for sync in range(1, 40):
        command = [sys.executable, "-c", KILLED_AT, str(sync), "train", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        died += 1
        if (folder / "config.yaml").exists():
            arguments = ["--resume", str(folder)]
        if (folder / "latest.pt").exists():
            load_checkpoint(folder / "latest.pt")
    assert died >= 10
    assert content(folder) == content(unbroken.path)
    assert verify(folder).ok
    assert {path.name for path in folder.rglob(".*")} <= {".lock"}  # killed after its last write, it locks nobody out


@pytest.mark.slow
def test_sigkill_at_any_moment_leaves_a_checkpoint_that_goes_on_bit_for_bit(tmp_path: Path) -> None:
    rng = random.Random(0)
    sets = ["--set", "train.epochs=12", "--set", "model.base_channels=8", "--set", "train.batch_size=16"]
    command = [sys.executable, "-m", "convscope", "train"]
    whole, folder = tmp_path / "whole", tmp_path / "run"
    subprocess.run([*command, "digits", "--out", str(whole), *sets], check=True, capture_output=True)
    arguments = ["digits", "--out", str(folder), *sets]
    latest = folder / "latest.pt"
    for _ in range(4):
        before = latest.stat().st_mtime_ns if latest.exists() else 0
        with subprocess.Popen([*command, *arguments], stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and (not latest.exists() or latest.stat().st_mtime_ns == before):
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.3))
            process.kill()
        assert process.returncode == -signal.SIGKILL
        load_checkpoint(latest)
        arguments = ["--resume", str(folder)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert content(folder) == content(whole)
    assert verify(folder).ok


def test_what_a_kill_between_two_writes_leaves(unbroken: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    broken_off(folder, 15)
    shutil.copy(unbroken.path / "metrics.csv", folder / "metrics.csv")  # rows that were written, their checkpoint not
    (folder / "best.pt").unlink()  # nor the best one
    (folder / ".best.pt.0123.tmp").write_bytes(b"half a checkpoint")
    (folder / "plots").mkdir()
    (folder / "plots" / ".curves.png.0123.tmp").write_bytes(b"half a picture")
    (folder / ".lock").touch()
    resume(folder)
    assert content(folder) == content(unbroken.path)
    assert not list(folder.rglob(".*"))


def test_a_run_killed_before_its_first_step_begins_anew(unbroken: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(unbroken.path / "config.yaml", folder)
    resume(folder)
    assert content(folder) == content(unbroken.path)


def test_a_run_killed_after_its_last_epoch_is_only_finished(unbroken: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(unbroken.path, folder)
    latest = (folder / "latest.pt").read_bytes()
    for name in (MANIFEST, RESULTS, "report.html"):
        (folder / name).unlink()
    never = Signal(1)
    resume(folder, augment=never)
    assert never.left == 1
    assert (folder / "latest.pt").read_bytes() == latest
    assert plain(load_run(folder).results) == plain(unbroken.results)
    assert verify(folder).ok


def test_a_finished_run_is_left_as_it_is(cli: Cli, unbroken: Run) -> None:
    before = {path: path.stat().st_mtime_ns for path in unbroken.path.rglob("*")}
    code, out, error = cli("train", "--resume", unbroken.path, "--json")
    assert code == 0
    assert json.loads(out) == unbroken.results
    assert "is finished; nothing is left to do" in error
    assert {path: path.stat().st_mtime_ns for path in unbroken.path.rglob("*")} == before
    assert cli("train", "digits", *SETS, "--resume", unbroken.path)[0] == 0  # the recipe that it is


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits"], r"was begun with data.subset=200, model.base_channels=4, train.epochs=4, .*leave out the recipe"),
        (["mnist-lenet5"], "was begun with data.name=digits"),
        (["--set", "train.lr=0.5"], "was begun with train.lr=0.1; leave out the recipe or --set that says otherwise"),
        (["digits", *SETS, "--set", "train.seed=1"], "was begun with train.seed=0; leave"),
        (["--out", "elsewhere"], "goes on in place; leave --out away"),
    ],
)
def test_what_contradicts_the_run_is_refused(arguments: list[str], message: str, cli: Cli, unbroken: Run) -> None:
    code, out, error = cli("train", *arguments, "--resume", unbroken.path)
    assert (code, out) == (2, "")
    assert re.search(message, error)
    assert error.count("\n") == 1


def test_there_must_be_a_run_to_go_on_with(cli: Cli, tmp_path: Path) -> None:
    code, _, error = cli("train", "--resume", tmp_path / "none")
    assert code == 1
    assert "no run in" in error
    assert "`convscope train RECIPE --out" in error


@pytest.mark.parametrize(
    ("file", "change", "kind", "message"),
    [
        ("config.yaml", lambda text: text.replace("lr: 0.1", "lr: 0.2"), UsageError, "config.yaml was changed"),
        ("config.yaml", lambda text: text.replace("subset: 200", "subset: 150"), UsageError, "config.yaml was changed"),
        ("latest.pt", lambda _: "torn", ConvscopeError, "not a readable checkpoint"),
        ("metrics.csv", lambda text: text.splitlines()[0] + "\n", ConvscopeError, "lacks some of the 2 epochs"),
        ("latest.pt", None, ConvscopeError, "metrics.csv shows that epochs were done, but latest.pt, .* is missing"),
        ("metrics.csv", lambda text: text.replace("epoch,", "era,"), ConvscopeError, "metrics.csv is damaged"),
        (
            "metrics.csv",
            lambda text: text.replace("\n1,", "\none,"),
            ConvscopeError,
            "metrics.csv is damaged: could not convert",
        ),
        (ENVIRONMENT, lambda _: "{}", ConvscopeError, "does not say how"),
        (
            ENVIRONMENT,
            lambda text: text.replace("float32", "flaot32"),
            ConvscopeError,
            "does not say how the run computes",
        ),
        (ENVIRONMENT, lambda _: "[", ConvscopeError, "environment.json is damaged: no JSON from line 1 on"),
    ],
)
def test_a_damaged_run_is_refused_in_one_line(
    file: str, change: Callable[[str], str] | None, kind: type[ConvscopeError], message: str, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    broken_off(folder, 14)
    text = (folder / file).read_bytes().decode(errors="replace")
    (folder / file).write_text(change(text)) if change else (folder / file).unlink()
    with pytest.raises(kind, match=message):
        resume(folder)


def write_pictures(folder: Path) -> Path:
    """Forty digits as PNG files, in two classes that say nothing of them."""
    pictures, _ = load("digits")
    for index in range(40):
        where = folder / f"{index % 2}" / f"{index}.png"
        where.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pictures.images[index, 0]).save(where)
    return folder


def test_other_pictures_are_refused(tmp_path: Path) -> None:
    settings = {"train__epochs": 2, "train__batch_size": 8, "data__val_fraction": 0, "model__base_channels": 4}
    own = {"data__path": str(write_pictures(tmp_path / "data")), "data__size": 8}
    with pytest.raises(StoppedError):
        train("folder", out=tmp_path / "run", augment=Signal(2), **settings, **own)
    (tmp_path / "data" / "0" / "0.png").rename(tmp_path / "data" / "1" / "0.png")  # the same pixels, another label
    with pytest.raises(
        UsageError, match=r"since it was begun, the pictures were changed; .* with --data-dir, or begin"
    ):
        resume(tmp_path / "run")
    (tmp_path / "data" / "1" / "0.png").rename(tmp_path / "data" / "0" / "0.png")
    assert resume(tmp_path / "run").results["epochs"] == 2


def test_two_trainings_never_share_a_folder(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    answers: list[tuple[int, str, str]] = []

    def intrude(images: torch.Tensor) -> torch.Tensor:
        if not answers:
            answers.append(cli("train", "--resume", folder))
            answers.append(cli("train", "digits", "--out", folder))
        return images

    train("digits", out=folder, augment=intrude, **SMALL)
    assert [code for code, _, _ in answers] == [2, 2]
    assert f"is in use by another training (process {os.getpid()}); wait until it ends, or end that" in answers[0][2]
    assert "holds a run; go on with it by --resume" in answers[1][2]
    assert verify(folder).ok


def test_a_full_disk_is_one_line_and_leaves_the_old_checkpoint(unbroken: Run, tmp_path: Path) -> None:
    folder, steps = tmp_path / "run", 0
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(images: torch.Tensor) -> torch.Tensor:
        nonlocal steps
        steps += 1
        if steps == 15:  # in the third epoch; from here no file may grow past 4 KB
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        return images

    try:
        line = rf"cannot write .*latest.pt: File too large; nothing was changed; .*, `{GOES_ON} {folder}` goes on$"
        with pytest.raises(ConvscopeError, match=line):
            train("digits", out=folder, augment=fill, **SMALL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert load_checkpoint(folder / "latest.pt")["epoch"] == 2
    assert load_run(folder).checkpoint["epoch"] == 2
    assert not list(folder.glob(".*"))
    resume(folder)
    assert content(folder) == content(unbroken.path)


def test_where_the_pictures_lay_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    write_pictures(tmp_path / "far")
    small = {"train__epochs": 2, "train__batch_size": 8, "model__base_channels": 4, "data__size": 8}
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoppedError):
        train("folder", out=tmp_path / "a run", data_dir="far", data__path=".", augment=Signal(2), **small)
    monkeypatch.chdir(tmp_path / "a run")
    assert resume(tmp_path / "a run").results["epochs"] == 2
    assert cli("evaluate", ".")[0] == 0


@pytest.mark.parametrize("path", ["", "was"], ids=["absolute", "relative"])
def test_a_training_goes_on_with_pictures_that_were_moved(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.chdir(tmp_path)
    own = {"data__path": path or str(tmp_path / "was"), "data__size": 8, "model__base_channels": 4}
    write_pictures(tmp_path / "was")
    with pytest.raises(StoppedError):
        train("folder", out="run", augment=Signal(2), train__epochs=2, train__batch_size=8, **own)
    (tmp_path / "was").rename(tmp_path / "is")
    code, _, error = cli("train", "--resume", "run")
    assert code == 1
    assert "was: no such folder" in error
    (write_pictures(tmp_path / "other") / "0" / "0.png").unlink()
    code, _, error = cli("train", "--resume", "run", "--data-dir", tmp_path / "other")
    assert code == 2
    assert "the pictures were changed" in error
    assert cli("train", "--resume", "run", "--data-dir", "is")[0] == 0
    monkeypatch.chdir(tmp_path / "is")  # where they are by now is remembered
    assert cli("evaluate", tmp_path / "run")[::2] == (0, "")


def test_a_run_that_was_moved_speaks_of_where_it_is(tmp_path: Path, cli: Cli) -> None:
    broken_off(tmp_path / "old", 15)
    (tmp_path / "old").rename(tmp_path / "new")
    for _ in range(2):  # taken up, then finished
        code, out, _ = cli("train", "--resume", tmp_path / "new", "--json")
        assert code == 0
        assert json.loads(out)["run"] == str(tmp_path / "new")
    for name in (RESULTS, "README.md", "report.html"):
        assert f"{tmp_path}/old" not in (tmp_path / "new" / name).read_text()
        assert f"{tmp_path}/new" in (tmp_path / "new" / name).read_text()
    (tmp_path / "new").rename(tmp_path / "newer")
    assert json.loads(cli("train", "--resume", tmp_path / "newer", "--json")[1])["run"] == str(tmp_path / "newer")


def test_the_advice_can_be_pasted(tmp_path: Path) -> None:
    with pytest.raises(StoppedError, match=r"`convscope train --resume '.*/a run'` goes on"):
        train("digits", out=tmp_path / "a run", augment=Signal(2), **SMALL)


def test_a_loss_that_is_no_number_leaves_best_intact(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    broken_off(folder, 7)
    best = (folder / "best.pt").read_bytes()
    checkpoint = torch.load(folder / "latest.pt", weights_only=True)
    for state in checkpoint["optimizer_state"]["state"].values():
        state["momentum_buffer"].fill_(1e38)
    torch.save(checkpoint, folder / "latest.pt")
    code, _, error = cli("train", "--resume", folder)
    assert code == 1
    assert re.search(
        r"^convscope: the loss became (nan|inf) in epoch 2, step 9 of 24; .* smaller train.lr", error, re.M
    )
    assert (folder / "best.pt").read_bytes() == best


def test_patience_stops_once_nothing_gets_better(tmp_path: Path, cli: Cli) -> None:
    stuck = {"train__lr": 1e-9, "train__warmup": 0, "data__augment": None, "train__epochs": 30, "train__patience": 3}
    run = train("digits", out=tmp_path / "run", **(SMALL | stuck))
    scores = [(row["val_accuracy"] or 0, -(row["val_loss"] or 0)) for row in run.metrics]
    best = scores.index(max(scores))
    assert len(scores) == best + 1 + 3 < 30
    assert run.checkpoint["epoch"] == best + 1
    assert run.results["epochs"] == len(scores)
    assert f"| training | {len(scores)} epochs of sgd" in (run.path / "README.md").read_text()
    assert verify(tmp_path / "run").ok
    latest = (tmp_path / "run" / "latest.pt").read_bytes()
    (tmp_path / "run" / MANIFEST).unlink()
    assert f"going on after epoch {len(scores)}, its last\n" in cli("train", "--resume", run.path)[2]
    assert load_run(run.path).results["epochs"] == len(scores)
    assert (tmp_path / "run" / "latest.pt").read_bytes() == latest


def test_patience_needs_something_held_out(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"train.patience waits for a better validation, but data.val_fraction=0"):
        train("digits", out=tmp_path / "run", train__patience=2, data__val_fraction=0)
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_computes_as_it_began(tmp_path: Path) -> None:
    """Threads, precision and layout change the last bits, so they are the run's, not the moment's."""
    folder = tmp_path / "run"
    threads = torch.get_num_threads() + 1
    broken_off(folder, 3, train__precision="bfloat16", train__channels_last=True)
    environment = json.loads((folder / ENVIRONMENT).read_text())
    environment["arithmetic"]["threads"] = threads  # as if measured on a larger machine
    (folder / ENVIRONMENT).write_text(json.dumps(environment))
    seen = set()

    def watch(images: torch.Tensor) -> torch.Tensor:
        seen.add(torch.get_num_threads())
        return images

    resume(folder, augment=watch)
    assert seen == {threads}
    assert json.loads((folder / ENVIRONMENT).read_text()) == environment
    assert load_config(folder / "config.yaml").train.precision == "bfloat16"


@pytest.mark.parametrize(("signum", "word"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")])
def test_a_signal_while_the_report_is_written_names_the_command_too(signum: int, word: str, tmp_path: Path) -> None:
    script = """
import os, signal, sys
import convscope.evaluate
from convscope.cli import main
convscope.evaluate.evaluate = lambda *_: os.kill(os.getpid(), int(sys.argv[2]))
import convscope.train
sys.exit(main(["train", "digits", "--out", *sys.argv[1:2], *sys.argv[3:]]))
"""
    arguments = [sys.executable, "-c", script, str(tmp_path / "run"), str(int(signum)), *SETS]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 128 + signum
    line = f"convscope: {word}; `{GOES_ON} {tmp_path}/run` goes on from what was saved last"
    assert done.stderr.splitlines()[-1] == line
    assert not list((tmp_path / "run").glob(".*"))
    assert (tmp_path / "run" / "best.pt").exists()
    assert resume(tmp_path / "run").results["epochs"] == 4


def test_sigterm_in_another_command_is_one_word(unbroken: Run) -> None:
    script = """
import os, signal, sys
import convscope.verify
from convscope.cli import main
convscope.verify.verify = lambda *_: os.kill(os.getpid(), signal.SIGTERM)
sys.exit(main(["verify", sys.argv[1]]))
"""
    arguments = [sys.executable, "-c", script, str(unbroken.path)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "convscope: terminated\n")
