"""Times one Grad-CAM, of a picture and of a batch, beside one written by hand and those of other packages.

`python benchmarks/bench_explain.py` prints the tables and writes benchmarks/results/explain.json; `--quick` measures
little, to try it, and leaves the file in build/benchmarks. It takes about two minutes.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))  # this checkout, not another that is installed

from benchmarks.surroundings import measure_in_clean_surroundings

if __name__ == "__main__":
    measure_in_clean_surroundings()

import torch
from torch import nn

from benchmarks import cam_peers
from benchmarks.cam_peers import BARE, OURS
from benchmarks.explain_memory import peaks
from benchmarks.explain_tables import TABLES, describe
from benchmarks.numpy_tables import plain_text
from benchmarks.timing import Calls, medians
from convscope.models import build_model
from convscope.runs import load_run
from convscope.runs.environment import command_line, describe_environment

ROOT = Path(__file__).parent.parent
PACKAGED = "cifar10-94"
BATCHES = {1: 300, 64: 9}  # pictures: rounds whose median is taken


def networks() -> dict[str, nn.Module]:
    """The network that comes with convscope, and the textbook's, of 32 channels, with random weights."""
    torch.manual_seed(0)
    return {PACKAGED: load_run(PACKAGED).model, "TinyResNet": build_model("tiny-resnet", (3, 32, 32), 10)}


def compare(name: str, model: nn.Module, count: int, rounds: int, peers: list[str]) -> dict[str, Any]:
    """Median seconds of each way for `count` pictures, ours over the others', and how far the maps lie apart."""
    layer = model.cam_layer
    assert isinstance(layer, str)
    ways = cam_peers.ways(model, layer, peers)
    generator = torch.Generator().manual_seed(count)

    def draw() -> torch.Tensor:
        return torch.randn(count, 3, 32, 32, generator=generator)

    with torch.no_grad():
        classes = max(2, len(model.eval()(draw())[0]))
    every = torch.arange(count) % classes
    sample = torch.randn(64, 3, 32, 32, generator=generator)
    difference = cam_peers.differences(ways, sample, torch.arange(64) % classes)

    def make(_: int) -> Calls:
        images = draw()
        return {name: lambda of=way, x=images: of(x, every) for name, way in ways.items()}

    seconds = medians(make, rounds)
    return {
        "network": name,
        "layer": layer,
        "pictures": count,
        "rounds": rounds,
        "seconds": seconds,
        "ratio": {name: seconds[OURS] / taken for name, taken in seconds.items() if name != OURS},
        "difference": {name: of for name, of in difference.items() if name != BARE},
    }


def measure(rounds: dict[int, int], environment: dict[str, Any]) -> dict[str, Any]:
    """Everything, each table printed as it comes."""
    result: dict[str, Any] = {"environment": environment, "grad_cam": []}
    print(describe(environment), flush=True)
    for name, model in networks().items():
        for count, times in rounds.items():
            result["grad_cam"].append(compare(name, model, count, times, list(environment["peers"])))
    result["memory"] = peaks()
    for table in TABLES.values():
        print(f"\n{plain_text(table(result))}", flush=True)
    return result


def main() -> None:
    """Measure and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few rounds; to build/benchmarks")
    parser.add_argument("--rounds", type=float, default=1, help="so many times as many rounds (default: 1)")
    parser.add_argument("--threads", type=int, help="of PyTorch (default: as it is)")
    parser.add_argument("--as-it-is", action="store_true", help="keep the environment's own settings")
    parser.add_argument("--out", type=Path, help="the file to write")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    rounds = {count: 2 if options.quick else round(times * options.rounds) for count, times in BATCHES.items()}
    environment = describe_environment("cpu") | {
        "peers": cam_peers.installed(),
        "command": command_line(["python", "benchmarks/bench_explain.py", *sys.argv[1:]]),
    }
    result = measure(rounds, environment)
    file = options.out or ROOT / ("build/benchmarks" if options.quick else "benchmarks/results") / "explain.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"wrote {file}")


if __name__ == "__main__":
    main()
