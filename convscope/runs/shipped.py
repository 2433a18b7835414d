"""A path or the name of a network that comes with convscope in, its run folder out."""

from importlib import resources
from pathlib import Path

from convscope.errors import ConvscopeError
from convscope.runs.artifacts import WEIGHTS

TRAINED = Path(str(resources.files("convscope"))) / "trained"  # a run folder each, made by `convscope export`


def shipped_names(trained: Path = TRAINED) -> list[str]:
    """The networks that come with convscope."""
    return sorted(path.parent.name for path in trained.glob(f"*/{WEIGHTS}"))


def is_shipped(folder: Path, trained: Path = TRAINED) -> bool:
    """Whether a run folder is one that comes with convscope, so that nothing may be written into it."""
    return folder.resolve().parent == trained.resolve()


def find_run(run: str | Path, trained: Path = TRAINED) -> Path:
    """The folder that a user means by `run`: a path that exists, or else a name among those in `trained`.

    Raises:
        ConvscopeError: there is neither.
    """
    path = Path(run)
    if path.is_file():
        raise ConvscopeError(f"{path} is a file; give the run folder that it lies in")
    if path.is_dir():
        return path
    if str(path) in (names := shipped_names(trained)):
        return trained / path
    choices = f"; with convscope come {', '.join(names)}" if names else ""
    raise ConvscopeError(f"no run folder {path}; `convscope train RECIPE --out {path}` makes one{choices}")
