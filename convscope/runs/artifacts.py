"""Files of a run folder: written so that a crash leaves the old file or the new one, and listed with their hashes."""

import contextlib
import csv
import hashlib
import io
import json
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convscope.errors import ConvscopeError, WriteError

CONFIG, METRICS, CARD, ENVIRONMENT = "config.yaml", "metrics.csv", "README.md", "environment.json"
BEST, LATEST, REPORT, MANIFEST = "best.pt", "latest.pt", "report.html", "manifest.json"
WEIGHTS = "model.safetensors"
RESULTS = "results.json"
PLOTS = ("curves", "confusion", "filters", "feature_maps", "explain", "network")
PICTURES = tuple(f"plots/{name}.png" for name in PLOTS)
ARTIFACTS = (CONFIG, METRICS, RESULTS, CARD, ENVIRONMENT, BEST, LATEST, *PICTURES, REPORT)
EXPORTED = (CONFIG, METRICS, RESULTS, CARD, ENVIRONMENT, WEIGHTS)  # what `convscope export` leaves of these


def is_exported(folder: Path) -> bool:
    """Whether a run folder holds a network to use, made by `convscope export`, rather than the training itself."""
    return (folder / WEIGHTS).is_file() and not (folder / BEST).exists()


def weights_of(folder: Path) -> Path:
    """The file of a run folder that holds the network to use, whether it is there or not."""
    return folder / (WEIGHTS if is_exported(folder) else BEST)


def write_file(path: Path, content: bytes | str) -> None:
    """Write beside the target, sync, rename over it, and sync the folder: never half a file under its own name.

    Raises:
        WriteError: the disk is full or the place is not writable; what stood there before is intact.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror}; nothing was changed") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_json(path: Path, value: Any) -> None:
    """`value` as indented JSON."""
    write_file(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows of equal keys as CSV; None is an empty cell, floats keep all their digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_file(path, text.getvalue())


def write_manifest(folder: Path) -> None:
    """Record size and SHA-256 of each artefact that `folder` holds; the manifest is written last."""
    names = EXPORTED if is_exported(folder) else ARTIFACTS
    files = {name: fingerprint(folder / name) for name in names if (folder / name).is_file()}
    write_json(folder / MANIFEST, {"format": 1, "files": files})


def check_against_manifest(folder: Path) -> dict[str, str]:
    """What is wrong with each artefact, by name: "" where size and SHA-256 agree with the manifest.

    Raises:
        ConvscopeError: there is no manifest, or it cannot be read.
    """
    path = folder / MANIFEST
    try:
        listed: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["files"]
        wanted = dict.fromkeys([*(EXPORTED if is_exported(folder) else ARTIFACTS), *listed])
        return {name: _compare(folder / name, listed.get(name)) for name in wanted}
    except FileNotFoundError:
        raise ConvscopeError(f"{path} is missing: the run did not finish, or it is not a run folder") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConvscopeError(f"{path} {unreadable(error)}") from None


def unreadable(error: Exception) -> str:
    """What to say of a file of a run that made Python raise `error`: that it is missing, or why it cannot be read."""
    match error:
        case FileNotFoundError():
            return "is missing"
        case OSError(strerror=str(reason)):
            return f"cannot be read: {reason}"
        case UnicodeDecodeError():
            return "is damaged: not UTF-8 text"
        case json.JSONDecodeError(lineno=line):
            return f"is damaged: no JSON from line {line} on"
        case KeyError(args=(key,)):
            return f"is damaged: it lacks {key}"
        case MemoryError():
            return "asks for more memory than there is"
        case ValueError():
            return f"is damaged: {' '.join(str(error).split())}"
    return "is damaged: it holds something else than it should"


def _compare(path: Path, expected: dict[str, Any] | None) -> str:
    if not path.is_file():
        return "missing"
    if expected is None:
        return "not in the manifest"
    found = fingerprint(path)
    if found["bytes"] != expected["bytes"]:
        return f"{found['bytes']} bytes, the manifest says {expected['bytes']}"
    return "" if found == expected else "its SHA-256 differs from the manifest's"


def fingerprint(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file, as the manifest has them: `bytes` and `sha256`."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def _replace(temporary: Path, path: Path) -> None:
    """Rename over `path`. Windows refuses while another program reads it, which mostly takes a moment."""
    for wait in (0.05, 0.2, 1.0):
        try:
            temporary.replace(path)
            return
        except PermissionError:
            if os.name == "posix":
                raise
            time.sleep(wait)
    temporary.replace(path)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable; Windows cannot open a folder and needs no such call."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
