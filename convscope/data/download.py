"""The name of a published file -> that file in the cache, whole and with the right SHA-256, or one line why not.

What arrives is appended to a ``.part`` file beside the target; a broken transfer goes on from there, also in a
later process. Servers are believed in nothing but bytes: how many are wanted, and their hash, is known here.
"""

import hashlib
import itertools
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Never
from urllib.parse import urlsplit

from tqdm import tqdm

from convscope.data.lock import locked
from convscope.data.sources import Remote
from convscope.data.transfer import PassingError, RefusedError, answer
from convscope.errors import DataError, UsageError

WORTH = 2**20  # bytes that make an attempt count as progress, so that a shaky line may break off often
GZIP = b"\x1f\x8b"  # how every published file starts


@dataclass(frozen=True)
class Patience:
    """How long to bear with a server.

    Attributes:
        stall: seconds without a byte after which an attempt is over.
        attempts: so many in a row without progress are enough.
        pause: seconds after the first of them, twice as many after each further one.
    """

    stall: float = 30.0
    attempts: int = 4
    pause: float = 0.5


PATIENT = Patience()


def download(
    name: str,
    remote: Remote,
    folder: Path,
    mirror: str | None = None,
    progress: bool | None = None,
    patience: Patience = PATIENT,
) -> Path:
    """Bring `folder / name` about and return its path; a file that is there already is left as it is.

    Two processes may do so at once: the second waits and uses what the first has brought. The variables
    ``http_proxy``, ``https_proxy`` and ``no_proxy`` are honoured.

    Args:
        name: the file's path in a data folder, as in `SOURCES`.
        mirror: an http or https address with the same layout as a data folder, asked instead of the file's own
            hosts; by default the one in the variable CONVSCOPE_MIRROR.
        progress: show a bar on standard error; None: only if that is a terminal.

    Raises:
        UsageError: the mirror's address is no http or https address.
        DataError: no address gave the file; names each with the reason, and where to put the file by hand.
    """
    urls = addresses(name, remote, mirror)
    target = folder / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target.with_name(f"{target.name}.lock")):
            if not target.exists():  # else another process brought it while this one waited
                _bring(target, remote, urls, progress, patience)
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error.strerror or error}") from None
    return target


def addresses(name: str, remote: Remote, mirror: str | None = None) -> list[str]:
    """Where to ask for a file, in order; UsageError if a mirror is named that is no http or https address."""
    mirror = mirror or os.environ.get("CONVSCOPE_MIRROR")
    if not mirror:
        return [host + name.rpartition("/")[2] for host in remote.hosts]
    try:
        parts = urlsplit(mirror)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or any(character.isspace() for character in mirror):
        raise UsageError(f"mirror {mirror!r} is no address like https://host/folder (--mirror or CONVSCOPE_MIRROR)")
    return [f"{mirror.rstrip('/')}/{name}"]


def verify(path: Path, remote: Remote) -> None:
    """DataError if a packed file in the cache is not the published one."""
    try:
        found = _sha256(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if found != remote.sha256:
        raise DataError(
            f"{path}: its SHA-256 is {found}, expected {remote.sha256}; remove it to have it downloaded again, "
            "or leave it if you put it there: loading it checks its structure"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _bring(target: Path, remote: Remote, urls: list[str], progress: bool | None, patience: Patience) -> None:
    """Ask one address after the other until `target` is there."""
    part = target.with_name(f"{target.name}.part")
    problems = []
    for url in urls:
        try:
            _transfer_whole(url, part, remote, progress, patience)
        except RefusedError as refused:
            problems.append(f"{url}: {refused}")
            continue
        with part.open("ab") as file:
            os.fsync(file.fileno())  # or a crash could leave the name without the content
        part.replace(target)
        return
    raise DataError(
        f"{target.name} could not be downloaded: {'; '.join(problems)}; get it by hand and put it there as {target}, "
        "or name a mirror in CONVSCOPE_MIRROR"
    )


def _transfer_whole(url: str, part: Path, remote: Remote, progress: bool | None, patience: Patience) -> None:
    """Complete `part` and check its hash; what fails the check is removed.

    What an earlier attempt left may itself be at fault, so then the file is asked for once more from its start.
    """
    inherited = _size(part) > 0
    while True:
        _transfer(url, part, remote.size, progress, patience)
        found = _sha256(part)
        if found == remote.sha256:
            return
        part.unlink()
        if not inherited:
            raise RefusedError(f"its SHA-256 is {found}, expected {remote.sha256}; not the published file")
        inherited = False


def _transfer(url: str, part: Path, size: int, progress: bool | None, patience: Patience) -> None:
    """Attempt after attempt until `part` has `size` bytes."""
    failures = 0
    with tqdm(
        desc=part.stem,
        total=size,
        initial=_size(part),
        unit="B",
        unit_scale=True,
        file=sys.stderr,
        leave=False,
        dynamic_ncols=True,
        disable=None if progress is None else not progress,  # None: only on a terminal
    ) as bar:
        while (start := _size(part)) < size:
            try:
                _attempt(url, part, size, patience.stall, bar)
                problem = "the connection ended"
            except PassingError as error:
                problem = str(error)
            if (have := _size(part)) >= size:
                return
            failures = 0 if have - start >= WORTH else failures + 1
            if failures >= patience.attempts:
                raise RefusedError(f"{problem}, after {have:,} of {size:,} bytes, {failures} times without progress")
            time.sleep(patience.pause * 2 ** max(failures - 1, 0))


def _attempt(url: str, part: Path, size: int, stall: float, bar: "tqdm[Never]") -> None:
    """One request: append what comes to `part`, at most up to `size` bytes in all."""
    with answer(url, _size(part), size, stall) as (start, chunks):
        first = next(chunks, b"")
        if start == 0:  # checked before a byte is written: what was there is worth more than an error page
            _check_first(first)
        bar.n = start
        with part.open("ab" if start else "wb") as file:
            for chunk in itertools.chain([first], chunks):
                file.write(chunk)
                bar.update(len(chunk))


def _check_first(chunk: bytes) -> None:
    """Refuse at once what does not start like a packed file."""
    if not chunk:
        raise PassingError("an empty answer")
    if not GZIP.startswith(chunk[:2]):
        page = chunk.lstrip().startswith(b"<")
        came = "a web page (HTML)" if page else f"something that starts with {chunk[:4]!r}"
        raise RefusedError(f"it answers with {came}, not with the file")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
