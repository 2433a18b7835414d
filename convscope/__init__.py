"""convscope opens up a convolutional network, from the multiply-add to the trained model.

The names below are imported when first used, so ``import convscope`` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convscope.evaluate import evaluate
    from convscope.explain import explain
    from convscope.predict import predict
    from convscope.proof import prove
    from convscope.runs import Run, load_run
    from convscope.train import train

__version__ = "0.1.0"
__all__ = ["Run", "evaluate", "explain", "load_run", "predict", "prove", "train"]

_HOMES = {
    "Run": "convscope.runs",
    "evaluate": "convscope.evaluate",
    "explain": "convscope.explain",
    "load_run": "convscope.runs",
    "predict": "convscope.predict",
    "prove": "convscope.proof",
    "train": "convscope.train",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'convscope' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
