"""Times the page of `convscope serve` in a real browser: first paint, a click to each level, moving over a large map.

`python benchmarks/bench_page.py` prints the tables and writes benchmarks/results/page.json; `--quick` measures little,
to try it, and leaves the file in build/benchmarks. Server and browser share the machine. It takes about two minutes.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

sys.path.insert(0, str(Path(__file__).parent.parent))  # this checkout, not another that is installed

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from benchmarks.numpy_tables import plain_text
from benchmarks.page_tables import TABLES, describe
from benchmarks.server_process import ServerProcess
from convscope.data.shapes import load_shapes
from convscope.pictures import encode_png
from convscope.runs.environment import command_line, describe_environment

ROOT = Path(__file__).parent.parent
PACKAGED = "cifar10-94"
SCREEN: ViewportSize = {"width": 1440, "height": 900}
LEVELS: dict[str, dict[str, Any]] = {  # in the order of a reader who goes down, on pictures that are new to the server
    "network": {},
    "layer": {"layer": "stem.conv"},
    "channel": {"layer": "stem.conv", "c": 7},
    "pixel": {"layer": "stem.conv", "c": 7, "y": 5, "x": 9},
    "norm": {"layer": "stem.norm", "c": 7, "y": 5, "x": 9},
    "add": {"layer": "group1.sum", "c": 7, "y": 3, "x": 3},
    "head": {"layer": "head", "c": 3},
    "heatmap": {"level": "heatmap"},
    "backward": {"layer": "stem.conv2", "c": 7, "y": 5, "x": 9, "level": "backward"},
}
WIDE = {"layer": "conv1", "c": 7, "y": 30, "x": 2}  # one of 128 maps of 64×64

# From the change of the address to the frame that shows the new level
STEP = """hash => new Promise((done) => {
  const began = performance.now();
  new MutationObserver((_, seen) => {
    seen.disconnect();
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
  }).observe(document.getElementById('main'), { childList: true });
  location.hash = hash;
})"""
PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"


def first_paints(browser: Browser, site: str, rounds: int) -> list[float]:
    """Milliseconds from the request for the page to its first paint, nothing cached."""
    return [
        _fresh(browser, site, lambda page: float(page.wait_for_function(PAINT).json_value())) for _ in range(rounds)
    ]


def _fresh(browser: Browser, site: str, measure: Any) -> Any:
    context = browser.new_context(viewport=SCREEN)
    page = context.new_page()
    page.goto(site)
    try:
        return measure(page)
    finally:
        context.close()


def clicks(page: Page, rounds: int) -> dict[str, list[float]]:
    """Milliseconds to each level, every round on another picture."""
    found: dict[str, list[float]] = {name: [] for name in LEVELS}
    for number in range(rounds + 1):
        for name, place in LEVELS.items():
            took = page.evaluate(STEP, urlencode({"img": f"shapes:{number}"} | place, safe=":"))
            if number:  # in the first round the browser fetches the level's code
                found[name].append(took)
    return found


def moves(page: Page, site: str, steps: int) -> list[float]:
    """Milliseconds from an arrow key to the frame with the next pixel's number."""
    page.goto(f"{site}#{urlencode({'img': 'shapes:0'} | WIDE, safe=':')}")
    page.wait_for_selector("#focus")
    grid = page.locator("[role=grid]").first
    grid.locator("[tabindex='0']").first.focus()
    took = []
    for step in range(steps):
        before = page.evaluate("() => document.querySelector('#focus').dataset.cell")
        began = page.evaluate("() => performance.now()")
        page.keyboard.press("ArrowLeft" if step // 50 % 2 else "ArrowRight")
        page.wait_for_function("before => document.querySelector('#focus')?.dataset.cell !== before", arg=before)
        took.append(page.evaluate("() => new Promise((done) => requestAnimationFrame(done))") - began)
    return took


def serving(run: str) -> ServerProcess:
    """`convscope serve` in a process of its own."""
    return ServerProcess([sys.executable, "-m", "convscope", "serve", run, "--port", "{port}"], "/health/ready")


def wide_run(folder: Path) -> str:
    """A SimpleCNN of 128 channels on pictures of 64×64; where it is trained from hardly matters."""
    scenes, _ = load_shapes()
    for index, (image, label) in enumerate(zip(scenes.images[:64], scenes.labels[:64], strict=True)):
        file = folder / "pictures" / scenes.classes[label] / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encode_png(image))
    options = {"data.path": folder / "pictures", "data.size": 64, "data.val_fraction": 0, "model.name": "simple-cnn"}
    options |= {"model.initial_channels": 128, "train.epochs": 1}
    sets = [part for key, value in options.items() for part in ("--set", f"{key}={value}")]
    command = [sys.executable, "-m", "convscope", "train", "folder", *sets, "--out", str(folder / "wide")]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    return str(folder / "wide")


def measure(rounds: int, environment: dict[str, Any]) -> dict[str, Any]:
    """Everything, in medians with the slowest beside."""
    result: dict[str, Any] = {"environment": environment, "rounds": rounds}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        result["environment"]["browser"] = f"Chromium {browser.version}"
        with serving(PACKAGED) as server:
            result["first_paint"] = summary(first_paints(browser, server.url, rounds))
            page = browser.new_page(viewport=SCREEN)
            page.goto(server.url)
            page.wait_for_selector(".level")
            result["clicks"] = {name: summary(took) for name, took in clicks(page, rounds).items()}
            page.close()
        with serving(wide_run(Path(folder))) as server:
            page = browser.new_page(viewport=SCREEN)
            result["moves"] = summary(moves(page, server.url, 5 * rounds))
        browser.close()
    for table in TABLES.values():
        print(f"\n{plain_text(table(result))}", flush=True)
    return result


def summary(milliseconds: list[float]) -> dict[str, float]:
    """Median and slowest."""
    return {"median": statistics.median(milliseconds), "slowest": max(milliseconds)}


def main() -> None:
    """Measure and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one round; to build/benchmarks")
    parser.add_argument("--out", type=Path, help="the file to write")
    options = parser.parse_args()
    environment = describe_environment("cpu") | {
        "playwright": version("playwright"),
        "command": command_line(["python", "benchmarks/bench_page.py", *sys.argv[1:]]),
    }
    result = measure(1 if options.quick else 15, environment)
    print(describe(result["environment"]))
    file = options.out or ROOT / ("build/benchmarks" if options.quick else "benchmarks/results") / "page.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"wrote {file}")


if __name__ == "__main__":
    main()
