"""The global random streams, also beside other threads: as found after a pass that draws, else not touched."""

import contextlib
import gc
import importlib
import subprocess
import sys
import threading
import weakref

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from convscope.errors import UsageError
from convscope.explain import explain, feature_maps, random_streams
from convscope.explain.random_streams import draws_undone

CPU = torch.device("cpu")
X = torch.linspace(-1, 1, 2 * 3 * 8 * 8).view(2, 3, 8, 8)


class Noisy(nn.Module):
    """Its output is noise from the global stream and nothing else; `pause` runs between two draws."""

    def __init__(self, pause=lambda: None):
        super().__init__()
        self.conv, self.pause = nn.Conv2d(3, 4, 3), [pause]

    def forward(self, x):
        first = torch.randn(len(x), 2)
        self.pause[0]()
        return first + torch.rand(len(x), 2) + 0 * self.conv(x).mean()


@contextlib.contextmanager
def neighbour(seed):
    """Another thread that draws from the global stream all along; yields the list of its draws."""
    draws, stop, started = [], threading.Event(), threading.Event()

    def draw():
        while not stop.is_set():
            draws.append(torch.rand(3, dtype=torch.float64))
            started.set()

    before = torch.get_rng_state()
    torch.manual_seed(seed)
    thread = threading.Thread(target=draw)
    thread.start()
    try:
        started.wait()
        yield draws
    finally:
        stop.set()
        thread.join()
        torch.set_rng_state(before)


@pytest.mark.parametrize("hidden", [False, True])
def test_a_neighbour_draws_as_if_it_were_alone(make, pictures, hidden):
    """Also with the switched-off randomness of dropout, attention and a randomised ReLU in the model."""

    class Quiet(type(make("gap"))):
        def forward(self, x):
            x = F.scaled_dot_product_attention(x, x, x, dropout_p=0.0)
            x = F.rrelu(x, training=self.training) + torch.rand(1, generator=torch.Generator().manual_seed(0))
            return super().forward(x)

    if hidden:
        importlib.import_module("torch._dynamo")
    model, images = make(Quiet), pictures(2)
    with neighbour(seed=11) as draws:
        for _ in range(12):
            explain(model, images)
            feature_maps(model, images)
    alone = torch.Generator().manual_seed(11)
    expected = torch.stack([torch.rand(3, dtype=torch.float64, generator=alone) for _ in draws])
    assert len(draws) > 50, "the neighbour hardly ran"
    assert torch.equal(torch.stack(draws), expected)


class Moody(nn.Module):
    """Draws only while `noisy`, and then fails if it shall."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)
        self.noisy, self.fail = False, False

    def forward(self, x):
        if self.noisy:
            x = x + torch.randn(x.shape[1:])
            if self.fail:
                raise ArithmeticError("drew, then failed")
        return self.head(self.conv(x).relu().mean(dim=(2, 3)))


class TestTrust:
    """A model that drew nothing while it was watched goes unwatched, which must not cost the streams anything."""

    def test_only_the_first_call_is_watched(self, monkeypatch):
        model = Moody()
        expected = explain(model, X, layer="conv", target=0).maps
        monkeypatch.setattr(random_streams, "_Watch", None)
        monkeypatch.setattr(random_streams, "_HiddenWatch", None)
        assert (explain(model, X, layer="conv", target=0).maps == expected).all()
        with pytest.raises(TypeError, match="not callable"):
            explain(Moody(), X, layer="conv", target=0)

    def test_a_model_that_begins_to_draw_is_found_out(self):
        model = Moody()
        explain(model, X, layer="conv")
        model.noisy = True
        before = torch.get_rng_state()
        explain(model, X, layer="conv")
        assert torch.equal(torch.get_rng_state(), before)
        answers = [explain(model, X, layer="conv", target=0).logits.tolist() for _ in range(2)]
        assert answers[0] == answers[1], "watched from now on, every call starts from the same state"
        assert torch.equal(torch.get_rng_state(), before)
        model.noisy = False
        explain(model, X, layer="conv")
        assert not random_streams._TRUSTED[model]

    def test_also_if_it_then_fails(self):
        model = Moody()
        explain(model, X, layer="conv")
        model.noisy = model.fail = True
        before = torch.get_rng_state()
        for _ in range(2):
            with pytest.raises(ArithmeticError, match="drew, then failed"):
                explain(model, X, layer="conv")
            assert torch.equal(torch.get_rng_state(), before)

    def test_a_failure_without_a_draw_is_passed_on_and_costs_no_trust(self):
        model = Moody()
        explain(model, X, layer="conv")
        with pytest.raises(UsageError, match="no layer"):
            explain(model, X, layer="nowhere")
        assert random_streams._TRUSTED[model]

    def test_a_model_is_not_kept_alive(self):
        model = Moody()
        explain(model, X, layer="conv")
        gone = weakref.ref(model)
        del model
        gc.collect()
        assert gone() is None


DRAWS = {
    "dropout": lambda: F.dropout(X),
    "dropout2d": lambda: F.dropout2d(X),
    "alpha dropout": lambda: F.alpha_dropout(X, training=True),
    "randomised ReLU": lambda: F.rrelu(X, training=True),
    "attention": lambda: F.scaled_dot_product_attention(X, X, X, dropout_p=0.3),
    "normal": lambda: torch.randn(3),
    "permutation": lambda: torch.randperm(9),
    "in place": lambda: X.clone().exponential_(),
    "multinomial": lambda: torch.multinomial(torch.ones(4), 2),
    "the global stream by name": lambda: torch.rand(3, generator=torch.default_generator),
    "after seeding": lambda: (torch.manual_seed(3), torch.rand(3)),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
@pytest.mark.parametrize("mode", [contextlib.nullcontext, torch.no_grad])
def test_what_the_body_draws_is_undone(draw, mode):
    before = torch.get_rng_state()
    with mode(), draws_undone(CPU):
        draw()
        assert not torch.equal(torch.get_rng_state(), before), "this draws nothing"
    assert torch.equal(torch.get_rng_state(), before)


def test_what_a_backward_pass_draws_is_undone():
    x = X.clone().requires_grad_()
    loss = torch.utils.checkpoint.checkpoint(lambda v: F.dropout(v), x, use_reentrant=False, preserve_rng_state=False)
    before = torch.get_rng_state()
    with draws_undone(CPU):
        loss.sum().backward()
        assert not torch.equal(torch.get_rng_state(), before)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_pass_within_a_pass():
    before = torch.get_rng_state()
    with draws_undone(CPU):
        outer = torch.rand(3)
        with draws_undone(CPU):
            inner = torch.rand(3)
        assert torch.equal(torch.rand(3), inner)
    assert not torch.equal(outer, inner)
    assert torch.equal(torch.get_rng_state(), before)


def test_bodies_that_draw_take_turns():
    """A second drawing pass that starts amid a first one waits, sees the same numbers, and all is as found."""
    answers, threads = {}, []

    def run(name, model):
        answers[name] = explain(model, X, layer="conv", target=0).logits.tolist()

    def start_another():
        threads.append(threading.Thread(target=run, args=("second", second)))
        threads[-1].start()
        threads[-1].join(0.2)  # ample for the second to draw, were it let
        assert "second" not in answers

    first, second = Noisy(), Noisy()
    before = torch.get_rng_state()
    run("alone", first)
    first.pause[0] = _Once(start_another)
    run("first", first)
    threads[0].join(20)
    assert answers["first"] == answers["second"] == answers["alone"]
    assert torch.equal(torch.get_rng_state(), before)


class _Once:
    """Calls `action` the first time it is called; copying a model that holds it does not copy it."""

    def __init__(self, action):
        self.action, self.done = action, False

    def __deepcopy__(self, memo):
        return self

    def __call__(self):
        if not self.done:
            self.done = True
            self.action()


def test_the_turn_is_given_back_after_an_exception():
    with pytest.raises(RuntimeError, match="shape"), draws_undone(CPU):
        torch.rand(3).reshape(2)
    other = threading.Thread(target=lambda: draws_undone(CPU).__enter__(), daemon=True)
    other.start()
    other.join(20)
    assert not other.is_alive()


def test_the_compiler_is_not_loaded():
    code = """
import sys, torch
from convscope.explain.random_streams import draws_undone
with draws_undone(torch.device("cpu")):
    torch.nn.functional.dropout(torch.ones(3))
print("torch._dynamo" in sys.modules)
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
