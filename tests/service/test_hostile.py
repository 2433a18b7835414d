"""Everything that is meant to hurt, sent to the real program: a defined refusal each time, and no memory kept."""

import io
import json
import re
import socket
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from convscope.runs import Run
from tests.service.pictures import encoded, files, noise

Sent = Callable[[Any], tuple[int, Any]]  # service -> status and body

PICTURE = encoded(noise())
SHORT = ("--header-timeout", 1, "--body-timeout", 1, "--timeout", 30)  # this machine may be slow, the attacks not


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 0) -> bytes:
    """A PNG of zeros of that size, whatever it claims; `chunks` before the pixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    channels = {0: 1, 2: 3, 6: 4}[colour]
    pixels = zlib.compress(bytes((1 + width * channels * depth // 8) * height), 9)
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def zipped() -> bytes:
    """A JPEG that is a ZIP archive with a page in it too."""
    buffer = io.BytesIO(encoded(noise(), "JPEG"))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("../../page.html", "<script>")
    return buffer.getvalue()


def animated() -> bytes:
    """A WebP of many frames."""
    frames = [Image.fromarray(noise(seed, (64, 64, 3))) for seed in range(20)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def post(*contents: bytes, path: str = "/v1/predict", **headers: str) -> Sent:
    """Pictures as a client would send them."""
    return lambda service: _answered(service.client.post(path, files=files(*contents), headers=headers))


def body(content: bytes, kind: str) -> Sent:
    """A body of whatever kind."""
    return lambda service: _answered(
        service.client.post("/v1/predict", content=content, headers={"content-type": kind})
    )


def get(path: str) -> Sent:
    """A path as it stands, which a client library would tidy up before sending."""
    return raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("latin-1"))


def raw(sent: bytes) -> Sent:
    """Bytes on a bare connection, and what comes until the server closes it."""

    def send(service: Any) -> tuple[int, Any]:
        with socket.create_connection(service.address, timeout=20) as connection:
            connection.sendall(sent)
            came = b""
            while part := connection.recv(65536):
                came += part
        head, _, content = came.partition(b"\r\n\r\n")
        assert int(re.search(rb"content-length: (\d+)", head.lower())[1]) == len(content)  # type: ignore[index]
        return int(head[9:12]), json.loads(content)

    return send


def _answered(response: httpx.Response) -> tuple[int, Any]:
    return response.status_code, response.json()


MULTIPART = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
GET = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"
GIGABYTE = zlib.compress(bytes(10**9 // 16), 9)  # a sixteenth, which is enough to show

BAD_PICTURES: dict[str, bytes] = {
    "decompression bomb, claimed": png(2, 2).replace(struct.pack(">II", 2, 2), struct.pack(">II", 60_000, 60_000)),
    "decompression bomb, real": png(8000, 8000),
    "8000 × 8000, 16 bits": png(8000, 8000, depth=16),
    "bomb in a comment": png(8, 8, chunk(b"zTXt", b"a\0\0" + GIGABYTE)),
    "truncated PNG": PICTURE[:-30],
    "truncated JPEG": encoded(noise(), "JPEG")[:-60],
    "wrong type": encoded(noise(), "GIF"),
    "no picture": b"<html><script>alert(1)</script>",
    "zero bytes": b"",
    "1 × 1": encoded(noise(0, (1, 1, 3))),
    "one row": encoded(noise(0, (1, 500, 3))),
    "no rows": png(8, 0),
    "polyglot, ZIP": zipped(),
    "polyglot, page": PICTURE + b"<script>alert(1)</script>",
    "PNG without pixels": PICTURE[:33] + chunk(b"IEND", b""),
}

REFUSED: dict[str, tuple[Sent, int, str]] = {
    **{name: (post(content), 422, "bad_picture") for name, content in BAD_PICTURES.items()},
    "the same to explain": (post(BAD_PICTURES["decompression bomb, real"], path="/v1/explain"), 422, "bad_picture"),
    "too many pictures": (post(*[PICTURE] * 17), 400, "bad_request"),
    "a thousand files": (post(*[b"x"] * 1000), 400, "bad_request"),
    "a body too large": (post(bytes(10_000_001)), 413, "body_too_large"),
    "bad JSON": (body(b'{"image": ', "application/json"), 415, "not_multipart"),
    "deep JSON": (body(b"[" * 100_000, "application/json"), 415, "not_multipart"),
    "bad multipart": (body(b"--y\r\n\r\n", "multipart/form-data; boundary=x"), 400, "bad_request"),
    "multipart without a boundary": (body(b'--x--', "multipart/form-data"), 400, "bad_request"),
    "endless boundary": (body(b"x", f"multipart/form-data; boundary={'x' * 5000}"), 400, "bad_request"),
    "a part with a thousand headers": (
        body(b"--x\r\n" + b"A: b\r\n" * 5000 + b"\r\n\r\n--x--", "multipart/form-data; boundary=x"), 400, "bad_request",
    ),
    "compressed body": (
        lambda s: _answered(s.client.post("/v1/predict", content=GIGABYTE, headers={"content-encoding": "gzip"})),
        415,
        "not_multipart",
    ),
    "a name with ../": (post(PICTURE, path="/v1/predict?model=../../etc/passwd"), 404, "unknown_model"),
    "a name with NUL": (post(PICTURE, path="/v1/predict?model=a%00b"), 404, "unknown_model"),
    "a layer with ../": (post(PICTURE, path="/v1/explain?layer=../../etc/passwd"), 409, "not_in_model"),
    "an attribute for a layer": (post(PICTURE, path="/v1/explain?layer=__class__"), 409, "not_in_model"),
    "a target beyond all": (post(PICTURE, path="/v1/explain?target=99999999999999999999"), 409, "not_in_model"),
    "a method that is none": (post(PICTURE, path="/v1/explain?method=os.system"), 422, "invalid_request"),
    "infinitely many classes": (post(PICTURE, path="/v1/predict?top_k=1e999"), 422, "invalid_request"),
    "path with ../": (get("/static/../../../../etc/passwd"), 404, "not_found"),
    "path with %2e%2e%2f": (get("/docs/%2e%2e%2f%2e%2e%2f%2e%2e%2fetc/passwd"), 404, "not_found"),
    "path with ..%5c": (get("/docs/..%5c..%5cwindows"), 404, "not_found"),
    "path with %00": (get("/docs/a%00b"), 404, "not_found"),
    "NUL in the request line": (get("/\0"), 400, "bad_http"),
    "another method": (raw(b"TRACE /v1/models HTTP/1.0\r\nHost: localhost\r\n\r\n"), 405, "method_not_allowed"),
    "CONNECT": (raw(b"CONNECT a:1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"), 400, "bad_http"),
    "headers too large": (raw(GET + b"X: " + b"x" * 70_000 + b"\r\n\r\n"), 431, "headers_too_large"),
    "twenty thousand headers": (raw(GET + b"X: yes\r\n" * 20_000 + b"\r\n\r\n"), 431, "headers_too_large"),
    "two lengths": (raw(MULTIPART + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc"), 400, "bad_http"),
    "length and chunks": (
        raw(MULTIPART + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400, "bad_http",
    ),
    "negative length": (raw(MULTIPART + b"Content-Length: -1\r\n\r\n"), 400, "bad_http"),
    "length beyond all": (raw(MULTIPART + b"Content-Length: 99999999999999999999999\r\n\r\n"), 400, "bad_http"),
    "a length without a body": (raw(MULTIPART + b"Content-Length: 999999999999\r\n\r\n"), 413, "body_too_large"),
    "chunk of no size": (raw(MULTIPART + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), 400, "bad_http"),
    "slow headers": (raw(GET + b"X: "), 408, "header_timeout"),
    "slow body": (raw(MULTIPART + b"Content-Length: 1000\r\n\r\n--x\r\n"), 408, "body_timeout"),
}  # fmt: skip


@pytest.fixture(scope="module")
def service(run_service: Callable[..., Any], digits_run: Run) -> Iterator[Any]:
    """The real program, whose log must hold no failure when all is over."""
    service = run_service(digits_run.path, *SHORT)
    service.wait_for("model ready")
    yield service
    assert service.end() == 143
    assert not [line for line in service.lines if '"error"' in line or "Traceback" in line]


def memory(service: Any) -> float:
    """MiB that the program holds."""
    status = Path(f"/proc/{service.process.pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@pytest.mark.parametrize("name", REFUSED)
def test_what_hurts_is_refused(service: Any, name: str) -> None:
    send, status, code = REFUSED[name]
    came, content = send(service)
    assert (came, content["error"]["code"]) == (status, code), content
    assert set(content) == {"error"}
    assert set(content["error"]) == {"code", "message", "request_id"}
    message = content["error"]["message"]
    assert "\n" not in message
    assert len(message) < 1000  # the choices of layers are many
    assert not any(word in message for word in ("Traceback", "site-packages", "/root", "/home", "0x"))
    assert service.client.post("/v1/predict", files=files(PICTURE)).status_code == 200


@pytest.mark.parametrize(("status", "content"), [(200, animated()), (200, encoded(noise(0, (2, 2, 3))))])
def test_what_only_looks_odd_is_answered(service: Any, status: int, content: bytes) -> None:
    assert service.client.post("/v1/predict", files=files(content)).status_code == status


def test_64_at_once_are_each_refused(service: Any) -> None:
    names = [name for name in REFUSED if not name.startswith(("slow", "a body"))] * 2
    with ThreadPoolExecutor(64) as crowd:
        came = list(crowd.map(lambda name: REFUSED[name][0](service), names[:64]))
    for name, (status, content) in zip(names, came, strict=False):
        assert (status, content["error"]["code"]) == REFUSED[name][1:]
    assert service.client.get("/health/ready").status_code == 200


def test_pictures_that_unfold_are_answered_within_bounded_memory(service: Any) -> None:
    large = [png(4000, 4000), png(4000, 4000, depth=16), png(4000, 4000, colour=6)]  # as many pixels as may be
    assert max(map(len, large)) < 200_000
    Path(f"/proc/{service.process.pid}/clear_refs").write_text("5", encoding="utf-8")
    before = memory(service)
    with ThreadPoolExecutor(6) as crowd:
        sent = [files(content) for content in large] * 2
        statuses = list(crowd.map(lambda f: service.client.post("/v1/predict", files=f).status_code, sent))
    assert statuses == [200] * 6
    status = Path(f"/proc/{service.process.pid}/status").read_text(encoding="utf-8")
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    assert peak - before < 700  # two decoders with the largest, RGBA laid on white: 300 MiB each


def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_failure_of_the_service(service: Any) -> None:
    with socket.create_connection(service.address, timeout=20) as connection:
        connection.sendall(MULTIPART + b"Content-Length: 1000\r\n\r\n--x\r\n")
        time.sleep(0.2)
    end = time.monotonic() + 20
    while not any('"status": 499' in line for line in service.lines) and time.monotonic() < end:
        time.sleep(0.05)
    assert any('"status": 499' in line for line in service.lines)
    assert 'status="5xx"' not in service.client.get("/metrics").text


@pytest.mark.slow
def test_memory_is_flat_after_a_thousand_attacks(service: Any) -> None:
    sends = [send for name, (send, *_) in REFUSED.items() if not name.startswith("slow")]

    def attack(rounds: int) -> float:
        with ThreadPoolExecutor(8) as crowd:
            list(crowd.map(lambda send: send(service), sends * rounds))
        time.sleep(1.5)  # what is dropped slowly is gone
        return memory(service)

    first = attack(5)
    assert attack(20) < first + 16  # the allocator's own holes; 2 kB kept of each attack would be more than twice that
