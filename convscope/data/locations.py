"""A data set's file names -> the path where they lie, or an error that says where they were looked for."""

import os
from collections.abc import Sequence
from pathlib import Path

from platformdirs import user_cache_path

from convscope.errors import DataError


def data_folders(data_dir: Path | None = None) -> tuple[Path, ...]:
    """The folders that may hold data sets, the first to be asked first.

    `data_dir` if given, and nothing else: who names a folder does not want another's files. Otherwise the
    folder in the variable CONVSCOPE_DATA, then the cache (``$XDG_CACHE_HOME/convscope`` on Linux).
    """
    if data_dir is not None:
        return (data_dir,)
    named = os.environ.get("CONVSCOPE_DATA")
    cache = user_cache_path("convscope", appauthor=False)
    return (Path(named).expanduser(), cache) if named else (cache,)


def find(data_set: str, names: Sequence[str], data_dir: Path | None = None) -> Path:
    """The path of the first of `names` (relative to a data folder) that exists; any of them will do.

    Raises:
        DataError: none exists; says where they were looked for and where to put one by hand.
    """
    folders = data_folders(data_dir)
    try:
        for folder in folders:
            for name in names:
                if (folder / name).exists():
                    return folder / name
    except OSError as error:
        raise DataError(f"{data_set}: cannot look into {folder}: {error.strerror}") from None
    other = "" if data_dir is not None else ", or point --data-dir or CONVSCOPE_DATA at the folder that has it"
    raise DataError(
        f"{data_set}: found no {' or '.join(names)} in {' or '.join(map(str, folders))}; "
        f"put it there as {folders[0] / names[0]}{other}"
    )
