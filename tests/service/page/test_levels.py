"""Numbers of random cells on the page against what PyTorch computes here, and against the page's own bounds."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convscope.data import load
from convscope.pictures import encode_png, prepare
from convscope.runs import Run
from tests.service.page.walk import Walk

PICTURE = 3  # of the test part of `digits`


def normalised(run: Run, index: int = PICTURE) -> Tensor:
    """A picture of `digits` as the network gets it, (1, C, H, W)."""
    image = load("digits")[1].images[index]
    if image.shape != tuple(run.input_shape):
        image = prepare(encode_png(image), run.checkpoint["picture"])
    x = run.preprocess(image[None])
    # channels first, also where one channel leaves that open: rounding depends on it
    return torch.empty(x.shape).copy_(x)


def outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """The output of every module for the first picture, as long as it lives in the graph."""
    found: dict[str, Tensor] = {"input": x}
    hooks = [
        module.register_forward_hook(lambda _, __, output, name=name: found.update({name: output}))
        for name, module in model.named_modules()
    ]
    model(x)
    for hook in hooks:
        hook.remove()
    return found


def places(graph: dict, kinds: tuple[str, ...], count: int, seed: int) -> list[tuple[dict, tuple[int, ...]]]:
    """Random cells of random nodes of those kinds, each kind as often."""
    rng = np.random.default_rng(seed)
    chosen = []
    for n in range(count):
        nodes = [node for node in graph["nodes"] if node["kind"] == kinds[n % len(kinds)]]
        node = nodes[rng.integers(len(nodes))]
        chosen.append((node, tuple(int(rng.integers(length)) for length in node["shape"])))
    return chosen


def address(node: dict, cell: tuple[int, ...]) -> dict[str, object]:
    return {"layer": node["id"], **dict(zip("cyx", cell, strict=False))}


KINDS = {
    "digits": ("batchnorm", "activation", "add", "globalavg", "flatten"),
    "deep": ("batchnorm", "activation", "maxpool", "flatten", "dropout"),
    "cifar10-94": ("batchnorm", "activation", "add", "maxpool", "globalmax"),
}


@pytest.mark.parametrize("model", KINDS)
def test_random_cells_are_what_pytorch_computes(model: str, runs: Mapping[str, Run], walk: Walk) -> None:
    graph = walk.graph(model)
    with torch.no_grad():
        expected = outputs(runs[model].model, normalised(runs[model]))
    for node, cell in places(graph, KINDS[model], 15, seed=1):
        shown = walk.to(
            f"{node['id']}:{','.join(map(str, cell))}", model=model, img=f"digits:{PICTURE}", **address(node, cell)
        )
        assert shown.value == expected[node["layer"]][0][cell].numpy(), shown
        assert shown.holds(), shown


def test_the_live_cell_of_a_channel_is_computed_again(runs: Mapping[str, Run], walk: Walk) -> None:
    found = outputs(runs["digits"].model, normalised(runs["digits"]))["stem.conv"]
    place = {"model": "digits", "img": f"digits:{PICTURE}", "layer": "stem.conv"}
    walk.go(**place, c=2, level="channel", y=0, x=5)  # at a corner of the padding
    walk.page.wait_for_selector("#cell[data-cell='stem.conv:2,0,5']")
    for y, x in ((0, 5), (1, 5)):
        (one,) = walk.shown("#cell")
        assert (one.cell, one.value) == (f"stem.conv:2,{y},{x}", found[0, 2, y, x].item())
        assert one.holds(), one
        walk.page.locator("#cell").press("ArrowDown")


def test_batch_statistics_are_those_of_the_pictures_chosen(runs: Mapping[str, Run], walk: Walk) -> None:
    run, graph = runs["digits"], walk.graph("digits")
    pictures = torch.cat([normalised(run, n) for n in (PICTURE, 5, 11)])
    model = run.model
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    kept = [norm.state_dict() for norm in norms]
    kept = [{name: value.clone() for name, value in state.items()} for state in kept]
    try:
        for norm in norms:
            norm.train()
        with torch.no_grad():
            expected = outputs(model, pictures)
    finally:
        for norm, state in zip(norms, kept, strict=True):
            norm.load_state_dict(state)
            norm.eval()
    for node, cell in places(graph, ("batchnorm",), 8, seed=2):
        shown = walk.to(
            f"{node['id']}:{','.join(map(str, cell))}",
            model="digits", img=f"digits:{PICTURE}", **address(node, cell), mode="train", mates="digits:5,digits:11",
        )  # fmt: skip
        assert shown.value == pytest.approx(expected[node["layer"]][0][cell].item(), rel=1e-5, abs=1e-6), shown
        assert shown.holds(), shown
    mates = walk.page.locator(".mate[aria-pressed=true]")
    assert mates.count() == 2
    before = shown.value
    mates.first.click()
    walk.page.wait_for_function(
        "before => Number(document.querySelector('#focus').dataset.value) !== before", arg=float(before)
    )


@pytest.mark.parametrize("model", KINDS)
def test_head_shows_every_logit_and_probability(model: str, runs: Mapping[str, Run], walk: Walk) -> None:
    graph = walk.graph(model)
    head = graph["nodes"][-1]["id"]
    with torch.no_grad():
        logits = runs[model].model(normalised(runs[model]))[0]
    best = int(logits.argmax())
    walk.to(f"{head}:{best}", model=model, img=f"digits:{PICTURE}", layer=head)
    for name, expected in ((head, logits), ("softmax", F.softmax(logits.double(), 0))):
        shown = walk.shown(f"td[data-cell^='{name}:']")
        assert sorted(one.cell for one in shown) == sorted(f"{name}:{k}" for k in range(len(logits)))
        for one in shown:
            assert one.value == pytest.approx(expected[int(one.cell.split(":")[1])].item(), rel=1e-6)
            assert one.holds(), one


def test_a_click_on_a_class_shows_what_argues_for_it(runs: Mapping[str, Run], walk: Walk) -> None:
    head, run = "head", runs["digits"]
    walk.to(f"head:{int(run.model(normalised(run)).argmax())}", model="digits", img=f"digits:{PICTURE}", layer=head)
    walk.page.click("#class-7 th")
    walk.page.wait_for_selector("#focus[data-cell='head:7']")
    with torch.no_grad():
        features = outputs(run.model, normalised(run))["flatten"][0]
        products = features * run.model.get_submodule("head").weight[7]
    order = products.abs().argsort(descending=True).tolist()
    rows = walk.page.eval_on_selector_all(
        "#table-feature tr[data-key]", "rows => rows.map((row) => Number(row.dataset.key))"
    )
    assert rows == order[: len(rows)]
    walk.page.focus(f"#feature-{order[0]}")
    walk.page.keyboard.press("ArrowDown")
    walk.page.keyboard.press("Enter")  # down to where the second feature comes from
    walk.page.wait_for_selector(f"#focus[data-cell='pool:{order[1]},0,0']")


@pytest.mark.parametrize("model", KINDS)
def test_gradients_arrive_as_autograd_says(model: str, runs: Mapping[str, Run], walk: Walk) -> None:
    graph, run = walk.graph(model), runs[model]
    x = normalised(run).requires_grad_()
    found = outputs(run.model, x)
    target = 4
    chosen = places(graph, ("input", "conv", "linear", *KINDS[model]), 16, seed=3)
    gradients = torch.autograd.grad(found[""][0, target], [found[node["layer"]] for node, _ in chosen])
    for (node, cell), gradient in zip(chosen, gradients, strict=True):
        shown = walk.to(
            f"{node['id']}:{','.join(map(str, cell))}",
            model=model, img=f"digits:{PICTURE}", **address(node, cell), level="backward", target=target,
        )  # fmt: skip
        assert shown.value == pytest.approx(gradient[0][cell].item(), rel=1e-4, abs=1e-7), shown
        assert shown.holds(), shown


def test_shares_of_a_kernel_gradient_sum_to_it(runs: Mapping[str, Run], walk: Walk) -> None:
    run, target = runs["digits"], 2
    layer = "group2.0.sum.branch.conv1"  # stride 2, padding 1
    weight = run.model.get_submodule(layer).weight
    expected = torch.autograd.grad(run.model(normalised(run))[0, target], weight)[0]
    walk.to(
        f"{layer}:3,1,0",
        model="digits",
        img=f"digits:{PICTURE}",
        layer=layer,
        c=3,
        y=1,
        x=0,
        level="backward",
        target=target,
    )
    shown = walk.shown(f"td[data-cell^='{layer}.weight:']")
    assert [one.cell for one in shown] == [f"{layer}.weight:3,0,{u},{v}" for u in range(3) for v in range(3)]
    for one, wanted in zip(shown, expected[3, 0].flatten().tolist(), strict=True):
        assert one.value == pytest.approx(wanted, rel=1e-4, abs=1e-8)
        assert one.holds(), one
