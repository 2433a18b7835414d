"""The real program: starting, signals, swapping a model under load, and what its log holds."""

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from convscope.pictures import prepare
from convscope.runs import Run, load_run
from convscope.runs.artifacts import BEST
from convscope.runs.checkpoint import save_checkpoint
from convscope.service.models import sha256_of
from tests.service.pictures import encoded, files, noise

Started = Callable[..., Any]  # as in conftest
Cli = Callable[..., tuple[int, str, str]]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


def other_network(run: Run) -> dict[str, Any]:
    """The checkpoint of `run` with its classifier turned upside down, so that it answers otherwise."""
    checkpoint = dict(run.checkpoint)
    state = {name: tensor.clone() for name, tensor in checkpoint["model_state"].items()}
    (weight,) = [name for name, tensor in state.items() if tensor.ndim == 2]
    state[weight] = torch.flip(state[weight], [0])
    return {**checkpoint, "model_state": state}


@pytest.mark.parametrize("way", ["--watch", "SIGHUP"])
def test_a_model_is_swapped_under_load(run_service: Started, copied_run: Run, way: str) -> None:
    service = run_service(copied_run.path, *[way] * (way == "--watch"))
    service.wait_for("model ready")
    contents = [encoded(noise(seed)) for seed in range(8)]
    pictures = np.stack([prepare(content, copied_run.checkpoint["picture"]) for content in contents])
    expected = {sha256_of(copied_run.path): copied_run.probabilities(pictures).argmax(axis=1).tolist()}
    answers: list[httpx.Response] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=service.url, timeout=60) as client:
            while not stop.is_set():
                answers.append(client.post("/v1/predict", files=files(*contents)))

    clients = [threading.Thread(target=ask) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        time.sleep(0.5)
        save_checkpoint(copied_run.path / BEST, other_network(copied_run))
        if way == "SIGHUP":
            service.process.send_signal(signal.SIGHUP)
        service.wait_for("model ready")
        (copied_run.path / BEST).write_bytes(b"garbage")
        if way == "SIGHUP":
            service.process.send_signal(signal.SIGHUP)
        assert "goes on answering" in service.wait_for("cannot be served")
        time.sleep(0.3)
    finally:
        stop.set()
        for client in clients:
            client.join()
    save_checkpoint(copied_run.path / BEST, other_network(copied_run))
    swapped = load_run(copied_run.path)
    expected[sha256_of(copied_run.path)] = swapped.probabilities(pictures).argmax(axis=1).tolist()
    first, second = expected.values()
    assert first != second
    assert {answer.status_code for answer in answers} == {200}
    for answer in answers:
        body = answer.json()
        assert [result["index"] for result in body["results"]] == expected[body["model"]["sha256"]]
    assert {answer.json()["model"]["sha256"] for answer in answers} == set(expected)
    assert service.client.get("/health/ready").status_code == 200
    assert service.end() == 143


def test_a_corrupt_checkpoint_never_becomes_ready(run_service: Started, copied_run: Run, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(copied_run.path, broken)
    content = (broken / BEST).read_bytes()
    (broken / BEST).write_bytes(content[: len(content) // 2])
    silent = tmp_path / "silent"
    shutil.copytree(copied_run.path, silent)
    checkpoint = dict(copied_run.checkpoint)
    state = {k: v * float("nan") if v.is_floating_point() else v for k, v in checkpoint["model_state"].items()}
    save_checkpoint(silent / BEST, {**checkpoint, "model_state": state})
    service = run_service(broken, silent, copied_run.path)
    service.wait_for("model ready")
    assert service.client.get("/health/live").json() == {"status": "live"}
    ready = service.client.get("/health/ready")
    assert (ready.status_code, ready.json()["error"]["message"]) == (503, "not ready: broken, silent")
    refused = service.client.post("/v1/predict", files=files(encoded(noise())))
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_ready")
    assert service.client.post("/v1/predict?model=run", files=files(encoded(noise()))).status_code == 200
    assert service.client.get("/v1/models").json()["missing"] == ["broken", "silent"]
    errors = [json.loads(line) for line in service.lines if '"error"' in line]
    assert [error["model"] for error in errors] == ["broken", "silent"]
    assert "gives no numbers (NaN)" in errors[1]["message"]
    assert service.end() == 143


def test_sigterm_answers_what_is_in_flight_and_refuses_the_rest(run_service: Started) -> None:
    service = run_service("cifar10-94")
    service.wait_for("model ready")
    answers: list[httpx.Response] = []

    def ask() -> None:
        with httpx.Client(base_url=service.url, timeout=60) as client:
            answers.append(client.post("/v1/explain?method=score-cam", files=files(encoded(noise()))))

    in_flight = threading.Thread(target=ask)
    kept = socket.create_connection(service.address)  # a connection that has begun its request
    kept.sendall(b"GET /v1/models HTTP/1.1\r\n")
    in_flight.start()
    while service.metric('convscope_queue_taken{work="explanations"}') == 0:
        time.sleep(0.05)
    service.process.send_signal(signal.SIGTERM)
    service.wait_for("stopping")
    refused = b""
    with contextlib.suppress(ConnectionError):
        kept.sendall(b"Host: localhost\r\n\r\n")
        refused = kept.recv(65536)
    kept.close()
    assert refused == b"" or (b" 503 " in refused and b"connection: close" in refused.lower())
    in_flight.join()
    (answer,) = answers
    assert answer.status_code == 200
    assert answer.json()["results"][0]["method"] == "score-cam"
    assert service.process.wait(30) == 143
    assert service.wait_for("convscope: terminated") == "convscope: terminated\n"
    with pytest.raises(ConnectionError):
        socket.create_connection(service.address)


def test_what_is_asked_while_it_stops_is_refused(start: Started) -> None:
    here = start()
    here.client.get("/health/live")
    here.server.handle_exit(signal.SIGTERM, None)
    here.server.should_exit = False  # as long as it takes to ask
    for path in ("/health/live", "/v1/models", "/metrics"):
        refused = here.client.get(path)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "stopping")
        assert refused.headers["connection"] == "close"


def test_ctrl_c_exits_130_and_the_log_tells_each_request_but_no_key(run_service: Started, digits_run: Run) -> None:
    service = run_service(digits_run.path, CONVSCOPE_API_KEY="a-secret-key", CONVSCOPE_LOG_LEVEL="debug")
    service.wait_for("model ready")
    headers = {"X-API-Key": "a-secret-key", "X-Request-ID": "mine-1"}
    answer = service.client.post("/v1/predict", files=files(encoded(noise())), headers=headers)
    assert (answer.status_code, answer.headers["x-request-id"]) == (200, "mine-1")
    wrong = service.client.get("/v1/models?x=1", headers={"X-API-Key": "a-wrong-key", "X-Request-ID": "not\tvalid"})
    assert wrong.status_code == 401
    service.client.get("/health/live")
    service.process.send_signal(signal.SIGINT)
    assert service.process.wait(30) == 130
    service.wait_for("convscope: interrupted")
    *lines, last = service.lines
    assert last == "convscope: interrupted\n"
    requests = [line for line in map(json.loads, lines) if line["message"] == "request"]
    assert [(line["request_id"], line["status"], line["path"]) for line in requests] == [
        ("mine-1", 200, "/v1/predict"),
        (wrong.headers["x-request-id"], 401, "/v1/models"),
        (requests[2]["request_id"], 200, "/health/live"),
    ]
    assert (requests[0]["model"], requests[0]["pictures"], requests[0]["level"]) == (digits_run.path.name, 1, "info")
    assert not any(secret in line for line in lines for secret in ("a-secret-key", "a-wrong-key"))


def test_a_port_that_is_taken_is_told_in_one_line(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        code, out, err = cli("serve", "--port", other.getsockname()[1])
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith("convscope: cannot listen on 127.0.0.1:")
    assert "give another --port" in err


@pytest.mark.parametrize(
    ("runs", "code", "message"),
    [
        (["no-such-run"], 1, "no run folder no-such-run"),
        (["{run}", "{run}"], 2, "would both be served as 'run'; rename one"),
    ],
)
def test_runs_that_cannot_be_served_are_told(
    cli: Cli, copied_run: Run, runs: list[str], code: int, message: str
) -> None:
    exit_code, out, err = cli("serve", *(run.format(run=copied_run.path) for run in runs))
    assert (exit_code, out, message in err, err.count("\n")) == (code, "", True, 1)


def test_without_the_extra_one_line_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['fastapi'] = None; from convscope.cli import main; sys.exit(main(['serve', '--help']))"
    )
    helped = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (helped.returncode, "--batch-wait" in helped.stdout) == (0, True)
    script = script.replace(", '--help'", "")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "convscope: `serve` needs fastapi: pip install 'convscope[serve]'\n"
