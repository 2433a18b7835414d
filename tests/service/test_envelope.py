"""What every answer carries, and what a client hears of a failure that is ours."""

import json
import logging
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from convscope.service.logs import JsonFormatter
from tests.service.pictures import encoded, files, noise

Start = Callable[..., Any]  # as in conftest


@pytest.mark.parametrize("path", ["/health/live", "/v1/models", "/nowhere", "/docs", "/static/docs/start.js"])
def test_every_answer_has_safe_headers(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert headers["content-security-policy"].startswith(
        "default-src 'self'" if path == "/docs" else "default-src 'none'"
    )
    assert "server" not in headers


@pytest.mark.parametrize(
    ("given", "kept"),
    [("abc-123_.", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("{}", False), ("", False)],
)
def test_a_request_id_comes_back_if_it_is_one(client: httpx.Client, given: str, kept: bool) -> None:
    response = client.get("/nowhere", headers={"X-Request-ID": given})
    own = response.headers["x-request-id"]
    assert (own == given) is kept
    assert kept or re.fullmatch(r"[0-9a-f]{32}", own)
    assert response.json()["error"]["request_id"] == own


def test_a_failure_of_ours_tells_the_client_nothing_and_the_log_everything(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    here = start()

    def fail(*_: object) -> None:
        raise RuntimeError("a secret at /etc/passwd")

    monkeypatch.setattr(here.app.state.work.predictions, "_compute", fail)
    response = here.client.post("/v1/predict", files=files(encoded(noise())), headers={"X-Request-ID": "mine"})
    assert response.status_code == 500
    assert response.json() == {
        "error": {
            "code": "internal",
            "message": "something failed here; the log has it under this request id",
            "request_id": "mine",
        }
    }
    (record,) = [record for record in caplog.records if record.name == "convscope.service" and record.exc_info]
    line = json.loads(JsonFormatter().format(record))
    assert (line["level"], line["request_id"]) == ("error", "mine")
    assert "RuntimeError: a secret at /etc/passwd" in line["traceback"]
    assert here.client.get("/health/live").status_code == 200


def test_a_log_line_is_one_line_whatever_is_in_it() -> None:
    record = logging.makeLogRecord({"msg": "two\nlines", "values": {"path": '/"\n'}})
    assert json.loads(JsonFormatter().format(record))["path"] == '/"\n'
    assert "\n" not in JsonFormatter().format(record)


def test_metrics_count_what_was_done_and_make_up_no_labels(start: Start) -> None:
    here = start()
    client = here.client
    pictures = [encoded(noise(seed)) for seed in range(5)]
    labels = [result["label"] for result in client.post("/v1/predict", files=files(*pictures)).json()["results"]]
    for path in ("/nowhere/1", "/nowhere/2", "/v1/predict"):
        client.request("PROPFIND", path)
    client.post("/v1/explain", files=files(pictures[0]))
    text = client.get("/metrics").text
    for label in set(labels):
        assert f'convscope_predictions_total{{label="{label}",model="digits"}} {labels.count(label)}.0' in text
    for line in (
        'convscope_requests_total{method="POST",route="/v1/predict",status="2xx"} 1.0',
        'convscope_requests_total{method="POST",route="/v1/explain",status="2xx"} 1.0',
        'convscope_requests_total{method="other",route="other",status="4xx"} 2.0',
        'convscope_request_seconds_count{route="/v1/predict"} 2.0',
        "convscope_batch_pictures_sum 5.0",
        'convscope_queue_pictures{work="predictions"} 0.0',
        'convscope_confidence_count{model="digits"} 5.0',
        f'convscope_model_ready{{model="digits",sha256="{here.app.state.models.get().sha256}"}} 1.0',
        "process_resident_memory_bytes ",
        "process_open_fds ",
    ):
        assert line in text, text
    assert "nowhere" not in text
    assert "PROPFIND" not in text


def test_the_page_of_the_api_loads_nothing_from_elsewhere(client: httpx.Client) -> None:
    page = client.get("/docs").text
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(sources) == 4
    for source in sources:
        assert source.startswith("/")
        assert client.get(source).status_code == 200
    assert 'url: "/openapi.json"' in client.get("/static/docs/start.js").text
    assert "<script>" not in page
