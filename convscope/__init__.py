"""convscope opens up a convolutional network, from the multiply-add to the trained model.

The names below are imported when first used, so ``import convscope`` costs next to nothing. ``train``, ``evaluate``,
``predict`` and ``explain`` are modules as well as functions: ``convscope.train("digits")`` calls the function of the
module ``convscope.train``.
"""

import sys
from importlib import import_module
from types import ModuleType
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


class _CallableModule(ModuleType):
    """A module that, called, calls its function of the same name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(self, self.__name__.rpartition(".")[2])(*args, **kwargs)


class _Package(ModuleType):
    """This package: Python binds a submodule here once it is imported, and then it becomes callable."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and name in __all__:
            value.__class__ = _CallableModule
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'convscope' has no attribute {name!r}")
    home = import_module(_HOMES[name])
    return home if isinstance(home, _CallableModule) else getattr(home, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
