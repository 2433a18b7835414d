"""Every example in the docstrings of the NumPy layers, run."""

import doctest
import importlib
import pkgutil

import pytest

from convscope import numpy_nn

MODULES = [module.name for module in pkgutil.iter_modules(numpy_nn.__path__) if module.name != "__main__"]
WITHOUT_EXAMPLES = {"fast", "layer", "optimizer", "shapes", "winograd", "workers"}


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    results = doctest.testmod(importlib.import_module(f"convscope.numpy_nn.{name}"))
    assert results.failed == 0
    assert (results.attempted == 0) == (name in WITHOUT_EXAMPLES)


def test_the_public_face_is_there():
    assert len(set(numpy_nn.__all__)) == len(numpy_nn.__all__)
    assert all(getattr(numpy_nn, name).__doc__ for name in numpy_nn.__all__)
