"""Measures against controls: a map that knows beats them all, one that knows nothing does not, and words say so."""

import numpy as np
import pytest
import torch

from convscope.audit.contest import BETTER, CURVES, Interval, Remembering, enter
from convscope.audit.maps import control_maps, explain_all
from convscope.audit.verdict import beats_all, outcome, verdict
from convscope.explain import Explanation
from convscope.explain.controls import CONTROLS
from convscope.explain.faithfulness import blurred


def contest(subject, *found):
    """(gains of each map over each control, the entries of the controls)."""
    classify = Remembering(subject.classify, subject.images)
    controls = {name: enter(subject, maps, classify) for name, maps in control_maps(subject, CONTROLS).items()}
    entries = [enter(subject, maps, classify) for maps in found]
    return [{name: entry.gains(control) for name, control in controls.items()} for entry in entries], controls


def as_explanation(maps, subject, name):
    evidence = ("positive",) * len(maps)
    return Explanation(maps.astype(np.float32), subject.targets.numpy(), "input", name, evidence, np.empty((0, 0)))


def test_occlusion_beats_noise_on_a_trained_network_and_noise_does_not_beat_itself(digits_subject):
    maps, _ = explain_all(digits_subject, ["occlusion"])
    other = np.random.default_rng(5).random((24, 8, 8))
    (knows, knows_nothing), controls = contest(
        digits_subject, maps["occlusion"].found, as_explanation(other, digits_subject, "other noise")
    )
    assert outcome(knows["random"])[0] == CURVES
    for over in (knows, knows_nothing):
        for gains in over.values():
            assert gains.keys() == BETTER.keys()
            assert all(i.low <= i.mean <= i.high for i in gains.values())
    for curve in CURVES:
        assert abs(knows_nothing["random"][curve].mean) < knows["random"][curve].mean / 2
    same, _ = contest(digits_subject, control_maps(digits_subject, CONTROLS)["random"])
    assert {i.mean for i in same[0]["random"].values()} == {0}
    assert outcome(same[0]["random"]) == ((), ())
    assert len(controls["random"]) == 24


def test_the_gain_is_that_of_the_better_map(digits_subject):
    """Turned upside down, a map that finds the pixels loses in every curve what it won."""
    maps, _ = explain_all(digits_subject, ["occlusion"])
    found = maps["occlusion"].found
    (right, reverse), _ = contest(digits_subject, found, as_explanation(-found.maps, digits_subject, "reverse"))
    for curve in CURVES:
        assert right["random"][curve].mean > 0 > reverse["random"][curve].mean
    assert outcome(reverse["random"]) == ((), CURVES)


def test_known_pictures_cost_no_pass(digits_subject):
    asked = []

    def classify(images):
        asked.append(len(images))
        return digits_subject.classify(images)

    images = digits_subject.images
    remembering = Remembering(classify, images)
    asked.clear()
    for part in (images, images[:5], torch.zeros_like(images[:7]), blurred(images)):
        torch.testing.assert_close(remembering(part), digits_subject.classify(part), rtol=1e-4, atol=1e-6)
    assert asked == []
    changed = images.clone()
    changed[3, 0, 2, 2] += 1
    torch.testing.assert_close(remembering(changed), digits_subject.classify(changed))
    assert asked == [24]


def gains(**curves):
    """One control's gains: a sign for each curve."""
    return {curve: Interval(sign, sign - 0.5, sign + 0.5) for curve, sign in curves.items()}


@pytest.mark.parametrize(
    ("over", "said"),
    [
        (
            {"random": (1, 1, 1), "centred Gaussian": (1, 0, 1), "edge detector": (1, 1, 1)},
            "Beats noise and the edge detector in all three curves; "
            "beats the blob in the middle in deletion and ROAD, not in insertion.",
        ),
        (
            {"random": (1, -1, 0), "centred Gaussian": (-1, -1, -1), "edge detector": (0, 0, 0)},
            "Beats noise in deletion, not in ROAD, loses in insertion; is no better than the edge detector; "
            "loses to the blob in the middle in all three curves.",
        ),
        (
            {"random": (-1, 0, 0)},
            "Loses to noise in deletion, is level in insertion and ROAD.",
        ),
    ],
)
def test_the_verdict_in_words(over, said):
    found = {name: gains(**dict(zip(CURVES, signs, strict=True))) for name, signs in over.items()}
    assert verdict(found) == said
    assert beats_all(found) is False
    assert beats_all({"random": gains(deletion=1, insertion=1, ROAD=1)}) is True
