"""The exported walk: every answer is what the server gives, and the file opens from a disk without a request."""

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from playwright.sync_api import Browser

from convscope.service.trace import walk
from convscope.service.trace.page import whole_page

FILES = {
    "index.html": """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>page</title>
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/static/style.css">
<script type="module" src="/static/js/main.mjs"></script>
</head>
<body><main id="main"></main></body>
</html>
""",
    "icon.svg": '<svg xmlns="http://www.w3.org/2000/svg" width="7" height="5"/>',
    "style.css": "#main { color: rgb(1, 2, 3); }",
    "js/main.mjs": """import { held } from './walk.mjs';
const name = 'deep';
const { show } = await import(`./levels/${name}.mjs`);
show(document.getElementById('main'), held);
""",
    "js/walk.mjs": """export const held = JSON.parse(document.getElementById('walk').textContent);
""",
    "js/levels/deep.mjs": """import { held } from '../walk.mjs';
export async function show(host, given) {
  const { first } = await import("../parts/first.mjs");
  const image = Object.assign(new Image(), { src: '/static/icon.svg' });
  await image.decode();
  host.textContent = [given === held, first(held), image.width, 'größer'].join(' ');
}
""",
    "js/parts/first.mjs": """export const first = (held) => held.answers['</script>'];
""",
}


@pytest.fixture
def static(tmp_path: Path) -> Path:
    """Files of a page: modules that import each other in every way that the page's do."""
    for name, text in FILES.items():
        path = tmp_path / "static" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "static"


@pytest.fixture
def exported(client: httpx.Client, static: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """The walk in the file that the server gives for a route."""
    monkeypatch.setattr(whole_page, "__defaults__", (static,))

    def ask(**route: Any) -> dict[str, Any]:
        answer = client.post("/colour/export", json=route)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-disposition"] == 'attachment; filename="colour-shapes-3.html"'
        found = re.search(r'<script type="application/json" id="walk">(.*?)</script>', answer.text)
        return json.loads(found[1])

    return ask


def test_every_answer_is_the_servers(client: httpx.Client, exported: Callable[..., dict[str, Any]]) -> None:
    methods = ["grad-cam", "saliency", "guided-backprop"]
    where = {"img": "shapes:3", "nodes": ["stem.conv", "stem.norm"], "place": "layer=stem.conv"}
    walked = exported(**where, target=2, mates="shapes:4", methods=methods, edits="head:bias:1:0.5")
    assert (walked["model"], walked["place"]) == ("colour", "layer=stem.conv")
    for question, answer in walked["answers"].items():
        resource, _, given = question.partition("?")
        if resource in ("", "/models", "/receptive", "/dead") and question != "/receptive?node=stem.conv&x=3&y=2":
            continue
        query = urlencode(dict(part.split("=", 1) for part in given.split("&")))
        found = client.get(f"/colour{resource}?{query}")
        held = base64.b64decode(answer["body"])
        is_json = found.headers["content-type"] == "application/json"
        assert (json.loads(held) == found.json()) if is_json else (held == found.content), question
        assert answer["headers"].get("x-shape") == found.headers.get("x-shape")
        assert answer["headers"]["content-type"] == found.headers["content-type"]
    nodes = [node["id"] for node in client.get("/colour").json()["nodes"]]
    for node in nodes:
        assert f"/output?img=shapes:3&node={node}" in walked["answers"]
        assert f"/output?edits=head:bias:1:0.5&img=shapes:3&node={node}" in walked["answers"]
        assert f"/gradient?img=shapes:3&node={node}&target=2" in walked["answers"]
    for question in (
        "/tensor?name=weight&node=stem.conv",
        "/gradient?img=shapes:3&node=stem.conv&of=weight&target=2",
        "/statistics?img=shapes:3&mates=shapes:4&node=stem.norm",
        "/output?img=shapes:3&mates=shapes:4&mode=train&node=stem.norm",
        "/heatmap?img=shapes:3&layer=stem.norm&method=grad-cam&target=2",
        "/heatmap.png?img=shapes:3&method=saliency&target=2",
        "/receptive?node=stem.conv&x=3&y=2",
        "/dead?node=stem.conv",
    ):
        assert question in walked["answers"]


def test_kernels_of_all_below_go_along(
    client: httpx.Client, exported: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "SMALL", 0)
    order = [node["id"] for node in client.get("/colour").json()["nodes"]]
    kernels = {
        question.partition("node=")[2]: question
        for question in exported(img="shapes:3", nodes=["head"], down="group1.0.sum")["answers"]
        if question.startswith("/tensor?name=weight&")
    }
    assert {"stem.conv", "stem.norm", "group1.0.sum.branch.conv1", "group1.0.sum.branch.norm2", "head"} <= set(kernels)
    assert all(order.index(node) < order.index("group1.0.sum") for node in kernels if node != "head")


def test_a_walk_has_bounded_room(exported: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "ROOM", 40_000)
    answers = exported(img="shapes:3")["answers"]
    assert sum(len(base64.b64decode(answer["body"])) for answer in answers.values()) <= 40_000
    assert {"", "/models", "/picture?img=shapes:3", "/run?img=shapes:3"} <= set(answers)


@pytest.mark.parametrize(
    ("route", "status", "says"),
    [
        ({"img": "shapes:99"}, 404, "has 48 pictures"),
        ({"img": "shapes:3", "nodes": ["nowhere"]}, 404, "unknown node"),
        ({"img": "shapes:3", "target": 6}, 422, "not a class"),
        ({"img": "shapes:3", "methods": ["magic"]}, 409, "choose from"),
        ({"img": "shapes:3", "edits": "head:bias:1:inf"}, 422, "finite"),
    ],
)
def test_a_walk_through_nothing(client: httpx.Client, route: dict[str, Any], status: int, says: str) -> None:
    answer = client.post("/colour/export", json=route)
    assert answer.status_code == status
    assert says in answer.json()["error"]["message"]


def test_the_file_opens_from_a_disk_and_asks_for_nothing(static: Path, tmp_path: Path, browser: Browser) -> None:
    path = tmp_path / "walk.html"
    path.write_text(whole_page({"answers": {"</script>": "<b>held</b>"}}, static), encoding="utf-8")
    page = browser.new_page()
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(path.as_uri())
    page.wait_for_function("document.getElementById('main').textContent")
    assert page.text_content("#main") == "true <b>held</b> 7 größer"
    assert page.eval_on_selector("#main", "main => getComputedStyle(main).color") == "rgb(1, 2, 3)"
    assert said == []
    assert [url for url in asked if not url.startswith(("data:", "file:///"))] == []
    assert [url for url in asked if url.startswith("file:")] == [path.as_uri()]
    refused = page.evaluate("fetch('https://example.org').then(() => 'went out', () => 'refused')")
    assert refused == "refused"
