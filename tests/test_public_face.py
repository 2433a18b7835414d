"""The names that others build on, in whatever order they are imported."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "script",
    [
        "import convscope; assert all(callable(getattr(convscope, n)) for n in convscope.__all__)",
        "from convscope import Run, evaluate, explain, load_run, predict, prove, train; assert callable(explain)",
        "import convscope.explain as e, convscope; assert e is convscope.explain and callable(e.explain)",
        "from convscope.explain import METHODS; from convscope import explain as e; assert e.METHODS is METHODS",
        "import convscope.train, convscope; convscope.train('digits', out='/', nonsense__key=1)",
        "import convscope; assert set(convscope.__all__) <= set(dir(convscope)); convscope.__version__",
    ],
)
def test_functions_and_modules_of_the_same_name_get_along(script: str) -> None:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or "UsageError: configuration: unknown key 'nonsense'" in done.stderr


def test_a_name_that_is_not_there() -> None:
    import convscope

    with pytest.raises(AttributeError, match="has no attribute 'tarin'"):
        _ = convscope.tarin
