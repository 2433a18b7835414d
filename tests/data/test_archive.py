"""Reading archives that someone else made: what is asked for, in one pass, and hostile or broken ones refused."""

import contextlib
import gzip
import io
import os
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from convscope.data.archive import MAX_HEADER, MAX_HEADERS, MAX_MEMBERS, read_file, read_gzip, read_members
from convscope.errors import DataError

WANTED = {"set/one": 1000, "set/two": 1000}
ONE, TWO = bytes(range(250)), b"second" * 50

Member = tuple[str | tarfile.TarInfo, bytes]


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def tar_bytes(members: Sequence[Member], form: int = tarfile.USTAR_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


GOOD: list[Member] = [(special("set", tarfile.DIRTYPE), b""), ("set/two", TWO), ("set/readme", b"r"), ("set/one", ONE)]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "set.tar.gz"


def refusal(path: Path, wanted: dict[str, int] | None = None) -> str:
    """The line with which the archive is refused; nothing may have been written anywhere near it."""
    before = sorted(path.parent.rglob("*"))
    with pytest.raises(DataError) as error:
        list(read_members(path, wanted or WANTED))
    assert sorted(path.parent.rglob("*")) == before
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_the_wanted_members_come_in_the_order_of_the_archive(archive: Path) -> None:
    archive.write_bytes(gzip.compress(tar_bytes(GOOD)))
    assert list(read_members(archive, WANTED)) == [("set/two", TWO), ("set/one", ONE)]
    assert [path.name for path in archive.parent.iterdir()] == ["set.tar.gz"]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_tar_dialect_is_read_long_names_too(archive: Path, form: int) -> None:
    long = "set/" + "n" * 90
    archive.write_bytes(gzip.compress(tar_bytes([*GOOD, (long, b"x" * 600)], form)))
    assert dict(read_members(archive, WANTED | {long: 600})) == {"set/one": ONE, "set/two": TWO, long: b"x" * 600}


@pytest.mark.parametrize(
    ("member", "kind"),
    [
        (special("set/one", tarfile.SYMTYPE, "/etc/passwd"), "a symbolic link"),
        (special("set/one", tarfile.LNKTYPE, "set/two"), "a hard link"),
        (special("set/one", tarfile.CHRTYPE), "a device"),
        (special("set/one", tarfile.BLKTYPE), "a device"),
        (special("set/one", tarfile.FIFOTYPE), "a named pipe"),
        (special("set/one", tarfile.DIRTYPE), "a folder"),
        (special("set/one", tarfile.GNUTYPE_SPARSE), "of a special kind"),
    ],
)
def test_a_member_that_is_no_regular_file_is_refused(archive: Path, member: tarfile.TarInfo, kind: str) -> None:
    archive.write_bytes(gzip.compress(tar_bytes([("set/two", TWO), (member, b"")])))
    assert refusal(archive) == f"member 'set/one' is {kind}, expected a regular file"


def test_a_sparse_file_in_pax_form_is_refused_too(archive: Path) -> None:
    """Its type says regular; what makes it sparse, and its size whatever it likes, is in the extended header."""
    info = tarfile.TarInfo("set/sparse")
    info.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "set/one",
        "GNU.sparse.realsize": "900",
    }
    content = b"1\n0\n100\n".ljust(512, b"\0") + bytes(100)
    archive.write_bytes(gzip.compress(tar_bytes([("set/two", TWO), (info, content)], tarfile.PAX_FORMAT)))
    assert refusal(archive) == "member 'set/one' is of a special kind, expected a regular file"


@pytest.mark.parametrize("name", ["../set/one", "set/../../one", "/set/one"])
def test_a_name_that_leads_out_of_the_archive_is_refused(archive: Path, name: str) -> None:
    archive.write_bytes(gzip.compress(tar_bytes([*GOOD, (name, b"evil")])))
    assert f"member {name!r} leads out of the archive" in refusal(archive)


def test_a_name_must_be_exact(archive: Path) -> None:
    archive.write_bytes(gzip.compress(tar_bytes([("set/two", TWO), ("set/one.bak", ONE), ("set/One", ONE)])))
    assert refusal(archive) == "has no member 'set/one', it holds 'set/two', 'set/one.bak', 'set/One'"


def test_a_member_that_comes_twice_is_refused(archive: Path) -> None:
    archive.write_bytes(gzip.compress(tar_bytes([*GOOD, ("set/one", b"other")])))
    assert "'set/one' comes twice" in refusal(archive)


def test_sizes_are_capped(archive: Path) -> None:
    archive.write_bytes(gzip.compress(tar_bytes(GOOD)))
    assert refusal(archive, {"set/one": 249}) == "member 'set/one' has 250 bytes, at most 249 expected"
    assert list(read_members(archive, {"set/one": 250})) == [("set/one", ONE)]


def test_what_nobody_asked_for_is_capped_too(archive: Path) -> None:
    archive.write_bytes(gzip.compress(tar_bytes([("bomb", bytes(3 * 2**20)), *GOOD])))
    assert "unpacks to more than" in refusal(archive)
    archive.write_bytes(gzip.compress(tar_bytes([*GOOD, *[(f"{i}", b"") for i in range(MAX_MEMBERS)]])))
    assert f"more than {MAX_MEMBERS} members" in refusal(archive)
    archive.write_bytes(gzip.compress(tar_bytes(GOOD) + bytes(2**21)))
    assert "data goes on after the end" in refusal(archive)


EXTENSIONS = [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE]


@pytest.mark.parametrize("kind", EXTENSIONS)
def test_a_header_cannot_claim_all_memory(archive: Path, kind: bytes) -> None:
    head = special("x", kind)
    head.size = 2**40  # tarfile would read as much in one piece
    archive.write_bytes(gzip.compress(head.tobuf(tarfile.GNU_FORMAT) + bytes(4096)))
    assert f"asks for {2**40} bytes" in refusal(archive)


def write_extensions(path: Path, kind: bytes, size: int, count: int) -> None:
    """`count` headers of `size` zeros each, one after the other, and nothing that they belong to."""
    head = special("x", kind)
    head.size = size
    with path.open("wb") as file:
        packer = zlib.compressobj(9, wbits=31)
        for _ in range(count):
            file.write(packer.compress(head.tobuf(tarfile.GNU_FORMAT)))
            for _ in range(size // 2**20):
                file.write(packer.compress(bytes(2**20)))
        file.write(packer.flush())


READ_WITHIN_MEMORY = """
import resource, sys
from pathlib import Path
from convscope.data.archive import read_members
from convscope.errors import DataError

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    list(read_members(Path(sys.argv[1]), {"set/one": 61 * 2**20, "set/two": 61 * 2**20}))
except DataError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("kind", EXTENSIONS)
def test_chained_headers_cannot_claim_all_memory(archive: Path, kind: bytes) -> None:
    """Each below the size of a wanted member, together far more, before tarfile yields anything to check."""
    write_extensions(archive, kind, size=61 * 2**20, count=6)
    command = [sys.executable, "-c", READ_WITHIN_MEMORY, str(archive)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    message, grown = result.stdout.splitlines()
    assert f"a header asks for {61 * 2**20} bytes" in message
    assert int(grown) < 10 * 2**10  # KiB


@pytest.mark.parametrize("kind", EXTENSIONS)
def test_headers_are_counted_together(archive: Path, kind: bytes) -> None:
    head = special("x", kind)
    head.size = 512
    chain = (head.tobuf(tarfile.GNU_FORMAT) + bytes(512)) * (MAX_HEADER // 1024)
    archive.write_bytes(gzip.compress(chain + tar_bytes(GOOD)))
    assert "a header asks for 512 bytes, at most 0 are allowed" in refusal(archive)


def test_the_headers_of_all_members_are_counted_together(archive: Path) -> None:
    """Each member passes, and tarfile keeps them all."""
    long = [(f"{i:02}" + "n" * (MAX_HEADER - 2048), b"") for i in range(MAX_HEADERS // MAX_HEADER + 3)]
    archive.write_bytes(gzip.compress(tar_bytes([*GOOD, *long[:3]], tarfile.GNU_FORMAT)))
    assert dict(read_members(archive, WANTED)) == {"set/one": ONE, "set/two": TWO}
    archive.write_bytes(gzip.compress(tar_bytes([*GOOD, *long], tarfile.GNU_FORMAT)))
    assert "a header asks for" in refusal(archive)


def test_headers_that_disagree_about_a_size_lead_nowhere(archive: Path) -> None:
    """The size in the extended header is what a caller sees, the one in the plain header where tarfile goes on."""
    info = tarfile.TarInfo("set/x")
    info.pax_headers = {"GNU.sparse.realsize": "1"}
    raw = info.tobuf(tarfile.PAX_FORMAT)
    for size in (2**40, -1024):
        info.size = size
        head = raw[:-512] + info.tobuf(tarfile.GNU_FORMAT)[-512:]
        archive.write_bytes(gzip.compress(head + tar_bytes(GOOD)))
        assert "a header leads from byte" in refusal(archive)


def test_a_long_name_is_cut_short_in_the_message(archive: Path) -> None:
    archive.write_bytes(gzip.compress(tar_bytes([("n" * 9000, b"")], tarfile.GNU_FORMAT)))
    assert refusal(archive) == f"has no member 'set/one', it holds '{'n' * 100}…'"


def test_a_size_below_zero_does_not_turn_the_reader_back(archive: Path) -> None:
    head = special("x", tarfile.REGTYPE)
    head.size = -512
    archive.write_bytes(gzip.compress(head.tobuf(tarfile.GNU_FORMAT) + bytes(4096)))
    refusal(archive)


def test_headers_of_headers_do_not_overflow_the_stack(archive: Path) -> None:
    head = special("x", tarfile.XHDTYPE)
    archive.write_bytes(gzip.compress(head.tobuf(tarfile.USTAR_FORMAT) * 3000 + bytes(1024)))
    refusal(archive)


def test_wherever_the_file_is_cut_off_it_is_refused(archive: Path) -> None:
    whole = gzip.compress(tar_bytes([("set/two", TWO), ("set/one", np.random.default_rng(0).bytes(900))]))
    for length in range(2, len(whole), 37):
        archive.write_bytes(whole[:length])
        assert "truncated" in refusal(archive)
    archive.write_bytes(whole[:-1])
    assert "truncated" in refusal(archive)


def test_damaged_content_fails_its_checksum(archive: Path) -> None:
    raw = bytearray(gzip.compress(tar_bytes(GOOD), compresslevel=0))
    raw[raw.index(TWO) + 3] ^= 1  # stored, so all else stays as it is
    archive.write_bytes(raw)
    assert refusal(archive).startswith("broken (CRC check failed")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "a web page (HTML), not a gzip file"),
        (b"\xef\xbb\xbf\n <html>", "a web page (HTML), not a gzip file"),
        (b"", "not a gzip file (empty)"),
        (b"PK\x03\x04zip", "not a gzip file (starts with b'PK\\x03\\x04')"),
        (tar_bytes(GOOD), "not a gzip file (starts with b'set/')"),
        (gzip.compress(b"no tar" * 500, mtime=0), "broken"),
        (gzip.compress(bytes(10240), mtime=0), "has no member 'set/one', it holds nothing"),
    ],
)
def test_what_is_no_tar_gz_is_called_by_its_name(archive: Path, content: bytes, reason: str) -> None:
    archive.write_bytes(content)
    assert reason in refusal(archive)


def test_no_random_damage_gets_through_as_another_error(archive: Path) -> None:
    rng = np.random.default_rng(0)
    base = tar_bytes([("set/two", TWO), ("set/" + "ü" * 120, b"u"), ("set/one", ONE)], tarfile.PAX_FORMAT)
    for _ in range(400):
        raw = bytearray(base)
        for place in rng.integers(0, 3000, 3):
            raw[place] = rng.integers(256)
        archive.write_bytes(gzip.compress(raw, compresslevel=1))
        with contextlib.suppress(DataError):
            list(read_members(archive, WANTED))


def test_files_are_read_within_their_limit(tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain", tmp_path / "packed.gz"
    plain.write_bytes(ONE)
    packed.write_bytes(gzip.compress(ONE))
    assert read_file(plain, 250) == read_gzip(packed, 250) == ONE
    with pytest.raises(DataError, match="plain: larger than the 249 bytes"):
        read_file(plain, 249)
    with pytest.raises(DataError, match=r"packed\.gz: unpacks to more than the 249 bytes"):
        read_gzip(packed, 249)


@pytest.mark.parametrize("read", [read_file, read_gzip])
def test_only_regular_files_are_opened(tmp_path: Path, read: object) -> None:
    assert callable(read)
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    for name, reason in [("pipe", "not a regular file"), ("", "not a regular file"), ("none", "no such file")]:
        with pytest.raises(DataError, match=reason):
            read(tmp_path / name, 10)


def test_a_small_gzip_cannot_unpack_to_all_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(2**25), compresslevel=9))
    with pytest.raises(DataError, match="unpacks to more than the 1000 bytes"):
        read_gzip(path, 1000)
