"""The API over HTTP: what the contract with the page promises, and what is refused."""

import hashlib
import io
from collections.abc import Callable
from urllib.parse import unquote

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from convscope.data import load
from convscope.pictures import prepare
from convscope.runs import Run
from convscope.service.models import Served
from convscope.service.trace import uploads
from convscope.service.trace.desk import Desk
from tests.service.pictures import encoded, noise

Raw = Callable[[httpx.Response], np.ndarray]


def test_models_and_their_graph(client: httpx.Client, digits_run: Run) -> None:
    rows = client.get("/models").json()["models"]
    assert [row["name"] for row in rows] == ["digits", "colour"]
    assert rows[0]["parameters"] == digits_run.parameters
    found = client.get("/digits").json()
    assert found["classes"] == [str(n) for n in range(10)]
    assert (found["input_shape"], found["cam_layer"]) == ([1, 8, 8], digits_run.model.cam_layer)
    assert [source["name"] for source in found["sources"]] == ["test", "digits", "shapes"]
    assert sum(node["multiply_adds"] for node in found["nodes"]) == found["multiply_adds"] > 0
    methods = {method["name"]: method for method in found["methods"]}
    assert methods["grad-cam"]["needs_layer"]
    assert not methods["saliency"]["needs_layer"]
    assert methods["grad-cam"]["summary"].startswith("Grad-CAM, before its final ReLU")
    conv = next(node for node in found["nodes"] if node["id"] == "stem.conv")
    pairs = {"kernel_size": [3, 3], "stride": [1, 1], "padding": [1, 1], "dilation": [1, 1]}
    assert conv["settings"] == pairs | {"groups": 1}
    assert conv["tensors"] == {"weight": [8, 1, 3, 3]}


def test_pictures_with_what_the_model_says(client: httpx.Client, digits_run: Run) -> None:
    found = client.get("/digits/pictures", params={"source": "test", "start": 350, "count": 20}).json()
    assert found["total"] == 360
    assert [row["ref"] for row in found["pictures"]] == [f"test:{n}" for n in range(350, 360)]
    test = load("digits")[1]
    probabilities = digits_run.probabilities(test.images[350:])
    for row, label, expected in zip(found["pictures"], test.labels[350:], probabilities, strict=True):
        assert row["label"] == str(label)
        assert row["predicted"] == str(expected.argmax())
        assert row["probability"] == pytest.approx(expected.max(), abs=1e-6)


def test_mistakes_are_all_found_in_the_end(client: httpx.Client, digits_run: Run) -> None:
    while not (found := client.get("/digits/pictures", params={"source": "test", "mistakes": True}).json())["complete"]:
        assert found["checked"] < 360
    test = load("digits")[1]
    wrong = np.flatnonzero(digits_run.logits(test.images).argmax(axis=1) != test.labels)
    assert [row["ref"] for row in found["pictures"]] == [f"test:{n}" for n in wrong[:48]]
    assert found["total"] == len(wrong) > 3
    assert all(row["label"] != row["predicted"] for row in found["pictures"])


def test_the_picture_is_what_the_model_sees(client: httpx.Client, raw: Raw, digits_run: Run) -> None:
    answer = client.get("/digits/picture", params={"img": "test:7"})
    assert answer.headers["content-type"] == "image/png"
    pixels = np.asarray(Image.open(io.BytesIO(answer.content)))
    x = raw(client.get("/digits/output", params={"img": "test:7", "node": "input"}))
    assert np.array_equal(digits_run.preprocess(pixels[None, None])[0].numpy(), x)
    found = client.get("/digits/run", params={"img": "test:7"}).json()
    assert unquote(answer.headers["x-label"]) == found["true"]
    assert found["label"] == digits_run.classes[int(np.argmax(found["logits"]))]
    assert np.allclose(found["logits"], digits_run.logits(pixels[None, None])[0], atol=1e-5)
    assert sum(found["probabilities"]) == pytest.approx(1, abs=1e-12)


def test_an_upload_is_prepared_for_each_model(client: httpx.Client, raw: Raw, digits_run: Run) -> None:
    content = encoded(noise(0, (31, 45, 3)))
    answer = client.post("/digits/pictures", files={"image": ("holiday.png", content)})
    assert answer.status_code == 201
    ref = answer.json()["ref"]
    assert ref == f"up:{hashlib.sha256(content).hexdigest()[:16]}"
    x = raw(client.get("/digits/output", params={"img": ref, "node": "input"}))
    expected = prepare(content, digits_run.checkpoint["picture"])
    assert np.array_equal(x, digits_run.preprocess(expected[None])[0].numpy())
    picture = client.get("/colour/picture", params={"img": ref})  # the other model knows it too
    assert Image.open(io.BytesIO(picture.content)).size == (21, 18)
    assert "x-label" not in picture.headers


def test_outputs_and_gradients_are_raw_float32(client: httpx.Client, raw: Raw) -> None:
    nodes = client.get("/colour").json()["nodes"]
    for node in nodes:
        query = {"img": "shapes:3", "node": node["id"]}
        assert raw(client.get("/colour/output", params=query)).shape == tuple(node["shape"])
        assert raw(client.get("/colour/gradient", params=query | {"target": 2})).shape == tuple(node["shape"])
        for name, shape in node["tensors"].items():
            assert raw(client.get("/colour/tensor", params={"node": node["id"], "name": name})).shape == tuple(shape)


def test_an_edit_changes_the_answer_and_nothing_else(client: httpx.Client, raw: Raw) -> None:
    run, tensor = {"img": "shapes:3"}, {"node": "head", "name": "bias"}
    before, bias = client.get("/colour/run", params=run).json(), raw(client.get("/colour/tensor", params=tensor))
    edits = "head:bias:2:-7.25,head:bias:0:1.5,head:bias:2:0.125"  # the last one counts
    after = client.get("/colour/run", params=run | {"edits": edits}).json()
    change = np.subtract(after["logits"], before["logits"])
    assert np.allclose(change, [1.5 - bias[0], 0, 0.125 - bias[2], 0, 0, 0], atol=1e-6)
    assert client.get("/colour/run", params=run).json() == before
    assert np.array_equal(raw(client.get("/colour/tensor", params=tensor)), bias)


def test_a_class_name_beyond_latin_1_fits_a_header(client: httpx.Client) -> None:
    found = client.get("/colour/picture", params={"img": "shapes:2"})
    assert found.status_code == 200
    assert "x-label" not in found.headers  # other classes than the run's


MANY = ",".join(f"head:bias:{n % 6}:1" for n in range(65))
REFUSED = [
    ("/nothing", {}, 404, "unknown model"),
    ("/colour/output", {"img": "shapes:3", "node": "stem.sum"}, 404, "unknown node"),
    ("/colour/output", {"img": "shapes:48", "node": "head"}, 404, "has 48 pictures"),
    ("/colour/output", {"img": "test:360", "node": "head"}, 404, "has 360 pictures"),
    ("/colour/output", {"img": "up:0123456789abcdef", "node": "head"}, 404, "upload it again"),
    ("/colour/output", {"img": "../../etc/passwd", "node": "head"}, 422, "expected test:42"),
    ("/colour/output", {"img": "shapes:-1", "node": "head"}, 422, "expected test:42"),
    ("/colour/output", {"img": "moon:1", "node": "head"}, 404, "no source 'moon'"),
    ("/colour/output", {"img": "shapes:3", "node": "head", "mates": "shapes:1"}, 422, "mode=train"),
    ("/colour/output", {"img": "shapes:3", "node": "head", "mode": "train", "mates": "one,two"}, 422, "expected test:"),
    ("/colour/output", {"img": "shapes:3", "node": "head", "mode": "train", "mates": "shapes:1," * 70}, 422, "mates"),
    ("/colour/tensor", {"node": "head", "name": "running_mean"}, 404, "it has weight, bias"),
    ("/colour/tensor", {"node": "stem.relu", "name": "weight"}, 404, "it has none"),
    ("/colour/run", {"img": "shapes:3", "edits": "stem.relu:weight:0:1"}, 404, "it has none"),
    ("/colour/run", {"img": "shapes:3", "edits": "head:bias:0:nan"}, 422, "finite float32"),
    ("/colour/run", {"img": "shapes:3", "edits": "head:bias:0:1e39"}, 422, "finite float32"),
    ("/colour/run", {"img": "shapes:3", "edits": "head:bias:6:1"}, 422, "below 6"),
    ("/colour/run", {"img": "shapes:3", "edits": "head:bias:-1:1"}, 422, "below 6"),
    ("/colour/run", {"img": "shapes:3", "edits": "bias:0:1"}, 422, "node:name:flatindex:value"),
    ("/colour/run", {"img": "shapes:3", "edits": MANY}, 422, "at most 64"),
    ("/colour/statistics", {"img": "shapes:3", "node": "stem.conv"}, 422, "no BatchNorm"),
    ("/colour/gradient", {"img": "shapes:3", "node": "head", "target": 6}, 422, "not a class"),
    ("/colour/gradient", {"img": "shapes:3", "node": "stem.norm", "target": 1, "of": "running_var"}, 422, "statistic"),
    ("/colour/gradient", {"img": "shapes:3", "node": "stem.norm", "target": 1, "of": "kernel"}, 404, "no tensor"),
    ("/colour/heatmap", {"img": "shapes:3", "method": "magic"}, 409, "choose from grad-cam"),
    ("/colour/heatmap", {"img": "shapes:3", "layer": "head"}, 409, "layer 'head' cannot be used"),
    ("/colour/heatmap", {"img": "shapes:3", "method": "saliency", "layer": "stem.conv"}, 409, "leave layer"),
    ("/colour/heatmap", {"img": "shapes:3", "target": 6}, 409, "not a class"),
    ("/colour/receptive", {"node": "stem.conv", "y": 18, "x": 0}, 422, "outside"),
    ("/colour/dead", {"node": "stem"}, 404, "unknown node"),
    ("/colour/pictures", {"source": "elsewhere"}, 404, "no source"),
]


@pytest.mark.parametrize(("path", "query", "status", "says"), REFUSED, ids=lambda v: str(v)[:40])
def test_bad_requests_get_one_line(client: httpx.Client, path: str, query: dict, status: int, says: str) -> None:
    answer = client.get(path, params=query)
    assert answer.status_code == status, answer.text
    message = answer.json()["error"]["message"]
    assert says in message
    assert "\n" not in message


def test_counts_are_bounded(client: httpx.Client) -> None:
    for query in ({"count": 201}, {"count": 0}, {"start": -1}):
        assert client.get("/colour/pictures", params={"source": "shapes"} | query).status_code == 422


def test_an_upload_that_is_no_picture(client: httpx.Client) -> None:
    answer = client.post("/colour/pictures", files={"image": ("a.png", b"not a picture")})
    assert answer.status_code == 422
    assert "not a picture" in answer.json()["error"]["message"]


def test_a_batch_of_one_value_a_channel_has_no_statistics(serve: Callable, wrap: Callable[[nn.Module], Run]) -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(3, 4, (18, 21)), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 6))
    with serve(tiny=wrap(model)) as client:
        query = {"img": "shapes:1", "node": "1"}
        answer = client.get("/tiny/statistics", params=query)
        assert answer.status_code == 422
        assert "mates" in answer.json()["error"]["message"]
        assert client.get("/tiny/statistics", params=query | {"mates": "shapes:2"}).json()["count"] == 2


def test_the_picture_uploaded_first_is_forgotten_first(digits_run: Run) -> None:
    desk, ways = Desk(), [digits_run.checkpoint["picture"]]
    refs = [desk.uploads.add(encoded(noise(seed, (2, 3, 3))), ways) for seed in range(uploads.MOST)]
    gallery = desk.tracer(Served("digits", "0", digits_run)).gallery
    gallery.picture(refs[0])  # used, and so the last to go
    desk.uploads.add(encoded(noise(999, (2, 3, 3))), ways)
    assert gallery.picture(refs[0]).pixels.shape == (1, 8, 8)
    with pytest.raises(Exception, match="upload it again"):
        gallery.picture(refs[1])
