"""Rows or values in, text on standard output out: columns for a person, one JSON object for a machine."""

import json
from collections.abc import Sequence
from typing import Any


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their widest cell; the first left-aligned, numbers right-aligned."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    numeric = [
        i > 0 and all(row[i][:1].isdigit() or row[i] in ("", "–", "nan", "inf") for row in rows)
        for i in range(len(header))
    ]
    for row in [header, *rows]:
        cells = [c.rjust(w) if n else c.ljust(w) for c, w, n in zip(row, widths, numeric, strict=True)]
        print("  ".join(cells).rstrip())


def print_json(values: dict[str, Any]) -> None:
    """One object on one line."""
    print(json.dumps(values))
