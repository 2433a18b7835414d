"""What is worked out once, what is bounded, and that threads do not meet in a model."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from convscope.config import make_config
from convscope.data import load
from convscope.models import build_model
from convscope.runs import Run, load_run
from convscope.service.models import Served
from convscope.service.trace.cache import Cache
from convscope.service.trace.desk import Desk
from convscope.service.trace.tracer import Tracer


def sized(number: int, size: int = 10) -> SimpleNamespace:
    return SimpleNamespace(number=number, nbytes=size)


def test_small_values_count_with_what_holds_them() -> None:
    cache, made = Cache(100, entry=30), []
    for key in ("a", "b", "c", "d", "a"):
        cache.get(key, lambda key=key: made.append(key) or sized(1, 1))
    assert made == ["a", "b", "c", "d", "a"]  # three at a time


def test_the_cache_forgets_what_was_used_longest_ago() -> None:
    cache, made = Cache(30, entry=0), []

    def ask(key: int, size: int = 10) -> int:
        return cache.get(key, lambda: made.append(key) or sized(key, size)).number

    assert [ask(key) for key in (1, 2, 3, 1, 4)] == [1, 2, 3, 1, 4]
    assert made == [1, 2, 3, 4]
    assert [ask(key) for key in (1, 3, 4, 2)] == [1, 3, 4, 2]
    assert made == [1, 2, 3, 4, 2]  # 2 was the oldest when 4 came
    ask(5, size=31)  # larger than everything: given, and nothing stays
    ask(5)
    assert made[-2:] == [5, 5]


def test_one_thread_makes_what_several_ask_for() -> None:
    cache, made, start = Cache(100, entry=0), [], threading.Barrier(4)

    def make() -> SimpleNamespace:
        made.append(1)
        time.sleep(0.05)
        return sized(7)

    def ask(_: int) -> int:
        start.wait()
        return cache.get("key", make).number

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(ask, range(4))) == [7] * 4
    assert len(made) == 1


def test_what_failed_is_tried_again() -> None:
    cache = Cache(100)
    with pytest.raises(ZeroDivisionError):
        cache.get("key", lambda: 1 // 0)  # type: ignore[arg-type,return-value]
    assert cache.get("key", lambda: sized(3)).number == 3


def test_another_node_of_the_same_pass_is_a_lookup(digits_run: Run, tracer_of: Callable[[Run], Tracer]) -> None:
    tracer = tracer_of(digits_run)
    first = tracer.passed("test:5")
    assert tracer.passed("test:5") is first
    assert tracer.passed("test:5", tracer.edits("head:bias:0:1")) is not first
    assert tracer.passed("test:6") is not first


def test_requests_at_once_do_not_meet(untrained: Callable[..., Run]) -> None:
    """Passes, edits, train mode and gradients of one model by eight threads give what they give one by one."""
    run = untrained("tiny-resnet", base_channels=4)

    def ask(tracer: Tracer, n: int) -> np.ndarray:
        img = f"shapes:{n % 12}"
        match n % 4:
            case 0:
                return tracer.passed(img).logits
            case 1:
                return tracer.passed(img, tracer.edits(f"stem.conv:weight:{n}:0.5")).logits
            case 2:
                return tracer.passed(img, mode="train", mates=("shapes:1", "shapes:2")).logits
        return tracer.gradients(img, n % 6).outputs["stem.conv"]

    def fresh() -> Tracer:
        return Desk().tracer(Served("model", "0", run))

    alone, together = fresh(), fresh()
    expected = [ask(alone, n) for n in range(48)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda n: ask(together, n), range(48)))
    for one, other in zip(expected, found, strict=True):
        assert np.array_equal(one, other)


def test_dead_channels_are_those_that_no_picture_wakes(tracer_of: Callable[[Run], Tracer], digits_run: Run) -> None:
    torch.manual_seed(0)
    model = build_model("tiny-resnet", (1, 8, 8), 10, base_channels=4).eval()
    norm = model.get_submodule("stem.norm")
    norm.weight.data[2], norm.bias.data[2] = 0, -1  # dead behind the ReLU whatever comes
    tracer = tracer_of(Run(digits_run.path, digits_run.checkpoint, model))
    found = tracer.dead()
    assert found.pictures == 256
    assert found.channels["stem.relu"] == (2,)
    assert 2 in found.channels["stem.norm"]
    images = digits_run.preprocess(load("digits")[1].images[:256])
    with torch.no_grad():
        top = model.get_submodule("stem")(images).amax(dim=(0, 2, 3))
    assert (top > 0).tolist() == [True, True, False, True]


def test_the_graph_needs_no_pictures(digits_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening the page must not wait for a data set."""
    from convscope.service.trace import gallery
    from convscope.service.trace.summary import model_summary

    tracer = Desk().tracer(Served("digits", "0", digits_run))
    monkeypatch.setattr(gallery, "own_pictures", lambda *_, **__: pytest.fail("the test set was loaded"))
    monkeypatch.setattr(gallery, "load", lambda *_, **__: pytest.fail("pictures were made"))
    sources = model_summary(tracer)["sources"]
    assert [(row["name"], row["count"]) for row in sources] == [("test", None), ("digits", None), ("shapes", None)]


def test_without_its_data_set_a_run_offers_what_the_package_has(
    digits_run: Run, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVSCOPE_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    config = make_config({"data": {"name": "mnist"}}).model_dump()
    run = Run(digits_run.path, digits_run.checkpoint | {"config": config}, digits_run.model)
    gallery = Desk().tracer(Served("mnist", "0", run)).gallery
    assert list(gallery.names) == ["digits", "shapes"]
    with pytest.raises(Exception, match="its data set is not on this machine"):
        gallery.picture("test:0")
    assert gallery.picture("digits:3").label is not None


def test_sampled_values_of_the_shipped_network(data_dir: object, tracer_of: Callable[[Run], Tracer]) -> None:
    """200 random places of random layers, on real pictures: what PyTorch's own hook sees there."""
    run = load_run("cifar10-94")
    tracer, rng = tracer_of(run), np.random.default_rng(0)
    assert tracer.gallery.names[0] == "test"
    seen: dict[tuple[str, str], torch.Tensor] = {}
    for img in (images := [f"test:{n}" for n in range(40, 44)]):
        handles = [
            run.model.get_submodule(node.layer).register_forward_hook(
                lambda _, __, output, key=(img, node.id): seen.update({key: output[0]})
            )
            for node in tracer.graph.nodes[1:]
        ]
        with torch.no_grad():
            run.model(run.preprocess(tracer.gallery.picture(img).pixels[None]))
        for handle in handles:
            handle.remove()
    for n in range(200):
        img, node = images[rng.integers(4)], tracer.graph.nodes[rng.integers(1, len(tracer.graph.nodes))]
        place = tuple(int(rng.integers(size)) for size in node.shape)
        assert seen[img, node.id][place].item() == tracer.passed(img).outputs[node.id][place], (n, node.id, place)


@pytest.mark.slow  # what a busy machine makes of it is no matter of `make test`
def test_a_click_takes_less_than_150_ms(tracer_of: Callable[[Run], Tracer]) -> None:
    """A pass of the shipped network that nobody has asked for yet, on one thread; the median of nine."""
    tracer = tracer_of(load_run("cifar10-94"))
    tracer.passed("shapes:40"), tracer.gradients("shapes:40", 1)
    times = []
    for n in range(9):
        start = time.perf_counter()
        tracer.passed(f"shapes:{n}")
        tracer.gradients(f"shapes:{n}", 3)
        times.append(time.perf_counter() - start)
    assert sorted(times)[4] < 0.15
