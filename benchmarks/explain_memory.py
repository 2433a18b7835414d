"""Nothing in; how much memory the methods of many passes take for one picture and for more, each in a process, out."""

import subprocess
import sys
from pathlib import Path

METHODS = ("score-cam", "ablation-cam", "occlusion")
COUNTS = (1, 4, 16)
CHANNELS, SIZE = 64, 96

# the first pass loads what any takes
PROGRAM = """
import sys
import torch
from torch import nn
from convscope.explain import explain

def peak():  # not getrusage, which begins with the peak of the process that started this one
    status = open("/proc/self/status").read()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024

method, count, channels, size = sys.argv[1], *map(int, sys.argv[2:])
torch.manual_seed(0)
body = nn.Conv2d(3, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, 3, stride=2), nn.ReLU()
model = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 5)).eval()
pictures = torch.randn(count, 3, size, size)
with torch.no_grad():
    model(pictures[:1])
before = peak()
explain(model, pictures, layer=None if method == "occlusion" else "3", method=method)
print(peak() - before)
"""


def peaks() -> dict[str, dict[str, float]]:
    """MiB that each method's peak lies above that of one pass of one picture, by method and number of pictures.

    On Linux.
    """
    return {method: {str(count): peak(method, count) for count in COUNTS} for method in METHODS}


def peak(method: str, count: int, channels: int = CHANNELS, size: int = SIZE) -> float:
    """The same of one method for `count` pictures (3, size, size) and a layer of so many channels."""
    command = [sys.executable, "-c", PROGRAM, method, *map(str, (count, channels, size))]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    return float(done.stdout)
