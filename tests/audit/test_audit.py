"""The audit as a whole: what it says of a trained network, its page, its command, and how long it takes."""

import html
import json
import re
from dataclasses import replace

import pytest
import torch

from convscope.audit import audit, render_audit
from convscope.audit.audit import state_of
from convscope.audit.equations import untouched
from convscope.data import ImageSet
from convscope.explain.cam import hires_cam
from convscope.registry import METHODS
from convscope.runs import load_run
from convscope.train import train


def text_of(page):
    """The words of a page, tags and styles taken out."""
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body)))


def test_every_method_is_audited(digits_audit):
    assert [m.name for m in digits_audit.methods] == list(METHODS)
    assert digits_audit.refused == {}
    assert digits_audit.ok
    assert digits_audit.oracles[-1].name == "the model is left alone"
    assert digits_audit.shortcut is None
    for method in digits_audit.methods:
        assert len(method.maps) == len(method.entry) == (16 if method.name == "integrated-gradients" else 32)
        assert method.gains.keys() == {"random", "centred Gaussian", "edge detector"}
        assert method.likeness.end is not None
        assert method.verdict.endswith(".")
    assert digits_audit.random_labels is None


def test_the_page_fetches_nothing_and_says_everything(digits_audit):
    page = render_audit(digits_audit)
    assert page.startswith("<!doctype html>")
    assert not re.search(r"<script|<link|<iframe|@import|https?://|url\(", page)
    assert all(src.startswith("data:image/jpeg;base64,") for src in re.findall(r'src="([^"]*)', page))
    ids = set(re.findall(r'id="([^"]*)"', page))
    assert set(re.findall(r'href="#([^"]*)"', page)) <= ids
    words = text_of(page)
    for method in digits_audit.methods:
        assert method.verdict in words
        assert f"{method.likeness.end.mean:+.3f}".replace("-", "−") in words
        for values in method.entry.intervals().values():
            assert f"{values.mean:.3f} {values.low:.3f} to {values.high:.3f}" in words
    for oracle in digits_audit.oracles:
        assert oracle.name in words
    assert words.count("holds") >= len(digits_audit.oracles)
    assert "--random-labels" in words
    assert f"This page again: convscope audit {digits_audit.run} --images 32" in words
    assert page.count('<svg class="spark"') == 16
    assert page.count('class="band"') == 48


def test_a_hostile_name_is_only_text(digits_audit):
    hostile = "<script>alert(1)</script>"
    pictures = digits_audit.subject.pictures
    named = ImageSet(pictures.images, pictures.labels, (hostile, *pictures.classes[1:]))
    subject = replace(digits_audit.subject, pictures=named)
    page = render_audit(replace(digits_audit, run=hostile, subject=subject))
    assert "<script" not in page
    assert page.count(html.escape(hostile)) >= 2
    assert "It cheats." not in text_of(page)


def test_what_went_wrong_is_said_first(digits_run, register):
    """A Grad-CAM whose gradient is not averaged, registered as Grad-CAM: the audit itself finds it."""
    register("grad-cam", hires_cam_times_two)
    found = audit(digits_run, images=16, methods=["grad-cam", "cam"])
    assert not found.ok
    names = {oracle.name for oracle in found.failed}
    assert names == {"Grad-CAM is classic CAM", "Grad-CAM through NumPy", "Grad-CAM by differences"}
    words = text_of(render_audit(found))
    assert words.index("3 of") < words.index("Can it be trusted?")
    assert "Does not obey: Grad-CAM is classic CAM, Grad-CAM through NumPy and Grad-CAM by differences." in words


def hires_cam_times_two(model, layer, images, targets):
    return 2 * hires_cam(model, layer, images, targets)


def test_a_touched_model_is_noticed(copied_run):
    before = state_of(copied_run.model)
    assert untouched(before, state_of(copied_run.model)).ok
    for change in (
        lambda model: model.get_submodule("head").bias.data.add_(1e-7),
        lambda model: model.get_submodule("stem").train(),
        lambda model: model.get_submodule("stem.relu").register_forward_hook(lambda *_: None),
        lambda model: setattr(next(model.parameters()), "grad", torch.zeros_like(next(model.parameters()))),
        lambda model: model.get_submodule("stem.norm").running_var.mul_(2),
        lambda model: torch.rand(1),
    ):
        run = load_run(copied_run.path)
        before = state_of(run.model)
        change(run.model)
        assert untouched(before, state_of(run.model)).ok is False


def test_the_command(cli, copied_run):
    code, out, err = cli(
        "audit", copied_run.path, "--images", 16, "--method", "grad-cam", "--method", "saliency", "--json"
    )
    assert code == 0, err
    answer = json.loads(out)
    assert (answer["ok"], answer["images"], answer["layer"]) == (True, 16, copied_run.model.cam_layer)
    assert [m["name"] for m in answer["methods"]] == ["grad-cam", "saliency"]
    assert answer["html"] == str(copied_run.path / "views" / "audit.html")
    page = (copied_run.path / "views" / "audit.html").read_text(encoding="utf-8")
    assert answer["methods"][0]["verdict"] in text_of(page)
    again = f"convscope audit {copied_run.path} --images 16 --method grad-cam --method saliency"
    assert f"This page again: {again}" in text_of(page)
    assert [line.split()[:2] for line in err.splitlines()] == [["audit", f"{n}/5"] for n in range(1, 6)]
    assert cli("verify", copied_run.path)[0] == 0  # the page is none of the run's artefacts

    code, out, _ = cli(
        "audit", copied_run.path, "--images", 16, "--method", "saliency", "--out", copied_run.path / "a.html"
    )
    assert code == 0
    assert out.splitlines()[-1] == str(copied_run.path / "a.html")
    assert re.search(r"^saliency +16 +0\.\d{3} +0\.\d{3} +0\.\d{3} +-?0\.\d\d +(passed|FAILED)$", out, re.MULTILINE)


def test_the_command_fails_where_an_equation_does(cli, copied_run, register):
    register("hires-cam", hires_cam_times_two)
    code, out, _ = cli("audit", copied_run.path, "--images", 16, "--method", "hires-cam")
    assert code == 1
    assert "WRONG  HiResCAM adds up: off by 1.0e+00, allowed 9.3e-10" in out
    assert (copied_run.path / "views" / "audit.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--method", "gradcam"], "unknown explanation method 'gradcam'; choose from grad-cam, "),
        (["--out", "audit.png"], "give a name that ends in .html"),
        (["--images", "15"], "greater than or equal to 16"),
    ],
)
def test_bad_usage(cli, copied_run, arguments, said):
    code, _, err = cli("audit", copied_run.path, *arguments)
    assert code == 2
    assert said in err
    assert not (copied_run.path / "views").exists()


@pytest.mark.slow
def test_the_shipped_network(cli, data_dir, tmp_path):
    """`cifar10-94`, all methods that it can have: every equation that applies holds on real weights and pictures."""
    code, out, err = cli("audit", "cifar10-94", "--images", "16", "--out", tmp_path / "audit.html", "--json")
    assert code == 0, err
    answer = json.loads(out)
    assert answer["images"] == 16
    assert answer["shortcut_check"] is None, "CIFAR-10 has no masks"
    assert set(answer["refused"]) == {"cam", "guided-backprop", "guided-grad-cam"}


def test_a_network_that_learned_a_mark_is_told_so_in_one_sentence(tmp_path, cli):
    """Eight forms with a mark in the corner of 95 % of the training pictures: no test accuracy is asked for."""
    overrides = {"data__size": 24, "data__subset": 1600, "train__epochs": 4, "model__base_channels": 8}
    train("shapes", out=tmp_path / "cheat", data__shortcut=0.95, train__seed=3, **overrides)
    options = ["--images", "32", "--method", "grad-cam", "--method", "input-x-gradient"]
    code, out, _ = cli("audit", str(tmp_path / "cheat"), *options, "--json")
    assert code == 0
    values = json.loads(out)
    assert values["shortcut"].startswith("The network looks at the bottom-right corner, outside the object, in ")
    page = text_of((tmp_path / "cheat" / "views" / "audit.html").read_text(encoding="utf-8"))
    assert "It cheats. " + values["shortcut"].replace("\N{NO-BREAK SPACE}", " ") in page
    assert "On the object?" in page
    rows = {row["name"]: row for row in values["localisation"]["methods"]}
    assert list(rows) == ["grad-cam", "input-x-gradient"]
    assert rows["grad-cam"]["energy"]["mean"] < 0.5
