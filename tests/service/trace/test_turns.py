"""Pages take turns: so many compute, so many wait, the next is refused, and whoever leaves gives the place back."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import torch

from convscope.runs import Run
from convscope.service.models import Models, Served
from convscope.service.settings import Settings
from convscope.service.trace import walk
from convscope.service.trace.turns import Turns
from tests.service.conftest import Here


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether that comes true within a minute."""
    end = time.monotonic() + 60
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()


def at_home(run: Run) -> Here:
    return Here(Settings(), Models([Served("digits", "0" * 64, run)]))


def test_the_next_after_the_last_that_may_wait_is_refused(digits_run: Run, monkeypatch) -> None:
    go_on = threading.Event()
    monkeypatch.setattr("convscope.service.trace.tracer.make_pass", lambda *_: go_on.wait(60))
    with at_home(digits_run) as here, ThreadPoolExecutor(2) as clients:
        turns = here.app.state.trace_turns = Turns(at_once=1, waiting=1)
        ask = {"img": "digits:1", "node": "head"}
        two = [clients.submit(here.client.get, "/v1/trace/digits/output", params=ask) for _ in range(2)]
        assert eventually(lambda: turns._places == 0)
        refused = here.client.get("/v1/trace/digits/output", params=ask)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
        assert refused.json()["error"]["code"] == "busy"
        assert here.client.get("/health/ready").status_code == 200
        assert here.client.get("/v1/trace/models").status_code == 200  # nothing to compute
        go_on.set()
        for one in two:
            one.result()
        assert eventually(lambda: turns._places == 2)


def test_a_question_that_takes_too_long_is_given_up(digits_run: Run, monkeypatch) -> None:
    go_on = threading.Event()
    monkeypatch.setattr("convscope.service.trace.tracer.make_pass", lambda *_: go_on.wait(60))
    with at_home(digits_run) as here:
        turns = here.app.state.trace_turns = Turns(at_once=1, waiting=0, seconds=0.05)
        late = here.client.get("/v1/trace/digits/output", params={"img": "digits:1", "node": "head"})
        assert (late.status_code, late.json()["error"]["code"]) == (504, "timeout")
        assert turns._places == 0  # it is still being computed
        go_on.set()
        assert eventually(lambda: turns._places == 1)


def test_an_export_that_nobody_waits_for_ends(digits_run: Run, monkeypatch) -> None:
    asked, begun = [], threading.Event()

    def read(*_: object, **given: object) -> dict[str, object]:
        asked.append(given)
        begun.set()
        time.sleep(0.1)
        return {}

    monkeypatch.setattr(walk, "ASK", dict.fromkeys(walk.ASK, read))
    with at_home(digits_run) as here:
        turns = here.app.state.trace_turns = Turns(at_once=1, waiting=0, seconds=2)
        late = here.client.post("/v1/trace/digits/export", json={"img": "digits:1", "nodes": ["stem.conv"]})
        assert late.status_code == 504
        assert begun.is_set()
        assert eventually(lambda: turns._places == 1)
        assert len(asked) < 40  # of some hundreds: every place of the layer has a receptive field


def test_questions_compute_on_one_core_each_and_leave_predictions_theirs(digits_run: Run, monkeypatch) -> None:
    seen = []
    right = walk.reads.raw
    monkeypatch.setattr(walk.reads, "raw", lambda array: (seen.append(torch.get_num_threads()), right(array))[1])
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with at_home(digits_run) as here:
            answer = here.client.get("/v1/trace/digits/output", params={"img": "digits:1", "node": "head"})
            assert len(np.frombuffer(answer.content, np.float32)) == 10
            lane = here.app.state.work.predictions
            assert lane._thread.submit(torch.get_num_threads).result() == 3
    finally:
        torch.set_num_threads(before)
    assert seen == [1]
    assert isinstance(answer, httpx.Response)
