"""The command that measures explanations: run for real, with few rounds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_small_run_prints_its_tables_and_writes_what_it_measured(tmp_path: Path):
    command = [sys.executable, "benchmarks/bench_explain.py", "--quick", "--threads", "1"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "new" / "explain.json")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "new" / "explain.json").read_text(encoding="utf-8"))
    assert result["environment"]["threads"] == 1
    assert [(row["network"], row["pictures"]) for row in result["grad_cam"]] == [
        ("cifar10-94", 1),
        ("cifar10-94", 64),
        ("TinyResNet", 1),
        ("TinyResNet", 64),
    ]
    for row in result["grad_cam"]:
        assert row["seconds"]["convscope"] > 0
        assert row["ratio"]["by hand"] == row["seconds"]["convscope"] / row["seconds"]["by hand"]
        assert set(row["difference"]) == set(result["environment"]["peers"])
        assert all(difference < 1e-5 for difference in row["difference"].values())
    for line in ("cifar10-94, 1 picture", "TinyResNet, 64 pictures", "`score-cam`"):
        assert f"\n{line}" in done.stdout
