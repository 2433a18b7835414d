"""`python -m convscope.numpy_nn`, run as a user runs it: with PyTorch, without it, on a terminal that knows no ×."""

import os
import re
import subprocess
import sys

from convscope.numpy_nn import __all__ as public_face


def run(*command: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONIOENCODING": "utf-8"} | environment,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_shows_every_layer_and_the_difference_from_torch():
    text = run("-m", "convscope.numpy_nn")
    for name in set(public_face) - {"Layer", "col2im", "conv2d_naive", "output_size"}:
        assert name in text, name
    assert "1·1 + 0·2 + 2·4 + (-1)·1 = 8" in text
    assert "running mean 0 → 0.35, running variance 1 → 1.25" in text
    table = text[text.index("Beside PyTorch") :]
    rows = re.findall(r"^  (\w.*?) +(\(.*?\)) +(\(.*?\)) +(\S+e[-+]\d+) +(\S+e[-+]\d+)$", table, re.MULTILINE)
    assert len(rows) == 16
    assert ("Conv2D, kernel 3×5, stride 2", "(4, 6, 9, 11)", "(4, 8, 5, 6)") in [row[:3] for row in rows]
    assert all(0 <= float(number) < 1e-12 for row in rows for number in row[3:])
    assert any(float(row[4]) > 0 for row in rows)  # two engines that never differ at all were not compared
    assert re.search(r"All agree: at most \d\.\de-1\d apart\.", table)
    assert max(map(len, text.splitlines())) <= 100


def test_without_torch():
    program = (
        "import sys, runpy; sys.modules['torch'] = None; runpy.run_module('convscope.numpy_nn', run_name='__main__')"
    )
    text = run("-c", program)
    assert "PyTorch is not installed, so nothing was compared" in text
    assert "Conv2D, kernel 3×5, stride 2        (4, 6, 9, 11)   (4, 8, 5, 6)\n" in text
    assert "agree" not in text


def test_on_an_ascii_terminal():
    text = run("-m", "convscope.numpy_nn", PYTHONIOENCODING="ascii")
    assert "Conv2D, kernel 3?5, stride 2" in text


def test_the_layers_need_numpy_only():
    program = (
        "import sys, convscope.numpy_nn; print(sorted({'torch', 'scipy', 'matplotlib', 'sklearn'} & set(sys.modules)))"
    )
    assert run("-c", program) == "[]\n"
