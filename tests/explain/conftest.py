"""Small networks that are not convscope's own, with random weights and BatchNorm statistics from a stated seed."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GapNet(nn.Module):
    """Convolutions, global average pooling, a linear head: here Grad-CAM has a closed form, the classic CAM."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, padding=1),
            nn.ReLU(),
        )
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.dropout(self.features(x).mean(dim=(2, 3))))


class DeepNet(nn.Module):
    """Functional activations, an in-place one after the middle layer, a skip connection, a nonlinear head."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, (3, 5), padding=(1, 2), bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.middle = nn.Conv2d(6, 6, 3, padding=1)
        self.last = nn.Conv2d(6, 7, 3, stride=2)
        self.hidden = nn.Linear(7 * 6, 9)
        self.head = nn.Linear(9, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        x = F.relu_(self.middle(x)) + x
        x = F.adaptive_avg_pool2d(torch.tanh(self.last(x)), (2, 3))
        return self.head(F.gelu(self.hidden(x.flatten(1))))


class Block(nn.Module):
    """Two convolutions and what came in, as people write it: activations are functions, the sum is made in place."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.shortcut = nn.Conv2d(inside, outside, 1, stride) if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.shortcut is None else self.shortcut(x)
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        x += shortcut
        return F.relu(x, inplace=True)


class UserResNet(nn.Module):
    """A ResNet that knows nothing of convscope: no `cam_layer`, its pooling and flattening are functions."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 6, 3, 1, 1, bias=False), nn.BatchNorm2d(6)
        self.layer1, self.layer2 = Block(6, 6, 1), Block(6, 8, 2)
        self.fc = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer2(self.layer1(x))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


@pytest.fixture(name="make")
def _make() -> Callable[..., nn.Module]:
    """make(kind, seed=0, dtype=float32): a network of that kind in train mode, its statistics not the defaults."""

    def make(kind: type[nn.Module] | str, seed: int = 0, dtype: torch.dtype = torch.float32) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = {"gap": GapNet, "deep": DeepNet, "resnet": UserResNet}[kind]() if isinstance(kind, str) else kind()
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.running_mean.normal_()
                    module.running_var.uniform_(0.5, 2)
                    module.weight.data.normal_()
        return model.to(dtype)

    return make


@pytest.fixture(name="pictures")
def _pictures() -> Callable[..., Tensor]:
    """pictures(n, seed=1, dtype=float32): random normalised pictures (n, 3, 10, 14)."""

    def pictures(n: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(n, 3, 10, 14, generator=torch.Generator().manual_seed(seed), dtype=dtype)

    return pictures
