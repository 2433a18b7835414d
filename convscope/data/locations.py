"""A data set's file names -> the path where they lie, downloaded if need be, or an error that says what to do."""

import os
from collections.abc import Sequence
from pathlib import Path

from platformdirs import user_cache_path

from convscope.data.sources import SOURCES
from convscope.errors import DataError


def cache_folder() -> Path:
    """Where downloads go: ``$XDG_CACHE_HOME/convscope`` on Linux, the like elsewhere."""
    return user_cache_path("convscope", appauthor=False)


def data_folders(data_dir: Path | None = None) -> tuple[Path, ...]:
    """The folders that may hold data sets, the first to be asked first.

    `data_dir` if given, and nothing else: who names a folder does not want another's files. Otherwise the
    folder in the variable CONVSCOPE_DATA, then the cache.
    """
    if data_dir is not None:
        return (data_dir,)
    named = os.environ.get("CONVSCOPE_DATA")
    return (Path(named).expanduser(), cache_folder()) if named else (cache_folder(),)


def look(data_set: str, names: Sequence[str], data_dir: Path | None = None) -> Path | None:
    """The path of the first of `names` (relative to a data folder) that exists, if any does."""
    for folder in data_folders(data_dir):
        for name in names:
            try:
                if (folder / name).exists():
                    return folder / name
            except OSError as error:
                raise DataError(f"{data_set}: cannot look into {folder}: {error.strerror}") from None
    return None


def locate(data_set: str, names: Sequence[str], data_dir: Path | None = None) -> Path:
    """As `look`, but DataError if none exists: where they were looked for, and what to do."""
    found = look(data_set, names, data_dir)
    if found is not None:
        return found
    folders = data_folders(data_dir)
    other = ", or point --data-dir or CONVSCOPE_DATA at the folder that has it"
    if names[0] in SOURCES:
        other = f", or let `convscope data fetch {data_set}` download it"
    raise DataError(
        f"{data_set}: found no {' or '.join(names)} in {' or '.join(map(str, folders))}; "
        f"put it there as {folders[0] / names[0]}{other if data_dir is None else ''}"
    )


def find(
    data_set: str,
    names: Sequence[str],
    data_dir: Path | None = None,
    mirror: str | None = None,
    progress: bool | None = None,
) -> Path:
    """The path of the first of `names` that exists; any of them will do.

    If none does, and no `data_dir` was given, the first of them is downloaded into the cache, as `download` says.

    Raises:
        DataError: not there, and not to be had; says where to put it by hand.
    """
    if data_dir is None and names[0] in SOURCES and look(data_set, names) is None:
        from convscope.data.download import download  # urllib and ssl, for which few runs have a use

        return download(names[0], SOURCES[names[0]], cache_folder(), mirror, progress)
    return locate(data_set, names, data_dir)
