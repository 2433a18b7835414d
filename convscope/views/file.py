"""The bytes of a view in; a file out whose name only the same view of the same picture has."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convscope.errors import UsageError
from convscope.runs import Run
from convscope.runs.artifacts import write_file

Values = dict[str, Any]  # what was drawn, as `--json` prints it; `png` says where


def check_ending(out: Path | None, endings: Sequence[str] = (".png",)) -> None:
    """UsageError where a view cannot be written to `out` because its name has none of the `endings`."""
    if out is not None and out.suffix.lower() not in endings:
        raise UsageError(
            f"--out {out}: no kind of picture that this can be; give a name that ends in {' or '.join(endings)}"
        )


def write_view(
    run: Run,
    out: Path | None,
    drawn: bytes,
    *name: str,
    file: Path | None = None,
    endings: Sequence[str] = (".png",),
) -> str:
    """Write a view where `out` says, or among the run's views under its name; returns the path.

    Only the same view of the same picture goes by the same name: where the words alone do not say it (a picture from
    a `file`, a name with characters that a file name had better not have, or a long one), a short hash does.

    Raises:
        UsageError: `out` has none of the `endings`.
    """
    check_ending(out, endings)
    words = "-".join(name)
    plain = re.sub(r"[^A-Za-z0-9_.]+", "-", words)[:100]
    if file is not None or plain != words:
        exact = "\0".join([*name, str(file.resolve()) if file else ""])
        plain += "-" + hashlib.sha256(exact.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    path = out or run.views / f"{plain}.png"
    write_file(path, drawn)
    return str(path)
