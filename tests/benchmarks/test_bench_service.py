"""The commands that measure and that soak the service: run for real, on a small network, for seconds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from convscope.runs import Run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

ROOT = Path(__file__).parents[2]


def run_program(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A program of benchmarks, to its end."""
    command = [sys.executable, f"benchmarks/{name}.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_small_measurement_writes_a_table_and_a_chart(digits_run: Run, tmp_path: Path):
    done = run_program("bench_service", "--quick", "--run", digits_run.path, "--out", tmp_path / "new")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "new" / "service.json").read_text(encoding="utf-8"))
    assert result["environment"]["packages"]["uvicorn"]
    ways = result["ways"]
    assert {way: list(of) for way, of in ways.items()} == {
        "convscope serve": ["1", "32"],
        "plain endpoint, async def": ["1", "32"],
        "plain endpoint, def": ["32"],
        "offline loop": ["32"],
    }
    served = [numbers for way, of in ways.items() if way != "offline loop" for numbers in of.values()]
    for numbers in served:
        assert (numbers["failed"], numbers["wrong"]) == (0, 0)
        assert 0 < numbers["milliseconds"]["p50"] <= numbers["milliseconds"]["p95"] <= numbers["milliseconds"]["p99"]
        assert numbers["mebibytes"] > 50
        assert numbers["pictures_per_second"] == numbers["answers"] / result["seconds"]
    at32 = {way: of["32"]["pictures_per_second"] for way, of in ways.items()}
    assert result["ratio"]["offline loop"] == at32["convscope serve"] / at32["offline loop"]
    assert "\nconvscope serve " in done.stdout
    assert (tmp_path / "new" / "service.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_short_soak_finds_nothing(digits_run: Run):
    done = run_program("soak_service", "--minutes", 0.33, "--run", digits_run.path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("nothing failed, grew or differed\n")
    for part in ("× predict 200", "× explain 200", "× bad 422", "× left"):
        assert part in done.stdout
