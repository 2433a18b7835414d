"""A file under its own name is whole at every moment, has the umask's permissions, and survives a failed write."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from convscope.errors import ConvscopeError
from convscope.runs.artifacts import write_file

SIZE = 200_000
READER = """\
import sys
from pathlib import Path
path, reads = Path(sys.argv[1]), 0
print("ready", flush=True)
while True:
    content = path.read_bytes()
    reads += 1
    if len(content) != int(sys.argv[2]) or len(set(content)) != 1:
        sys.exit(f"read {reads}: {len(content)} bytes of {set(content)}")
    if content[:1] == b"z":
        break
print(reads)
"""


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "best.pt"
    write_file(path, b"a" * SIZE)
    command = [sys.executable, "-c", READER, str(path), str(SIZE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stderr is not None
        assert reader.stdout.readline() == "ready\n"
        for turn in range(150):
            write_file(path, bytes([97 + turn % 20]) * SIZE)
        write_file(path, b"z" * SIZE)
        reads, problem = reader.stdout.read(), reader.stderr.read()
    assert problem == ""
    assert int(reads) > 20  # or the reader hardly looked
    assert [file.name for file in tmp_path.iterdir()] == ["best.pt"]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_follow_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    path = tmp_path / "results.json"
    path.write_text("old")
    path.chmod(0o400)
    before = os.umask(umask)
    try:
        write_file(path, "{}")
        assert os.umask(umask) == umask  # still set
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == mode
    assert path.read_text() == "{}"


def test_a_failed_write_changes_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    (path / "inside").mkdir(parents=True)  # a folder in the way cannot be replaced by a file
    with pytest.raises(ConvscopeError, match=r"cannot write .*README.md: .*; nothing was changed"):
        write_file(path, "text")
    assert [str(file.relative_to(tmp_path)) for file in sorted(tmp_path.rglob("*"))] == [
        "README.md",
        "README.md/inside",
    ]
