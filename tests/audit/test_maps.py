"""How many pictures each method gets, and what it costs."""

import numpy as np
import pytest
import torch

from convscope.audit.maps import explain_all, price_of
from convscope.audit.subject import LEAST, choose_subject, make_subject
from convscope.errors import ConvscopeError, UsageError
from convscope.explain import explain
from convscope.explain.capture import EvalCopy
from convscope.explain.methods import INPUT
from convscope.registry import METHODS


def test_a_price_is_the_number_of_passes(digits_subject):
    """16 channels at the layer; a gradient is a second pass; 8×8 pictures have 8 × 8 places for a square of one."""
    copy, layer = EvalCopy(digits_subject.model), digits_subject.layer
    prices = {}
    for name in ("grad-cam", "score-cam", "ablation-cam", "saliency", "smooth-grad", "occlusion", "guided-grad-cam"):
        method = METHODS.load(name)
        prices[name] = price_of(copy, method, INPUT if getattr(method, "of_input", False) else layer, digits_subject)
    assert prices == {
        "grad-cam": 2,
        "score-cam": 1 + 16,
        "ablation-cam": 1 + 16,
        "saliency": 2,
        "smooth-grad": 64,
        "occlusion": 1 + 64,
        "guided-grad-cam": 4,
    }


def test_the_maps_are_those_of_explain_and_dear_methods_get_fewer(digits_subject):
    found, refused = explain_all(digits_subject, price=64 * 18)
    assert refused == {}
    assert list(found) == list(METHODS)
    assert (len(found["grad-cam"]), len(found["smooth-grad"]), len(found["occlusion"])) == (24, 18, 17)
    for name in ("grad-cam", "eigen-cam", "smooth-grad", "occlusion"):
        count = len(found[name])
        images, targets = digits_subject.images[:count], digits_subject.targets[:count].tolist()
        expected = explain(digits_subject.model, images, target=targets, method=name)
        np.testing.assert_allclose(found[name].found.maps, expected.maps, rtol=1e-4, atol=1e-6)
        assert found[name].found.layer == expected.layer
    assert (found["guided-backprop"].shown >= 0).all()
    assert len(explain_all(digits_subject, ["occlusion"], price=1)[0]["occlusion"]) == LEAST


def test_what_cannot_be_had_says_why(untrained, digits_subject, register):
    found, refused = explain_all(untrained("lenet5", (1, 17, 22)), ["cam", "guided-backprop", "saliency"])
    assert list(found) == ["saliency"]
    assert "classic CAM needs" in refused["cam"]
    assert "this model uses tanh" in refused["guided-backprop"]
    register("saliency", lambda model, layer, images, targets: images[:, 0] * float("nan"))
    assert "not finite" in explain_all(digits_subject, ["saliency"])[1]["saliency"]

    def late(model, layer, images, targets):
        if len(images) > 2:
            raise ConvscopeError("only for few")
        return images[:, 0]

    register("saliency", late)
    assert explain_all(digits_subject, ["saliency", "grad-cam"])[1] == {"saliency": "only for few"}


def test_without_a_layer_the_methods_of_the_input_remain(untrained):
    subject = untrained("tiny-resnet", (1, 3, 3), base_channels=4)
    assert subject.layer is None
    found, refused = explain_all(subject)
    assert "no layer with an output of at least 4×4" in refused["grad-cam"]
    assert set(found) == {n for n in METHODS if getattr(METHODS.load(n), "of_input", False)}


def test_the_pictures_are_balanced_from_the_first_on(digits_run):
    subject, own = choose_subject(digits_run, 40)
    assert own.warn("test") is False
    assert np.bincount(subject.pictures.labels[:20], minlength=10).tolist() == [2] * 10
    assert np.bincount(subject.pictures.labels, minlength=10).tolist() == [4] * 10
    expected = digits_run.logits(subject.pictures.images).argmax(axis=1)
    np.testing.assert_array_equal(subject.targets.numpy(), expected)
    with pytest.raises(UsageError, match="at least 16 test pictures, got 15"):
        choose_subject(digits_run, 15)
    again = make_subject(digits_run.model, subject.pictures, subject.images)
    assert again.layer == digits_run.model.cam_layer
    assert torch.equal(again.targets, subject.targets)
