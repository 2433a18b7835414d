"""Too much, too large, too slow: each is refused in its own way, and leaves nothing behind."""

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from convscope.service import protocol
from tests.service.pictures import encoded, files, noise

Start = Callable[..., Any]  # as in conftest

POST = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
PART = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'


@pytest.fixture(scope="module")
def small(served: Any) -> Iterator[Any]:
    """The application with limits that a test reaches quickly."""
    from convscope.service.models import Models
    from convscope.service.settings import Settings
    from tests.service.conftest import Here

    settings = Settings(body=0.1, header_timeout=0.5, body_timeout=0.5, connections=20)
    with Here(settings, Models([served])) as here:
        yield here


def connect(client: httpx.Client) -> socket.socket:
    """A bare connection, for what no client library would send."""
    return socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=20)


def answer(connection: socket.socket) -> tuple[int, str, bytes]:
    """Status and code of the error that comes, and its headers; the connection must then be closed."""
    data = b""
    while part := connection.recv(65536):
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head[9:12]), json.loads(body)["error"]["code"], head.lower()


def test_slow_headers_are_cut_off(small: Any) -> None:
    for first in (b"", b"GET /health/live HTTP/1.1\r\nX-Slow: "):
        with connect(small.client) as connection:
            started = time.perf_counter()
            connection.sendall(first)
            assert answer(connection)[:2] == (408, "header_timeout")
            assert 0.4 < time.perf_counter() - started < 5


def test_what_is_refused_before_it_is_a_request_is_counted_and_in_the_log(small: Any, caplog: Any) -> None:
    def count() -> float:
        labels = {"route": "other", "method": "other", "status": "4xx"}
        return small.app.state.work.metrics.registry.get_sample_value("convscope_requests_total", labels) or 0

    before = count()
    with caplog.at_level("INFO", "convscope.service"), connect(small.client) as connection:
        connection.sendall(b"no HTTP\r\n\r\n")
        _, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
    assert count() == before + 1
    (values,) = [record.values for record in caplog.records if record.getMessage() == "refused"]
    assert (values["status"], values["code"]) == (400, "bad_http")
    assert values["request_id"] == json.loads(body)["error"]["request_id"]


def test_a_client_that_does_not_take_its_answer_is_cut_off(start: Start) -> None:
    here = start(write_timeout=0.5)
    open_ = here.server.server_state.connections
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((here.client.base_url.host, here.client.base_url.port))
        connection.sendall(b"GET /docs/assets/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 8)
        assert connection.recv(9) == b"HTTP/1.1 "
        end = time.monotonic() + 20
        while any(c.transport.get_extra_info("peername") == connection.getsockname() for c in open_):
            assert time.monotonic() < end
            time.sleep(0.05)


def test_dripping_headers_win_no_time(small: Any) -> None:
    with connect(small.client) as connection:
        started = time.perf_counter()
        connection.sendall(b"GET /health/live HTTP/1.1\r\n")
        connection.settimeout(0.05)
        data = b""
        while not data and time.perf_counter() - started < 10:
            connection.sendall(b"X: y\r\n")
            with contextlib.suppress(TimeoutError):
                data = connection.recv(65536)
        assert data.startswith(b"HTTP/1.1 408 ")
        assert 0.4 < time.perf_counter() - started < 5


def test_a_kept_connection_that_drips_empty_lines_is_cut_off(small: Any) -> None:
    with connect(small.client) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b'{"status":"live"}' in connection.recv(65536)
        connection.sendall(b"\r\n")
        assert answer(connection)[:2] == (408, "header_timeout")


def test_endless_headers_are_cut_off(small: Any) -> None:
    with connect(small.client) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nX-Long: ")
        connection.sendall(b"x" * (protocol.MAX_HEADERS + 10))
        assert answer(connection)[:2] == (431, "headers_too_large")


@pytest.mark.parametrize("sent", [b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET /\x00 HTTP/1.1\r\n\r\n"])
def test_what_is_no_http_gets_json_all_the_same(small: Any, sent: bytes) -> None:
    with connect(small.client) as connection:
        connection.sendall(sent)
        assert answer(connection)[:2] == (400, "bad_http")


def test_a_slow_body_is_cut_off(small: Any) -> None:
    for head in (b"Content-Length: 1000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n5\r\n--x\r\n\r\n"):
        with connect(small.client) as connection:
            connection.sendall(POST + head)
            status, code, headers = answer(connection)
            assert (status, code) == (408, "body_timeout")
            assert b"connection: close" in headers
    assert small.client.get("/health/live").status_code == 200


def test_a_large_body_is_refused_whether_its_size_is_told_or_not(small: Any) -> None:
    content = PART + bytes(120_000)
    told = POST + b"Content-Length: %d\r\n\r\n" % len(content) + content
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in (content[i : i + 9000] for i in range(0, 120_000, 9000)))
    for sent in (told, POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks):
        with connect(small.client) as connection:
            connection.sendall(sent)
            status, code, headers = answer(connection)
            assert (status, code) == (413, "body_too_large")
            assert b"connection: close" in headers


def test_a_refusal_reaches_a_client_that_is_still_sending(small: Any) -> None:
    content = bytes(12_000_000)  # more than the system keeps for a connection that nobody reads from
    with connect(small.client) as connection:
        connection.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(content) + content)
        assert answer(connection)[:2] == (413, "body_too_large")


def test_bodies_are_counted_together_and_forgotten(start: Start) -> None:
    client = start(bodies=0.05).client
    picture = encoded(noise(0, (80, 80, 3)))  # noise does not compress: 19 kB
    assert [client.post("/v1/predict", files=files(picture)).status_code for _ in range(5)] == [200] * 5
    refused = client.post("/v1/predict", files=files(*[picture] * 3))
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "busy")
    assert refused.headers["retry-after"] == "1"
    assert client.post("/v1/predict", files=files(picture)).status_code == 200


def test_too_many_connections_are_refused(small: Any) -> None:
    small.client.get("/health/live")  # one that stays open
    crowd = [connect(small.client) for _ in range(19)]
    try:
        with connect(small.client) as connection:
            assert answer(connection)[:2] == (503, "busy")
    finally:
        for connection in crowd:
            connection.close()
    time.sleep(0.2)
    assert small.client.get("/health/live").status_code == 200


@pytest.mark.parametrize("lane", ["predictions", "explanations"])
def test_a_full_queue_refuses_at_once_while_everything_else_answers(start: Start, lane: str) -> None:
    here = start()
    batcher = getattr(here.app.state.work, lane)
    path, other = ("/v1/predict", "/v1/explain") if lane == "predictions" else ("/v1/explain", "/v1/predict")
    sent = files(encoded(noise()))
    with batcher.places(batcher.capacity):
        refused = here.client.post(path, files=sent)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "busy")
        assert refused.headers["retry-after"] == "1"
        assert refused.elapsed.total_seconds() < 1  # the benchmark holds it to 0.1
        for url in ("/health/live", "/health/ready", "/metrics"):
            assert here.client.get(url).status_code == 200
        assert f'convscope_queue_taken{{work="{lane}"}} {batcher.capacity}.0' in here.client.get("/metrics").text
        assert here.client.post(other, files=sent).status_code == 200
    assert here.client.post(path, files=sent).status_code == 200
    with batcher.places(batcher.capacity - 1):  # one place is not enough for two pictures
        assert here.client.post(path, files=sent).status_code == 200
        assert here.client.post(path, files=sent * 2).status_code == 429


@pytest.mark.parametrize(("path", "setting"), [("/v1/predict", "timeout"), ("/v1/explain", "explain_timeout")])
def test_what_takes_too_long_is_given_up_and_its_place_freed(start: Start, path: str, setting: str) -> None:
    here = start(**{setting: 0.0001})
    response = here.client.post(path, files=files(encoded(noise())))
    assert (response.status_code, response.json()["error"]["code"]) == (504, "timeout")
    for lane in (here.app.state.work.predictions, here.app.state.work.explanations):
        assert (lane.taken, lane.waiting) == (0, 0)


def test_a_client_that_leaves_frees_its_place_and_stops_the_work(start: Start) -> None:
    from convscope.runs import find_run
    from convscope.service.models import load_served

    here = start()
    here.app.state.models.put(load_served("cifar10-94", find_run("cifar10-94")))
    lane = here.app.state.work.explanations
    picture = encoded(noise())
    slow = httpx.Request("POST", here.client.base_url, files=files(*[picture] * 4))  # of which each takes seconds
    body = slow.read()
    lines = (
        "POST /v1/explain?model=cifar10-94&method=score-cam HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: {slow.headers['content-type']}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    started = time.perf_counter()
    one = here.client.post("/v1/explain?model=cifar10-94&method=score-cam", files=files(picture))
    assert one.status_code == 200
    alone = time.perf_counter() - started
    with connect(here.client) as connection:
        connection.sendall(lines.encode() + body)
        end = time.monotonic() + 20
        while lane.taken == 0 and time.monotonic() < end:
            time.sleep(0.01)
        assert lane.taken == 4
    started = time.perf_counter()
    answered = here.client.post("/v1/explain", files=files(picture))  # behind it, were it not broken off
    assert answered.status_code == 200
    assert time.perf_counter() - started < 2 * alone  # of four times as long
    assert lane.taken == 0
    assert 'method="POST",route="/v1/explain",status="4xx"} 1.0' in here.client.get("/metrics").text
