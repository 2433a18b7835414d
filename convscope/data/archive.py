"""A file that someone else made (plain, gzip or tar.gz) -> the bytes asked for, or a DataError."""

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from convscope.errors import DataError

MAX_MEMBERS = 100  # a few are expected
MAX_HEADER = 2**14  # all that describes one member, long names and pax records included
MAX_HEADERS = 2**18  # of all members; tarfile keeps them, and with each a copy of every global record before it
SLACK = 2**20  # headers, padding and small files beside the ones that are wanted

# All that gzip, zlib and tarfile are known to raise on hostile bytes; RecursionError: pax headers, chained.
BROKEN = (OSError, EOFError, zlib.error, tarfile.TarError, ValueError, OverflowError, RecursionError)


class BoundedGzip(gzip.GzipFile):
    """The unpacked stream of a gzip file; hands out `allowance` bytes in all, until that is set anew.

    tarfile reads the extension of a header (a long name, a pax record) in one piece, as long as the header
    claims it to be, then the extension of the next one, and keeps them all until a member ends the chain:
    without a limit to their sum, some kilobytes of gzip would claim all memory.

    Attributes:
        allowance: how many bytes may still be read.
        end: the offset past which nothing may be skipped to; headers can disagree about where a member ends.
    """

    def __init__(self, path: Path, allowance: int, end: int = 0) -> None:
        super().__init__(path, "rb")
        self.allowance = allowance
        self.end = end

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= self.allowance:
            raise tarfile.ReadError(f"a header asks for {size} bytes, at most {self.allowance} are allowed")
        content = super().read(size)
        self.allowance -= len(content)
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        here = super().seek(0, io.SEEK_CUR)  # not tell(), which is a call of this
        target = offset if whence == io.SEEK_SET else here + offset
        if not here <= target <= max(here, self.end):
            raise tarfile.ReadError(f"a header leads from byte {here} to {target}, past {self.end} or back")
        return super().seek(target)


def read_file(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes."""
    try:
        if not path.is_file():
            raise DataError(f"{path}: {'not a regular file' if path.exists() else 'no such file'}")
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > limit:
        raise DataError(f"{path}: larger than the {limit} bytes that such a file may have")
    return content


def read_gzip(path: Path, limit: int) -> bytes:
    """The unpacked content of a gzip file, at most `limit` bytes of it; its checksum is verified."""
    _check_gzip(path)
    try:
        with BoundedGzip(path, limit + 1) as stream:
            content = stream.read(limit + 1)
    except BROKEN as error:
        raise DataError(_broken(path, error)) from None
    if len(content) > limit:
        raise DataError(f"{path}: unpacks to more than the {limit} bytes that such a file may have")
    return content


def read_members(path: Path, wanted: Mapping[str, int]) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of the `wanted` members of a tar.gz, in the order of the archive, in one pass.

    Nothing is written anywhere. The pass always goes to the end, also when everything was found: only then
    is it certain that no name comes twice, and only at its end does gzip tell whether the checksum is right.
    So treat what was yielded as good only after the iterator has ended.

    Args:
        wanted: exact member name -> how many bytes it may have.

    Raises:
        DataError: not gzip, broken or cut off; a wanted member is missing, comes twice, is too large or no
            regular file; any member is named outside the archive's own tree; more data than expected.
    """
    _check_gzip(path)
    seen: list[str] = []
    found: set[str] = set()
    budget = 2 * sum(wanted.values()) + SLACK
    headers, given = MAX_HEADERS, MAX_HEADER  # bytes left for all headers, and for the next
    try:
        with (
            BoundedGzip(path, given, budget) as stream,  # opening a tar reads its first header
            tarfile.open(fileobj=stream, mode="r:") as tar,
        ):
            while member := tar.next():
                headers -= given - stream.allowance
                seen.append(member.name)
                _check_place(path, member, len(seen), budget)
                if member.name in wanted:
                    _check_member(path, member, wanted[member.name], found)
                    found.add(member.name)
                    stream.allowance = member.size
                    yield member.name, _content(path, tar, member)
                stream.allowance = given = min(MAX_HEADER, headers)
            stream.allowance = SLACK
            if len(stream.read(SLACK)) == SLACK:  # reading on makes gzip verify its checksum
                raise DataError(f"{path}: data goes on after the end of the archive, or a header is broken")
    except BROKEN as error:
        raise DataError(_broken(path, error)) from None
    for name in wanted:
        if name not in found:
            held = ", ".join(_shown(other) for other in seen[:4]) + (", …" if len(seen) > 4 else "")
            raise DataError(f"{path}: has no member {name!r}, it holds {held or 'nothing'}")


def _check_place(path: Path, member: tarfile.TarInfo, count: int, budget: int) -> None:
    """Refuse an archive that leads out of its tree, backwards, or on for ever."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise DataError(f"{path}: member {_shown(member.name)} leads out of the archive; this is not the original")
    if member.size < 0 or member.offset_data + member.size > budget:
        raise DataError(f"{path}: unpacks to more than the {budget} bytes expected, at {_shown(member.name)}")
    if count > MAX_MEMBERS:
        raise DataError(f"{path}: more than {MAX_MEMBERS} members, a few are expected")


def _check_member(path: Path, member: tarfile.TarInfo, limit: int, found: set[str]) -> None:
    """Refuse a wanted member that is not one plain file of a plausible size."""
    if member.name in found:
        raise DataError(f"{path}: member {_shown(member.name)} comes twice, which to trust is anyone's guess")
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
        raise DataError(f"{path}: member {_shown(member.name)} is {_kind(member)}, expected a regular file")
    if member.size > limit:
        raise DataError(f"{path}: member {_shown(member.name)} has {member.size} bytes, at most {limit} expected")


def _content(path: Path, tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    content = file.read() if file else b""
    if len(content) != member.size:
        raise DataError(f"{path}: member {_shown(member.name)} is cut off after {len(content)} of {member.size} bytes")
    return content


def _shown(name: str) -> str:
    """A member's name on one line, the start of it if it is long."""
    return repr(name if len(name) <= 100 else f"{name[:100]}…")


def _kind(member: tarfile.TarInfo) -> str:
    """What a member is, if not a regular file."""
    kinds = {
        tarfile.SYMTYPE: "a symbolic link",
        tarfile.LNKTYPE: "a hard link",
        tarfile.DIRTYPE: "a folder",
        tarfile.CHRTYPE: "a device",
        tarfile.BLKTYPE: "a device",
        tarfile.FIFOTYPE: "a named pipe",
    }
    return kinds.get(member.type, "of a special kind")


def _check_gzip(path: Path) -> None:
    """Tell what a file is instead, if it is not gzip: most often a saved error page."""
    try:
        if not path.is_file():
            raise DataError(f"{path}: {'not a regular file' if path.exists() else 'no such file'}")
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if start[:2] == b"\x1f\x8b":
        return
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise DataError(f"{path}: a web page (HTML), not a gzip file; the download went wrong, fetch it again")
    came = f"starts with {start[:4]!r}" if start else "empty"
    raise DataError(f"{path}: not a gzip file ({came}); fetch it again")


def _broken(path: Path, error: Exception) -> str:
    """One line for what gzip, zlib or tarfile had to say."""
    if isinstance(error, EOFError) or "unexpected end of data" in str(error):
        return f"{path}: truncated, the file ends before its content does; fetch it again"
    reason = " ".join(str(error).split()) or type(error).__name__
    return f"{path}: broken ({reason}); fetch it again"
