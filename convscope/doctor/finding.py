"""Finding: what one check saw, how bad it is and what to do about it; and the list of all checks."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["problem", "warning", "fine"]

# what each check recognises; the table in docs/doctor.md is made of it
CHECKS = {
    "environment": {
        "python": "a Python older than convscope asks for",
        "packages": "a package that is missing or of a version that convscope does not ask for",
        "threads": "more threads than cores, or an `OMP_NUM_THREADS` that is no number",
        "device": "an NVIDIA driver that this PyTorch cannot use: a CPU build, or one that does not fit the driver",
        "disk": "a folder that cannot be written to, or less than 1 GB left for downloads",
        "convolution": "a PyTorch whose convolution, or its gradient, differs from the one written out in NumPy",
    },
    "run": {
        "checkpoint": "no checkpoint, or weights of another architecture than it names",
        "training": "a loss that is NaN or has diverged, a training that never finished",
        "overfitting": "training accuracy far ahead of validation accuracy",
        "data": "a data set that is not on this machine, has changed since the training or is another; few pictures",
        "shift": "validation accuracy far ahead of test accuracy: a shared shortcut, or test pictures of another kind",
        "normalisation": "a checkpoint whose mean and deviation are not those of its training pictures",
    },
    "model and batch": {
        "layout": "channels-last pictures (NHWC), or another shape than the model takes",
        "values": "pictures in [0, 255] or [0, 1], bytes, normalised twice, of another precision, NaN, all one value, "
        "where the model does not work on them",
        "labels": "labels that are floats, one-hot or out of range",
        "weights": "NaN or infinity in a weight or a running statistic",
        "statistics": "BatchNorm with the running statistics of a new layer in a network that looks trained",
        "mode": "evaluating in train mode: BatchNorm and Dropout make the answers depend on batch and chance",
        "determinism": "answers that change from pass to pass in eval mode: dropout left on, noise",
        "output": "logits that are NaN, of the wrong shape, the same for every picture, or always for one class",
        "softmax": "a network that ends in a softmax, which cross-entropy would take once more",
        "accuracy": "accuracy stuck at chance; all right on a handful of pictures",
        "heatmap": "Grad-CAM heatmaps that are blank, where the answers are no better",
    },
}
NAMES = {name for checks in CHECKS.values() for name in checks}


@dataclass(frozen=True)
class Finding:
    """What one check saw.

    Attributes:
        name: the check, one of `NAMES`.
        severity: "problem" makes results wrong or worthless, "warning" may, "fine" is as it should be.
        seen: what was found, with the number, in whole sentences.
        advice: what to do; empty where everything is fine.
    """

    name: str
    severity: Severity
    seen: str
    advice: str = ""

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ValueError(f"unknown check {self.name!r}; choose from {', '.join(sorted(NAMES))}")
        if bool(self.advice) == (self.severity == "fine"):
            raise ValueError(f"{self.name}: a {self.severity} finding {'takes no' if self.advice else 'needs'} advice")


def sentence(clause: str) -> str:
    """A clause as a sentence of its own: a capital first, a full stop last."""
    return f"{clause[:1].upper()}{clause[1:]}."
