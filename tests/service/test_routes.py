"""What the API answers, beside what the library says of the same pictures."""

import base64
import copy
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from convscope.explain import display_size, explain, overlay
from convscope.explain.methods import RefusalError
from convscope.pictures import prepare
from convscope.predict import predict
from convscope.registry import METHODS
from convscope.runs import Run, find_run, load_run
from convscope.service.models import Served, load_served
from tests.service.pictures import encoded, files, noise

Start = Callable[..., Any]  # as in conftest


def test_predictions_are_those_of_convscope_predict(
    client: httpx.Client, digits_run: Run, digit_files: list[Path]
) -> None:
    expected = predict(digits_run, digit_files, top=2)
    sent = files(*(path.read_bytes() for path in digit_files))
    answer = client.post("/v1/predict", params={"top_k": 2}, files=sent).json()
    assert [result["label"] for result in answer["results"]] == [prediction.label for prediction in expected]
    for result, prediction in zip(answer["results"], expected, strict=True):
        assert [choice["index"] for choice in result["top"]] == [choice.index for choice in prediction.top]
        given = [choice["probability"] for choice in result["top"]]
        assert given == pytest.approx([choice.probability for choice in prediction.top], abs=2e-6)
        assert (result["probability"], result["margin"]) == pytest.approx((given[0], given[0] - given[1]), abs=2e-6)


def test_the_answer_says_which_model_and_how_it_saw_the_picture(client: httpx.Client, served: Served) -> None:
    answer = client.post("/v1/predict", files=files(encoded(noise()))).json()
    checkpoint = served.run.checkpoint
    assert answer["model"] == {"name": "digits", "sha256": served.sha256}
    assert answer["preparation"] == {
        "size": [8, 8],
        "mode": "L",
        "crop": "resize",
        "mean": checkpoint["mean"],
        "std": checkpoint["std"],
    }


def test_top_k_is_at_most_all_classes(client: httpx.Client) -> None:
    (result,) = client.post("/v1/predict?top_k=1000", files=files(encoded(noise()))).json()["results"]
    assert len(result["top"]) == 10
    assert sum(choice["probability"] for choice in result["top"]) == pytest.approx(1, abs=1e-5)


def test_a_plus_in_an_address_is_a_plus(client: httpx.Client, digit_files: list[Path]) -> None:
    answer = client.post("/v1/explain?method=grad-cam++", files=files(digit_files[0].read_bytes()))
    assert answer.json()["results"][0]["method"] == "grad-cam++"


@pytest.mark.parametrize("method", METHODS)
def test_every_method_explains_as_the_library_does_or_says_why_not(
    client: httpx.Client, digits_run: Run, digit_files: list[Path], method: str
) -> None:
    picture = prepare(digit_files[0], digits_run.checkpoint["picture"])
    sent = {"params": {"method": method, "output": "map", "target": "3"}, "files": files(digit_files[0].read_bytes())}
    response = client.post("/v1/explain", **sent)
    try:
        expected = explain(digits_run.model, digits_run.preprocess(picture[None]), 3, method=method)
    except RefusalError as refusal:
        reason = str(refusal)
    else:
        reason = ""
    if reason:
        error = response.json()["error"]
        assert (response.status_code, error["code"], error["message"]) == (409, "method_refused", reason)
        return
    (result,) = response.json()["results"]
    np.testing.assert_array_equal(np.asarray(result["map"], np.float32), expected.maps[0])
    assert (result["method"], result["layer"], result["target"]) == (method, expected.layer, 3)
    assert (result["evidence"], result["target_label"]) == (expected.evidence[0], digits_run.classes[3])
    assert result["heatmap_png"] is None
    assert response.json() == client.post("/v1/explain", **sent).json()


def test_the_heatmap_is_the_one_that_convscope_draws(
    client: httpx.Client, digits_run: Run, digit_files: list[Path]
) -> None:
    picture = prepare(digit_files[1], digits_run.checkpoint["picture"])
    found = explain(digits_run.model, digits_run.preprocess(picture[None]), layer="stem.conv")
    expected = overlay(picture, found.heatmaps(display_size(8, 8))[0])
    sent = files(encoded(noise()), digit_files[1].read_bytes())
    _, result = client.post("/v1/explain?layer=stem.conv", files=sent).json()["results"]
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(result["heatmap_png"]))))
    np.testing.assert_array_equal(drawn, expected)
    assert (result["map"], result["target"]) == (None, result["index"])


def test_models_are_described(client: httpx.Client, digits_run: Run, served: Served) -> None:
    answer = client.get("/v1/models").json()
    (model,) = answer["models"]
    assert (answer["default"], answer["missing"]) == ("digits", [])
    assert (model["name"], model["sha256"], model["model"]) == ("digits", served.sha256, "tiny-resnet")
    assert (model["parameters"], model["classes"]) == (digits_run.parameters, list(digits_run.classes))
    assert model["input_shape"] == [1, 8, 8]


@pytest.mark.parametrize(
    ("path", "status", "code", "part"),
    [
        ("/v1/predict?model=../../etc/passwd", 404, "unknown_model", "choose from digits"),
        ("/v1/predict?model=%2e%2e%2fdigits", 404, "unknown_model", "choose from digits"),
        ("/v1/predict?model=digits%00", 404, "unknown_model", "choose from digits"),
        ("/v1/predict?top_k=0", 422, "invalid_request", "query top_k: Input should be greater than or equal to 1"),
        ("/v1/explain?method=lime", 422, "invalid_request", "unknown explanation method 'lime'; choose from grad-cam,"),
        ("/v1/explain?target=cat", 409, "not_in_model", "unknown class 'cat'; choose from 0, 1"),
        ("/v1/explain?target=10", 409, "not_in_model", "unknown class '10'"),
        (f"/v1/explain?target={'9' * 5000}", 422, "invalid_request", "at most 255 characters"),
        ("/v1/explain?layer=stem.cnov", 409, "not_in_model", "has no layer 'stem.cnov'; choose from"),
        ("/v1/explain?method=saliency&layer=stem.conv", 409, "not_in_model", "leave layer 'stem.conv' out"),
        ("/v1/../v1/models", 405, "method_not_allowed", ""),
        ("/v1/predict/", 404, "not_found", ""),
        ("/static/..%2f..%2fapp.py", 405, "method_not_allowed", ""),
    ],
)
def test_a_wrong_request_is_told_in_one_line(
    client: httpx.Client, path: str, status: int, code: str, part: str
) -> None:
    response = client.post(path, files=files(encoded(noise())))
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert part in error["message"]
    assert error["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize(
    "path", ["/static/..%2f..%2fapp.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/static/%00"]
)
def test_static_files_are_those_of_the_folder_alone(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


def test_two_models_each_prepare_pictures_their_own_way(start: Start) -> None:
    here = start()
    client = here.client
    here.app.state.models.put(load_served("cifar10-94", find_run("cifar10-94")))
    sent = files(encoded(noise(3)))
    by_name = {name: client.post(f"/v1/predict?model={name}", files=sent).json() for name in ("digits", "cifar10-94")}
    assert [by_name[name]["preparation"]["mode"] for name in by_name] == ["L", "RGB"]
    assert [by_name[name]["model"]["name"] for name in by_name] == ["digits", "cifar10-94"]
    colours = load_run("cifar10-94").classes
    assert by_name["cifar10-94"]["results"][0]["label"] in colours


def test_a_network_without_numbers_is_no_prediction(start: Start, served: Served) -> None:
    """It answered its warm-up, and overflows on this picture."""
    broken = copy.deepcopy(served.run.model)
    list(broken.parameters())[-1].data.fill_(float("nan"))
    here = start()
    here.app.state.models.put(replace(served, run=replace(served.run, model=broken)))
    answer = here.client.post("/v1/predict", files=files(encoded(noise())))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "not_finite")
    assert "picture 1" in answer.json()["error"]["message"]
    assert "convscope_predictions_total{" not in here.client.get("/metrics").text
