"""The description of the API is true: schemathesis sends what it allows and forbids, and looks at what comes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from convscope.registry import METHODS


def check(client: httpx.Client, folder: Path, examples: int, seed: int) -> str:
    """What schemathesis reports, all its checks on."""
    start = "import sys; from schemathesis.cli import schemathesis; sys.exit(schemathesis())"
    program = [sys.executable, "-c", start]
    limits = ["--max-examples", examples, "--seed", seed, "--max-response-time", 30]
    url = f"{str(client.base_url).rstrip('/')}/openapi.json"
    done = subprocess.run(
        list(map(str, [*program, "run", url, "--no-color", *limits])),
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.service.schemathesis_hooks", "PYTHONPATH": str(Path.cwd())},
        cwd=folder,  # where it leaves notes for its next run
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_answers_are_as_described(client: httpx.Client, tmp_path: Path) -> None:
    report = check(client, tmp_path, examples=10, seed=1)
    assert re.search(r"Tested: 6\b", report), report
    counts = client.get("/metrics").text
    for route in ("/v1/models", "/v1/predict", "/v1/explain"):  # it got through to every answer, not only to refusals
        assert re.search(rf'requests_total{{[^}}]*route="{route}",status="2xx"}}', counts), counts


@pytest.mark.slow
def test_answers_are_as_described_for_long(client: httpx.Client, tmp_path: Path) -> None:
    check(client, tmp_path, examples=500, seed=2)


def test_the_description_names_what_can_be_asked(client: httpx.Client) -> None:
    explain = client.get("/openapi.json").json()["paths"]["/v1/explain"]["post"]
    values = {parameter["name"]: parameter["schema"].get("enum") for parameter in explain["parameters"]}
    assert (values["method"], values["model"], values["output"]) == (list(METHODS), ["digits"], ["png", "map"])
    assert set(explain["responses"]) >= {"200", "401", "408", "409", "413", "415", "422", "429", "503", "504"}
    for status, response in explain["responses"].items():
        kind = response["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        assert kind == ("Explanations" if status == "200" else "Error")
