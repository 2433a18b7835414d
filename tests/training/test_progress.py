"""Progress on a real terminal is a bar, in a log it is one line an epoch."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from convscope.training import Epoch
from convscope.training.progress import Progress

COMMAND = [sys.executable, "-m", "convscope", "train", "digits", "--set", "train.epochs=2"]


@pytest.mark.skipif(os.name != "posix", reason="opens a POSIX pseudo-terminal")
def test_a_terminal_sees_loss_accuracy_speed_and_time_left(tmp_path: Path) -> None:
    import fcntl
    import struct
    import termios

    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 110, 0, 0))
    process = subprocess.Popen([*COMMAND, "--out", str(tmp_path / "run")], stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 4096)
        except OSError:  # the other side has closed
            break
        if not chunk:
            break
        shown += chunk
    os.close(ours)
    assert process.wait() == 0
    bars = re.findall(
        r"epoch [12]/2  loss \d\.\d+  accuracy [\d.]+%  [\d,]+ images/s \|.*?\| 00:\d\d left", shown.decode()
    )
    assert bars
    assert all(len(shown_bar) <= 110 for shown_bar in bars)


def test_a_log_gets_a_line_an_epoch(tmp_path: Path) -> None:
    done = subprocess.run([*COMMAND, "--out", str(tmp_path / "run")], capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    assert [line.split("  ")[0] for line in lines[:2]] == ["epoch 1/2", "epoch 2/2"]
    assert not any("\r" in line or "|" in line for line in lines)
    assert any(line.startswith("note: ") for line in lines[2:])


def test_the_time_left_counts_what_a_step_computes(capsys: pytest.CaptureFixture[str]) -> None:
    def left(done: int, step: int) -> str:
        shown = Progress(4, 10, done, work=[1, 1, 3, 3])
        shown.started -= 100  # seconds
        epoch = Epoch(step // 10, step, 1.0, 0.5, None, None, 0.1, 50.0, 100.0)
        shown.show(epoch)
        return capsys.readouterr().err.split("  ")[-1].strip()

    assert left(0, 20) == "05:00 left"  # a quarter of the work is done
    assert left(20, 30) == "01:40 left"
    assert left(15, 20) == "20:00 left"
    assert left(30, 40) == "00:00 left"
