"""Times `convscope serve` under load, beside an offline loop over batches and a plain FastAPI endpoint.

`python benchmarks/bench_service.py` prints the tables, writes benchmarks/results/service.json and draws
docs/images/service.png; `--quick` measures little, to try it, and leaves both in build/benchmarks. It takes about five
minutes. It needs the extra `serve`, Linux, and the test set of the run's data set.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))  # this checkout, not another that is installed

from benchmarks.surroundings import measure_in_clean_surroundings

if __name__ == "__main__":
    measure_in_clean_surroundings()

import numpy as np

from benchmarks.load_client import load
from benchmarks.numpy_tables import plain_text
from benchmarks.server_process import ServerProcess
from benchmarks.service_chart import chart
from benchmarks.service_tables import AT, IN_LOOP, IN_THREAD, OFFLINE, OURS, TABLES, describe, ratios
from convscope import load_run
from convscope.data import load as load_data
from convscope.pictures import encode_png, prepare
from convscope.runs import Run
from convscope.runs.environment import command_line, describe_environment

ROOT = Path(__file__).parent.parent
PACKAGED = "cifar10-94"
PACKAGES = ("fastapi", "starlette", "uvicorn", "uvloop", "httptools", "python-multipart")
PICTURES = 512
CLIENTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
ROUNDS, SECONDS, WARM_UP = 3, 3.5, 0.8
PATHS = {OURS: "/v1/predict", IN_LOOP: "/async", IN_THREAD: "/def"}

Work = Callable[[], dict[str, Any]]


def png_files(run: Run, count: int) -> list[bytes]:
    """The first pictures of the run's own test set, as a client would send them."""
    config = run.config.data
    _, test = load_data(config.name, **({"path": config.path} if config.path else {}))
    return [encode_png(picture) for picture in test.images[:count]]


def predicted(run: Run, files: Sequence[bytes]) -> list[int]:
    """The classes of pictures, in one batch after the other, each decoded from its file."""
    classes: list[int] = []
    for start in range(0, len(files), 64):  # as many as `Run.logits` takes at once
        pictures = [prepare(content, run.checkpoint["picture"]) for content in files[start : start + 64]]
        classes += run.probabilities(np.stack(pictures)).argmax(axis=1).tolist()
    return classes


def offline(run: Run, files: Sequence[bytes], seconds: float) -> dict[str, Any]:
    """The same loop for about `seconds`."""
    started, count = time.perf_counter(), 0
    while (taken := time.perf_counter() - started) < seconds:
        predicted(run, files[:256])
        count += len(files[:256])
    return {"pictures_per_second": count / taken}


@contextmanager
def servers(name: str) -> Iterator[dict[str, ServerProcess]]:
    """Ours and the plain one, ready; the one that does nothing takes nothing."""
    ours = [sys.executable, "-m", "convscope", "serve", name, "--port", "{port}"]
    plain = [sys.executable, str(ROOT / "benchmarks/plain_service.py"), name, "{port}"]
    with ServerProcess(ours, "/health/ready") as service, ServerProcess(plain, "/openapi.json") as other:
        yield {OURS: service, IN_LOOP: other, IN_THREAD: other}


def under_load(server: ServerProcess, way: str, pictures: Path, clients: int, seconds: float) -> dict[str, Any]:
    """What that many clients got, and the most memory that the server held meanwhile."""
    server.forget_peak()
    return load(server.url, PATHS[way], pictures, clients, seconds, WARM_UP) | {"mebibytes": server.peak()}


def median(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Several results as one: the median of each number, the sum of what went wrong."""
    merged: dict[str, Any] = {}
    for key, value in rounds[0].items():
        values = [of[key] for of in rounds]
        if isinstance(value, dict):
            merged[key] = median(values)
        elif key in ("answers", "failed", "wrong"):
            merged[key] = sum(values)
        else:
            merged[key] = statistics.median(values)
    return merged


def measure(name: str, counts: Sequence[int], rounds: int, seconds: float) -> dict[str, Any]:
    """Every contestant in turns: in each round all of them, with each number of clients."""
    run = load_run(name)
    files = png_files(run, PICTURES)
    expected = predicted(run, files)
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    with TemporaryDirectory() as folder, servers(name) as running:
        pictures = Path(folder) / "pictures.npz"
        content = np.frombuffer(b"".join(files), np.uint8)
        np.savez(pictures, content=content, sizes=[len(file) for file in files], expected=expected)
        for _ in range(rounds):
            for clients in counts:
                turns: dict[str, Work] = {
                    way: lambda way=way, n=clients: under_load(running[way], way, pictures, n, seconds)
                    for way in PATHS
                    if way != IN_THREAD or clients == AT
                }
                if clients == AT:
                    turns[OFFLINE] = lambda: offline(run, files, seconds)
                for way, work in turns.items():
                    found.setdefault((way, clients), []).append(work())
    ways: dict[str, dict[str, Any]] = {}
    for (way, clients), results in found.items():
        ways.setdefault(way, {})[str(clients)] = median(results)
    result = {"pictures": len(files), "bytes": len(content) / len(files), "rounds": rounds, "seconds": seconds}
    result |= {"ways": ways}
    return result | {"ratio": ratios(result)}


def main() -> None:
    """Measure, write the file, draw the chart."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="little, of few clients; to build/benchmarks")
    parser.add_argument("--run", default=PACKAGED, help=f"the run to serve (default: {PACKAGED})")
    parser.add_argument("--as-it-is", action="store_true", help="keep the environment's own settings")
    parser.add_argument("--out", type=Path, help="the folder for both files")
    options = parser.parse_args()
    environment = describe_environment("cpu") | {
        "command": command_line(["python", "benchmarks/bench_service.py", *sys.argv[1:]]),
        "run": load_run(options.run).name,
    }
    environment["packages"] |= {name: version(name) for name in PACKAGES}
    print(describe(environment), flush=True)
    how = ((1, AT), 1, 1.0) if options.quick else (CLIENTS, ROUNDS, SECONDS)
    result = {"environment": environment} | measure(options.run, *how)
    for table in TABLES.values():
        print(f"\n{plain_text(table(result))}", flush=True)
    contents = (json.dumps(result, indent=2) + "\n").encode(), chart(result)
    folders = ROOT / "benchmarks/results", ROOT / "docs/images"
    if options.quick or options.out:
        folders = (options.out or ROOT / "build/benchmarks",) * 2
    for folder, file, content in zip(folders, ("service.json", "service.png"), contents, strict=True):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content)
        print(f"wrote {folder / file}")


if __name__ == "__main__":
    main()
