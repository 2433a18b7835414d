"""What the audit's tests share: subjects that need no training, one that does, and a way to register a wrong method."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from convscope.audit import Audit, audit
from convscope.audit.subject import Subject, choose_subject, make_subject
from convscope.data import ImageSet
from convscope.models import build_model
from convscope.registry import METHODS
from convscope.runs import Run


@pytest.fixture(scope="session")
def digits_subject(digits_run: Run) -> Subject:
    """A ReLU network with global average pooling that learned the real digits; 24 test pictures, 1×8×8."""
    return choose_subject(digits_run, 24)[0]


@pytest.fixture(scope="session")
def digits_audit(digits_run: Run) -> Audit:
    """The whole audit of it, on 32 test pictures."""
    return audit(digits_run, images=32)


@pytest.fixture(name="untrained")
def _untrained() -> Callable[..., Subject]:
    """untrained(name, shape, seed=0, **options): a new network, its statistics not the defaults, on random pictures."""

    def untrained(name: str, shape: tuple[int, int, int], seed: int = 0, **options: object) -> Subject:
        rng = np.random.default_rng(seed)
        pictures = ImageSet(rng.integers(0, 256, (20, *shape)).astype(np.uint8), np.arange(20) % 4, tuple("abcd"))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = build_model(name, shape, 4, **options).eval()
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.running_mean.normal_()
                    module.running_var.uniform_(0.5, 2)
                if isinstance(module, nn.Linear):
                    module.weight.data.normal_()
        images = torch.from_numpy(pictures.images).float() / 128 - 1
        return make_subject(model, pictures, images.contiguous(memory_format=torch.channels_last))

    return untrained


@pytest.fixture(name="register")
def _register(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """register(name, function): what METHODS loads under that name, until the test ends."""
    right = METHODS.load

    def register(name: str, function: Callable[..., torch.Tensor]) -> None:
        monkeypatch.setattr(METHODS, "load", lambda asked: function if asked == name else right(asked))

    return register
