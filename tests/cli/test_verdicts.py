"""What `doctor` prints can be copied: however long, a path or a command's word is never cut in two."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from convscope.cli import verdicts
from convscope.doctor import Finding
from convscope.runs import Run

Cli = Callable[..., tuple[int, str, str]]


def test_the_advised_command_holds_the_folder_in_one_piece(cli: Cli, digits_run: Run, tmp_path: Path) -> None:
    for length in (10, 30, 60, 120):  # wherever the line ends
        folder = tmp_path / ("digits-2025-01-31-" * 9)[:length]
        shutil.copytree(digits_run.path, folder)
        (folder / "manifest.json").unlink()
        code, out, _ = cli("doctor", folder)
        assert code == 1
        assert f"{folder}`" in out
        assert f"-> `convscope train --resume {folder}` finishes it." in " ".join(out.split())


def test_lines_end_between_words_before_column_100(capsys: pytest.CaptureFixture[str]) -> None:
    seen = " ".join(["well-normalised-pictures"] * 20)
    assert verdicts.findings({"run": [Finding("values", "fine", seen)]}, json=False)
    head, *lines, _, verdict = capsys.readouterr().out.splitlines()
    assert head == "run"
    assert verdict == "all 1 checks fine"
    assert [len(line.split()) for line in lines] == [5, 3, 3, 3, 3, 3, 2]
    assert {line.split()[-1] for line in lines} == {"well-normalised-pictures"}
    assert max(map(len, lines)) <= 100
