"""Every cell of the arithmetic of class activation maps on the page, against `explain` and PyTorch."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from convscope.explain import explain
from convscope.runs import Run
from tests.service.page.test_levels import PICTURE, normalised, outputs
from tests.service.page.walk import Walk

LAYER = "group2.1.relu"


@pytest.fixture(scope="module")
def target(runs: Mapping[str, Run]) -> int:
    """The class that the network names, for which something argues."""
    return int(runs["digits"].model(normalised(runs["digits"])).argmax())


def place(method: str, target: int, **cell: int) -> dict[str, object]:
    return {
        "model": "digits", "img": f"digits:{PICTURE}", "level": "heatmap", "method": method,
        "layer": LAYER, "target": target, **cell,
    }  # fmt: skip


def test_every_cell_of_grad_cam(runs: Mapping[str, Run], walk: Walk, target: int) -> None:
    run, x = runs["digits"], normalised(runs["digits"])
    found = outputs(run.model, x)
    (gradient,) = torch.autograd.grad(found[""][0, target], found[LAYER])
    activation = found[LAYER].detach()
    expected = explain(run.model, x, target=target, layer=LAYER)
    channels, height, width = activation.shape[1:]
    for y, i in np.ndindex(height, width):
        at = walk.to(f"grad-cam:map:{y},{i}", **place("grad-cam", target, c=3, y=y, x=i))
        assert at.value == expected.maps[0, y, i]
        assert at.holds(), at
        for stage, value in (
            ("activation", activation[0, 3, y, i]), ("gradient", gradient[0, 3, y, i]),
            ("map", expected.maps[0, y, i]), ("relu", max(expected.maps[0, y, i], 0)),
        ):  # fmt: skip
            (one,) = walk.shown(f"#stage-{stage}")
            assert one.value == pytest.approx(float(value), rel=1e-5, abs=1e-9), one
            assert one.holds() != (stage in ("activation", "gradient")), one  # which other levels compute again
    for c in range(channels):
        walk.to("grad-cam:map:0,0", **place("grad-cam", target, c=c, y=0, x=0))
        walk.page.wait_for_selector(f"#stage-weight[data-cell='grad-cam:weight:{c}']")
        (one,) = walk.shown("#stage-weight")
        assert one.value == pytest.approx(gradient[0, c].mean().item(), rel=1e-5, abs=1e-9)
        assert one.holds(), one


@pytest.mark.slow
def test_every_enlarged_pixel(runs: Mapping[str, Run], walk: Walk, target: int) -> None:
    run, x = runs["digits"], normalised(runs["digits"])
    heat = explain(run.model, x, target=target, layer=LAYER).heatmaps(x.shape[2:])[0]
    assert heat.max() == 1
    walk.to("grad-cam:map:0,0", **place("grad-cam", target, y=0, x=0))
    grid = walk.page.locator("#stage-heat")
    grid.focus()
    for _ in range(heat.shape[0]):
        grid.press("ArrowUp")
    for y in range(heat.shape[0]):
        grid.press("Home")
        for i in range(heat.shape[1]):
            (one,) = walk.shown("#stage-heat")
            assert one.cell == f"grad-cam:heat:{y},{i}"
            assert one.value == pytest.approx(heat[y, i], abs=1e-6)
            assert one.holds(), one
            grid.press("ArrowRight")
        grid.press("ArrowDown")


@pytest.mark.parametrize(
    "method",
    [
        "hires-cam",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("grad-cam++", "x-grad-cam", "layer-cam", "score-cam", "ablation-cam", "cam")
        ),
    ],
)
def test_other_maps_that_are_sums_are_summed_again(
    method: str, runs: Mapping[str, Run], walk: Walk, target: int
) -> None:
    run, x = runs["digits"], normalised(runs["digits"])
    expected = explain(run.model, x, target=target, layer=LAYER, method=method).maps[0]
    for y, i in ((0, 0), (1, 2), (3, 1)):
        at = walk.to(f"{method}:map:{y},{i}", **place(method, target, c=2, y=y, x=i))
        assert at.value == pytest.approx(expected[y, i], rel=1e-5, abs=1e-9)
        assert at.holds(), at
    for one in walk.shown(".stages [data-sum]"):
        assert one.holds(), one


@pytest.mark.parametrize("method", ["eigen-cam", "saliency", "occlusion"])
def test_maps_that_are_no_sums_are_shown_and_said_to_be_so(
    method: str, runs: Mapping[str, Run], walk: Walk, target: int
) -> None:
    run, x = runs["digits"], normalised(runs["digits"])
    where = {"layer": LAYER} if method == "eigen-cam" else {}
    expected = explain(run.model, x, target=target, method=method, **where).maps[0]
    walk.go(**place(method, target, y=1, x=2))
    walk.page.wait_for_selector(f"#focus[data-cell='{method}:map:1,2']")
    value, has_sum = walk.page.eval_on_selector("#focus", "e => [Number(e.dataset.value), 'sum' in e.dataset]")
    assert np.float32(value) == pytest.approx(expected[1, 2], rel=1e-5)
    assert not has_sum
    assert "not computed again" in walk.page.inner_text("#focus")


def test_a_class_that_nothing_argues_for_is_told(runs: Mapping[str, Run], walk: Walk) -> None:
    run, x = runs["digits"], normalised(runs["digits"])
    layers = ("group2.1.relu", "group2.0.relu", "group1.1.relu", "stem.relu")
    layer, target = next(
        (layer, k) for layer in layers for k in range(10) if explain(run.model, x, k, layer).evidence == ("none",)
    )
    walk.go(**place("grad-cam", target) | {"layer": layer})
    walk.page.wait_for_selector("[role=status].problem")
    assert "no value of the map is positive" in walk.page.inner_text("[role=status].problem")


def test_fading_and_choosing(walk: Walk, target: int) -> None:
    walk.to("grad-cam:map:0,0", **place("grad-cam", target, y=0, x=0))
    walk.page.locator("#fade").fill("25")
    assert walk.page.eval_on_selector(".overlay img + img", "e => getComputedStyle(e).opacity") == "0.25"
    walk.page.select_option("#choose-method", "layer-cam")
    walk.page.wait_for_selector("#focus[data-cell='layer-cam:map:0,0']")
    walk.page.select_option("#choose-layer", "group1.1.relu")
    walk.page.wait_for_function("() => location.hash.includes('layer=group1.1.relu')")
