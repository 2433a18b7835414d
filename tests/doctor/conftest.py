"""What the doctor's tests share: real digits, small networks trained on them, and what is not fine among findings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.data import ImageSet, load
from convscope.doctor import Finding, examine_run

Step = Callable[[Any, bool], Any]


@pytest.fixture(scope="session")
def digits() -> tuple[ImageSet, ImageSet]:
    """Training and test pictures, (N, 1, 8, 8)."""
    return load("digits")


@pytest.fixture(name="batch_of")
def _batch_of(digits: tuple[ImageSet, ImageSet]) -> Callable[..., tuple[Tensor, Tensor]]:
    """batch_of("train" or "test", n=200): digits normalised as one should, (n, 1, 8, 8), with labels."""

    def batch_of(part: str, n: int = 200) -> tuple[Tensor, Tensor]:
        chosen = digits[part == "test"].subset(n, seed=1)
        images = torch.from_numpy(chosen.images).float()
        return (images - images.mean()) / images.std(), torch.from_numpy(chosen.labels)

    return batch_of


def new_network(seed: int = 0) -> nn.Sequential:
    """One convolution and a linear layer, without the attributes of our own models."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 10))


@pytest.fixture
def small_network() -> nn.Sequential:
    """`new_network`, not trained."""
    return new_network()


@pytest.fixture(name="trained")
def _trained() -> Callable[..., nn.Module]:
    """trained(images, labels): a small network, or another, after some steps of gradient descent on the whole batch."""

    def trained(
        images: Tensor,
        labels: Tensor,
        lr: float = 0.1,
        steps: int = 60,
        model: nn.Module | None = None,
        loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    ) -> nn.Module:
        model = new_network() if model is None else model
        optimizer = torch.optim.SGD(model.parameters(), lr=lr)
        for _ in range(steps):
            optimizer.zero_grad()
            loss(model(images), labels).backward()
            optimizer.step()
        return model

    return trained


class Around(nn.Module):
    """A model with what its author does to its input and to its output; both are told whether it is in train mode."""

    def __init__(self, model: nn.Module, before: Step | None, after: Step | None) -> None:
        super().__init__()
        self.model, self.before, self.after = model, before, after

    def forward(self, x: Tensor) -> object:
        z = self.model(self.before(x, self.training) if self.before else x)
        return self.after(z, self.training) if self.after else z


@pytest.fixture(name="around")
def _around() -> Callable[..., nn.Module]:
    """around(model, before=None, after=None): either takes (values, whether the model is in train mode)."""
    return lambda model, before=None, after=None: Around(model, before, after)


@pytest.fixture(name="bad")
def _bad() -> Callable[[list[Finding]], dict[str, tuple[str, str]]]:
    """bad(findings): what is not fine, name -> (severity, what was seen)."""
    return lambda findings: {f.name: (f.severity, f.seen) for f in findings if f.severity != "fine"}


@pytest.fixture(name="problems")
def _problems() -> Callable[..., dict[str, str]]:
    """problems(folder, data_dir=None): the problems of a run, name -> what was seen."""

    def problems(folder: Path, data_dir: Path | None = None) -> dict[str, str]:
        return {f.name: f.seen for f in examine_run(folder, data_dir) if f.severity == "problem"}

    return problems


@pytest.fixture(name="advice")
def _advice() -> Callable[[Path], dict[str, str]]:
    """advice(folder): what to do about a run, by the name of the check."""
    return lambda folder: {f.name: f.advice for f in examine_run(folder) if f.advice}


@pytest.fixture(name="change")
def _change() -> Callable[..., None]:
    """change(folder, **values): write other values into best.pt."""

    def change(folder: Path, **values: Any) -> None:
        checkpoint = torch.load(folder / "best.pt", weights_only=True)
        torch.save(checkpoint | values, folder / "best.pt")

    return change
