"""Downloads against a real server on 127.0.0.1 that cuts, stalls, lies and redirects; no other host is asked."""

import gzip
import hashlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from convscope.data import fetch, load
from convscope.data.download import Patience, download
from convscope.data.locations import find
from convscope.data.mnist import GARMENTS, PARTS
from convscope.data.sources import SOURCES, Remote
from convscope.errors import DataError, UsageError

CONTENT = b"\x1f\x8b" + np.random.default_rng(0).bytes(300_001)
SIZE, HASH = len(CONTENT), hashlib.sha256(CONTENT).hexdigest()
NAME = "sub/x.gz"
QUICK = Patience(stall=0.4, attempts=3, pause=0.01)


class Request(BaseHTTPRequestHandler):
    """One request; `server.behaviours` says how it is answered, the last of them again and again."""

    server: "Server"

    def do_GET(self) -> None:
        server = self.server
        server.ranges.append(self.headers.get("Range"))
        server.paths.append(self.path)
        behave = server.behaviours.pop(0) if len(server.behaviours) > 1 else server.behaviours[0]
        with suppress(OSError):  # the client has gone
            behave(self, server.files.get(self.path.lstrip("/"), CONTENT))
        self.close_connection = True

    @property
    def start(self) -> int:
        return int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))

    def head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.behaviours: list[Behaviour] = [whole]
        self.files: dict[str, bytes] = {}
        self.ranges: list[str | None] = []
        self.paths: list[str] = []
        self.go_on = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


Behaviour = Callable[[Request, bytes], object]


def whole(request: Request, content: bytes) -> None:
    """As it should be, Range included."""
    start = request.start
    if start >= len(content):
        request.head(416)
    elif request.headers.get("Range"):
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        request.head(206, Content_Length=len(content) - start, Content_Range=span)
        request.wfile.write(content[start:])
    else:
        request.head(200, Content_Length=len(content))
        request.wfile.write(content)


def cut(count: int) -> Behaviour:
    """Promises everything, sends `count` bytes of it, honouring Range."""

    def behave(request: Request, content: bytes) -> None:
        start = request.start
        span = {"Content_Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        request.head(206 if start else 200, Content_Length=len(content) - start, **span)
        request.wfile.write(content[start : start + count])

    return behave


def stall(count: int) -> Behaviour:
    """As `cut`, but keeps the line open and silent until the test says to go on."""

    def behave(request: Request, content: bytes) -> None:
        cut(count)(request, content)
        request.wfile.flush()
        request.server.go_on.wait(30)

    return behave


def ignore_range(count: int | None = None) -> Behaviour:
    def behave(request: Request, content: bytes) -> None:
        request.head(200, Content_Length=len(content))
        request.wfile.write(content[:count])

    return behave


def status(code: int, **headers: object) -> Behaviour:
    return lambda request, content: request.head(code, Content_Length=0, **headers)


def body(content: bytes, length: int | None = None) -> Behaviour:
    """Sends this, whatever was asked for."""

    def behave(request: Request, _: bytes) -> None:
        request.head(200, Content_Length=len(content) if length is None else length)
        request.wfile.write(content)

    return behave


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "CONVSCOPE_MIRROR", "CONVSCOPE_DATA"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.go_on.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def get(server: Server, tmp_path: Path) -> Callable[..., Path]:
    """Downloads `NAME` from the server into the test's folder, behaving as told."""

    def run(*behaviours: Behaviour, mirror: str = server.url, remote: Remote | None = None) -> Path:
        server.behaviours = [*behaviours]
        return download(NAME, remote or Remote(SIZE, HASH, ()), tmp_path, mirror, False, QUICK)

    return run


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """Where an unfinished download lies."""
    (tmp_path / "sub").mkdir()
    return tmp_path / f"{NAME}.part"


def left(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


Get = Callable[..., Path]


def test_a_file_arrives_whole_and_alone(get: Get, server: Server, tmp_path: Path) -> None:
    path = get(whole)
    assert path == tmp_path / NAME
    assert path.read_bytes() == CONTENT
    assert left(tmp_path) == [NAME]
    assert (server.paths, server.ranges) == ([f"/{NAME}"], [None])
    assert get(whole).read_bytes() == CONTENT
    assert len(server.paths) == 1  # it was there


def test_a_cut_connection_is_resumed_where_it_broke(get: Get, server: Server, tmp_path: Path) -> None:
    assert get(cut(100_000), cut(50_000), whole).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-", "bytes=150000-"]
    assert left(tmp_path) == [NAME]


def test_a_stalled_connection_is_given_up_and_resumed(get: Get, server: Server) -> None:
    began = time.perf_counter()
    assert get(stall(1000), whole).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000-"]
    assert QUICK.stall < time.perf_counter() - began < 10


def test_a_server_that_never_gets_further_is_given_up_but_what_came_is_kept(
    get: Get, server: Server, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"ended, after 3,000 of 300,003 bytes, 3 times without progress"):
        get(cut(1000))
    assert len(server.ranges) == QUICK.attempts
    assert left(tmp_path) == [f"{NAME}.part"]
    with pytest.raises(DataError, match=r"no byte for 0\.4 s, after 3,003 of"):
        get(stall(1))
    assert get(whole).read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=3003-"


def test_a_long_file_over_a_shaky_line_gets_all_the_attempts_it_needs(server: Server, tmp_path: Path) -> None:
    content = b"\x1f\x8b" + np.random.default_rng(1).bytes(6 * 2**20)
    server.files[NAME] = content
    server.behaviours = [cut(2**20)]
    remote = Remote(len(content), hashlib.sha256(content).hexdigest(), ())
    path = download(NAME, remote, tmp_path, server.url, False, QUICK)
    assert path.read_bytes() == content
    assert len(server.ranges) == 7 > QUICK.attempts


def test_a_server_that_ignores_range_starts_over(get: Get, server: Server, tmp_path: Path) -> None:
    assert get(ignore_range(100_000), ignore_range()).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-"]


def test_a_server_that_ignores_range_and_always_breaks_is_given_up(get: Get, server: Server) -> None:
    with pytest.raises(DataError, match=r"after 100,000 of 300,003 bytes"):
        get(ignore_range(100_000))
    assert len(server.ranges) == QUICK.attempts


def test_416_starts_over(get: Get, server: Server, part: Path) -> None:
    part.write_bytes(CONTENT[:5000])
    assert get(status(416), whole).read_bytes() == CONTENT
    assert server.ranges == ["bytes=5000-", None]


def test_a_whole_part_needs_no_server(get: Get, server: Server, part: Path, tmp_path: Path) -> None:
    part.write_bytes(CONTENT)  # killed just before the renaming
    assert get(whole).read_bytes() == CONTENT
    assert server.ranges == []
    assert left(tmp_path) == [NAME]


@pytest.mark.parametrize("stale", [CONTENT + b"x", b"\x1f\x8b" + bytes(7000), CONTENT[:-1] + b"?"])
def test_a_part_that_is_not_of_this_file_costs_no_more_than_a_new_start(
    get: Get, server: Server, part: Path, stale: bytes
) -> None:
    part.write_bytes(stale)
    assert get(whole).read_bytes() == CONTENT
    assert server.ranges[-1] is None


def test_a_length_that_claims_too_much_is_not_waited_for(get: Get, server: Server) -> None:
    def behave(request: Request, content: bytes) -> None:
        body(content, SIZE + 1000)(request, content)
        request.wfile.flush()
        request.server.go_on.wait(30)

    assert get(behave).read_bytes() == CONTENT
    assert len(server.ranges) == 1


def test_what_comes_after_the_file_is_not_taken(get: Get) -> None:
    assert get(body(CONTENT + bytes(5000))).read_bytes() == CONTENT


def test_a_length_that_claims_too_little_is_made_up_for(get: Get, server: Server) -> None:
    assert get(body(CONTENT, 1234), whole).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1234-"]


def test_a_chunked_answer_is_not_waited_for_past_its_end(server: Server, tmp_path: Path) -> None:
    def behave(request: Request, content: bytes) -> None:
        request.protocol_version = "HTTP/1.1"
        request.head(200, Transfer_Encoding="chunked")
        request.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
        request.wfile.flush()
        request.server.go_on.wait(30)  # neither another chunk nor the last, empty one

    server.behaviours = [behave]
    began = time.perf_counter()
    path = download(NAME, Remote(SIZE, HASH, ()), tmp_path, server.url, False, Patience(stall=20))
    assert path.read_bytes() == CONTENT
    assert time.perf_counter() - began < 10


def test_an_endless_answer_is_cut_at_the_published_size(get: Get, server: Server, tmp_path: Path) -> None:
    sent = 0

    def endless(request: Request, _: bytes) -> None:
        nonlocal sent
        request.head(200)
        request.wfile.write(b"\x1f\x8b")
        while sent < 2**28:
            sent += request.wfile.write(bytes(2**16))

    with pytest.raises(DataError, match="SHA-256"):
        get(endless)
    assert sent < 2**26  # what the system's buffers take
    assert left(tmp_path) == []


def test_wrong_bytes_are_refused_with_both_hashes_and_leave_nothing(get: Get, tmp_path: Path) -> None:
    wrong = CONTENT[:-1] + b"?"
    with pytest.raises(DataError) as error:
        get(body(wrong))
    message = str(error.value)
    assert hashlib.sha256(wrong).hexdigest() in message
    assert HASH in message
    assert "\n" not in message
    assert left(tmp_path) == []


def test_a_web_page_is_called_one_and_does_not_cost_what_had_come(get: Get, server: Server, part: Path) -> None:
    part.write_bytes(CONTENT[:5000])
    with pytest.raises(DataError, match=r"it answers with a web page \(HTML\), not with the file"):
        get(body(b"<!doctype html><title>Please log in</title>" + bytes(SIZE)))
    assert server.ranges == ["bytes=5000-"]
    assert part.read_bytes() == CONTENT[:5000]
    with pytest.raises(DataError, match=r"something that starts with b'PK"):
        get(body(b"PK\x03\x04"))


def test_a_redirection_is_followed_range_and_all(get: Get, server: Server) -> None:
    server.files["elsewhere"] = CONTENT
    aside = status(302, Location="/elsewhere")
    assert get(aside, cut(777), aside, whole).read_bytes() == CONTENT
    assert server.ranges == [None, None, "bytes=777-", "bytes=777-"]
    assert server.paths == [f"/{NAME}", "/elsewhere"] * 2


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:,x", "http://[bad", "/sub/x.gz"])
def test_a_redirection_to_nowhere_good_is_refused(get: Get, tmp_path: Path, target: str) -> None:
    with pytest.raises(DataError, match=r"could not be downloaded: http://127\.0\.0\.1") as error:
        get(status(302, Location=target))
    assert "\n" not in str(error.value)
    assert left(tmp_path) == []


@pytest.mark.parametrize(("code", "asked"), [(404, 1), (403, 1), (503, 3), (429, 3)])
def test_a_status_is_passing_or_final(get: Get, server: Server, code: int, asked: int) -> None:
    with pytest.raises(DataError, match=f"HTTP {code}"):
        get(status(code))
    assert len(server.ranges) == asked


def test_a_passing_status_passes(get: Get) -> None:
    assert get(status(503), status(502), whole).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("span", "reason"),
    [
        ("bytes 4000-300002/300003", r"asked for the bytes from 5000 on, it sends 4000-300002/300003"),
        ("bytes 5000-300003/300004", r"its file has 300004 bytes, expected 300003; not the published file"),
        ("", r"asked for the bytes from 5000 on, it sends others"),
    ],
)
def test_a_partial_answer_must_be_the_part_asked_for(get: Get, part: Path, span: str, reason: str) -> None:
    part.write_bytes(CONTENT[:5000])
    with pytest.raises(DataError, match=reason):
        get(status(206, Content_Range=span))
    assert part.read_bytes() == CONTENT[:5000]


def test_a_servers_words_cannot_play_with_the_terminal(get: Get) -> None:
    def behave(request: Request, _: bytes) -> None:
        request.wfile.write(b"HTTP/1.0 404 \x1b[31mgone\x1b[0m\r\n\r\n")

    with pytest.raises(DataError, match=r"HTTP 404 \?\[31mgone"):
        get(behave)


def test_no_http_at_all_is_one_line(get: Get) -> None:
    with pytest.raises(DataError, match="without progress") as error:
        get(lambda request, _: request.wfile.write(b"220 smtp\r\n"))
    assert "\n" not in str(error.value)


def test_one_host_goes_on_where_another_stopped(server: Server, tmp_path: Path) -> None:
    server.behaviours = [cut(1000), status(404), whole]
    hosts = (f"{server.url}/one/", f"{server.url}/two/")
    path = download(NAME, Remote(SIZE, HASH, hosts), tmp_path, progress=False, patience=QUICK)
    assert path.read_bytes() == CONTENT
    assert server.paths == ["/one/x.gz", "/one/x.gz", "/two/x.gz"]
    assert server.ranges == [None, "bytes=1000-", "bytes=1000-"]


def test_offline_names_the_address_and_where_to_put_the_file(get: Get, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: refused
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(DataError) as error:
            get(whole, mirror=url)
    message = str(error.value)
    assert message.startswith(f"x.gz could not be downloaded: {url}/{NAME}: Connection refused; ")
    assert f"get it by hand and put it there as {tmp_path / NAME}, or name a mirror in CONVSCOPE_MIRROR" in message
    assert "\n" not in message


@pytest.mark.parametrize("mirror", ["ftp://host/x", "file:///tmp", "host/x", "http://", "http://h:x", "http://a b"])
def test_a_mirror_must_be_a_web_address(get: Get, mirror: str) -> None:
    with pytest.raises(UsageError, match=r"is no address like https://host/folder \(--mirror or CONVSCOPE_MIRROR\)"):
        get(whole, mirror=mirror)


def test_the_proxy_variables_are_honoured(get: Get, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url)  # our server, as a proxy: it is asked by the whole address
    server.files[f"http://mirror.invalid/{NAME}"] = CONTENT
    assert get(whole, mirror="http://mirror.invalid/").read_bytes() == CONTENT
    assert server.paths == [f"http://mirror.invalid/{NAME}"]


def test_a_place_that_cannot_be_written_is_named(server: Server, tmp_path: Path, part: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/sub/x\.gz: cannot be written"):
        download(NAME, Remote(SIZE, HASH, ()), tmp_path / "file", server.url, False, QUICK)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, Linux's disk without space")
def test_a_full_disk_is_named(get: Get, part: Path) -> None:
    part.symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"x\.gz: cannot be written: No space left on device"):
        get(whole)


@pytest.mark.parametrize(("progress", "shown"), [(True, True), (False, False), (None, False)])
def test_progress_is_shown_where_it_is_wanted(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], progress: bool | None, shown: bool
) -> None:
    download(NAME, Remote(SIZE, HASH, ()), tmp_path, server.url, progress, QUICK)
    out, err = capsys.readouterr()
    assert out == ""
    assert ("x.gz" in err) is shown
    assert bool(err) is shown


# Real processes ------------------------------------------------------------------------------------------------

SCRIPT = """
import sys
from pathlib import Path
from convscope.data.download import Patience, download
from convscope.data.sources import Remote
name, size, sha256, folder, mirror = sys.argv[1:]
print(download(name, Remote(int(size), sha256, ()), Path(folder), mirror, False, Patience(stall=30)))
"""


def start(server: Server, folder: Path) -> "subprocess.Popen[str]":
    arguments = [NAME, str(SIZE), HASH, str(folder), server.url]
    return subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments], stdout=subprocess.PIPE, text=True)


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def test_two_processes_at_once_download_once(server: Server, tmp_path: Path) -> None:
    def slowly(request: Request, content: bytes) -> None:
        request.server.go_on.wait(30)
        whole(request, content)

    server.behaviours = [slowly]
    with start(server, tmp_path) as first, start(server, tmp_path) as second:
        wait_until(lambda: bool(server.ranges))
        time.sleep(0.5)  # time enough for the other to come to the lock, or past it
        server.go_on.set()
        for process in (first, second):
            out, _ = process.communicate(timeout=30)
            assert (process.returncode, out.strip()) == (0, str(tmp_path / NAME))
    assert server.ranges == [None]
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert left(tmp_path) == [NAME]


def test_a_killed_download_is_finished_by_range(server: Server, get: Get, tmp_path: Path) -> None:
    server.behaviours = [stall(123_456)]
    unfinished = tmp_path / f"{NAME}.part"
    with start(server, tmp_path) as process:
        wait_until(lambda: unfinished.exists() and unfinished.stat().st_size == 123_456)
        process.kill()
    assert process.returncode != 0
    assert left(tmp_path) == [f"{NAME}.lock", f"{NAME}.part"]  # nothing under the final name
    assert get(whole).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=123456-"]
    assert left(tmp_path) == [NAME]


def test_a_process_that_waits_takes_over_from_a_killed_one(server: Server, tmp_path: Path) -> None:
    server.behaviours = [stall(123_456), whole]
    unfinished = tmp_path / f"{NAME}.part"
    with start(server, tmp_path) as first:
        wait_until(lambda: unfinished.exists() and unfinished.stat().st_size == 123_456)
        with start(server, tmp_path) as second:
            time.sleep(1)
            assert second.poll() is None  # it waits
            assert len(server.ranges) == 1
            first.kill()
            out, _ = second.communicate(timeout=30)
    assert (second.returncode, out.strip()) == (0, str(tmp_path / NAME))
    assert server.ranges == [None, "bytes=123456-"]
    assert (tmp_path / NAME).read_bytes() == CONTENT


# Data sets -----------------------------------------------------------------------------------------------------


def idx(array: np.ndarray) -> bytes:
    axes = b"".join(int(size).to_bytes(4, "big") for size in array.shape)
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + axes + array.tobytes(), 1)


@pytest.fixture
def fashion(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The server mirrors a Fashion-MNIST of even grey pictures, ten times their label; the cache is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for count, pictures, labels in ((60_000, PARTS[0], PARTS[1]), (10_000, PARTS[2], PARTS[3])):
        classes = np.arange(count, dtype=np.uint8) % 10
        even = np.repeat(10 * classes, 28 * 28).reshape(-1, 28, 28)
        for part, array in ((pictures, even), (labels, classes)):
            name = f"fashion-mnist/{part}-ubyte.gz"
            server.files[name] = idx(array)
            sha256 = hashlib.sha256(server.files[name]).hexdigest()
            monkeypatch.setitem(SOURCES, name, Remote(len(server.files[name]), sha256, ("http://127.0.0.1:1/",)))
    return server.files


needs_xdg = pytest.mark.skipif(sys.platform != "linux", reason="XDG_CACHE_HOME is Linux's")


@needs_xdg
def test_loading_downloads_what_is_missing(
    fashion: dict[str, bytes], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVSCOPE_MIRROR", server.url)
    by_hand = tmp_path / "mine" / "fashion-mnist"
    by_hand.mkdir(parents=True)
    (by_hand / "t10k-labels-idx1-ubyte").write_bytes(gzip.decompress(idx(np.full(10_000, 7, np.uint8))))
    monkeypatch.setenv("CONVSCOPE_DATA", str(tmp_path / "mine"))
    train, test = load("fashion-mnist")
    assert train.classes == test.classes == GARMENTS
    assert (train.images[:, 0, 5, 9] == 10 * train.labels).all()
    assert test.labels.tolist() == [7] * 10_000  # placed by hand, so its structure counts and not its hash
    assert sorted(server.paths) == sorted(f"/{name}" for name in fashion if "t10k-labels" not in name)
    cache = tmp_path / "cache" / "convscope"
    assert left(cache) == sorted(name for name in fashion if "t10k-labels" not in name)
    load("fashion-mnist")
    assert len(server.paths) == 3


@needs_xdg
def test_fetch_prints_where_the_files_lie(
    fashion: dict[str, bytes], server: Server, tmp_path: Path, cli: Callable[..., tuple[int, str, str]]
) -> None:
    expected = [str(tmp_path / "cache" / "convscope" / name) for name in fashion]
    code, out, err = cli("data", "fetch", "fashion-mnist", "--mirror", f"{server.url}/")
    assert (code, out.splitlines(), err) == (0, expected, "")
    code, out, _ = cli("data", "fetch", "fashion-mnist", "--json")
    assert (code, json.loads(out)) == (0, {"name": "fashion-mnist", "files": expected})
    assert len(server.paths) == 4
    Path(expected[2]).write_bytes(b"broken")
    code, out, err = cli("data", "fetch", "fashion-mnist")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert f"{expected[2]}: its SHA-256 is {hashlib.sha256(b'broken').hexdigest()}, expected" in err


@needs_xdg
def test_fetch_that_fails_is_one_line(
    fashion: dict[str, bytes], tmp_path: Path, cli: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, err = cli("data", "fetch", "fashion-mnist")  # its own host is a closed port
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "http://127.0.0.1:1/train-images-idx3-ubyte.gz: Connection refused" in err
    code, out, err = cli("data", "fetch", "fashion-mnist", "--mirror", "nowhere")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert left(tmp_path) == []


def test_fetch_of_what_needs_no_file(cli: Callable[..., tuple[int, str, str]]) -> None:
    assert cli("data", "fetch", "digits")[:2] == (0, "digits needs no file\n")
    assert json.loads(cli("data", "fetch", "digits", "--json")[1]) == {"name": "digits", "files": []}
    with pytest.raises(UsageError, match="unknown data set 'imagenet'; choose from"):
        fetch("imagenet")


@needs_xdg
def test_listing_and_a_given_folder_download_nothing(
    fashion: dict[str, bytes],
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cli: Callable[..., tuple[int, str, str]],
) -> None:
    monkeypatch.setenv("CONVSCOPE_MIRROR", server.url)
    _, out, _ = cli("data", "list", "--json")
    found = {item["name"]: item for item in json.loads(out)["data"]}
    assert not found["fashion-mnist"]["available"]
    assert "`convscope data fetch fashion-mnist`" in found["fashion-mnist"]["where"]
    with pytest.raises(DataError, match="fashion-mnist: found no"):
        load("fashion-mnist", tmp_path)
    with pytest.raises(DataError, match=r"other: found no x\.gz"):
        find("other", ["x.gz"])
    assert server.paths == []
    assert left(tmp_path) == []


def test_every_source_has_a_hash_a_size_and_a_safe_host() -> None:
    for name, remote in SOURCES.items():
        assert len(remote.sha256) == 64, name
        assert int(remote.sha256, 16)
        assert 4000 < remote.size < 2**28
        assert remote.hosts
        assert all(host.startswith("https://") and host.endswith("/") for host in remote.hosts)
    assert len({remote.sha256 for remote in SOURCES.values()}) == len(SOURCES) == 10
