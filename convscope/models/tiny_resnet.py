"""TinyResNet (after He et al. 2016): two groups of residual blocks; (N, C, H, W) pictures in, logits out."""

from typing import Literal

from torch import nn

from convscope.layers import Conv2D, Flatten, MaxPool2D, Residual, Whitening
from convscope.models.base import ImageClassifier, NamedLayers, Shape, check_shape, named


class ResidualBlock(NamedLayers):
    """Two 3×3 convolutions whose sum with the input passes a ReLU: (N, C, H, W) -> (N, O, ceil(H/S), ceil(W/S)).

    The shortcut is the identity where the shapes allow it, a 1×1 projection where channels or size change
    (option B of the paper). ``skip=False`` leaves the shortcut out, to see what it is good for.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, skip: bool = True) -> None:
        branch = nn.Sequential(
            named(
                conv1=Conv2D(in_channels, out_channels, 3, stride, padding=1, bias=False),
                norm1=nn.BatchNorm2d(out_channels),
                relu1=nn.ReLU(),
                conv2=Conv2D(out_channels, out_channels, 3, padding=1, bias=False),
                norm2=nn.BatchNorm2d(out_channels),
            )
        )
        projection = None
        if stride != 1 or in_channels != out_channels:
            projection = nn.Sequential(
                named(
                    conv=Conv2D(in_channels, out_channels, 1, stride, bias=False),
                    norm=nn.BatchNorm2d(out_channels),
                )
            )
        super().__init__(
            named(sum=Residual(branch, projection), relu=nn.ReLU()) if skip else named(branch=branch, relu=nn.ReLU())
        )


class PooledGroup(NamedLayers):
    """A convolution that widens, 2×2 max pooling, and one residual sum: (N, C, H, W) -> (N, O, H // 2, W // 2).

    All but one convolution see a quarter of the places, and no projection is needed: the cheap way down of networks
    made for speed (Page 2018, "How to train your ResNet"; Jordan 2024, section 3.1).
    """

    def __init__(self, in_channels: int, out_channels: int, skip: bool = True) -> None:
        down = named(
            conv=_from_identity(in_channels, out_channels), pool=MaxPool2D(2), norm=_norm(out_channels), relu=nn.ReLU()
        )
        branch = nn.Sequential(named(conv=_from_identity(out_channels, out_channels), norm=_norm(out_channels)))
        super().__init__(
            named(down=nn.Sequential(down), **{"sum": Residual(branch)} if skip else {"branch": branch}, relu=nn.ReLU())
        )


class TinyResNet(ImageClassifier):
    """A 3×3 stem, two residual groups, global pooling and a linear head.

    By default as in the textbook: two blocks a group, the second group halves the picture and doubles the channels,
    and the mean over all places goes to the head. Any size of picture works of which the pooling leaves something.

    Args:
        base_channels: channels of the stem.
        widen1, widen2: channels of the groups, in multiples of those.
        stem: ``"plain"``, or ``"whitening"``: a fixed `Whitening` layer and a ReLU before the 3×3 convolution.
        stem_pool: max pooling after the stem by this factor; 1 is none, as in the paper for CIFAR-10. With 2 the groups
            see a quarter of the places, so that twice the channels cost the same.
        groups: ``"blocks"``, two `ResidualBlock`s each, or ``"pooled"``, a `PooledGroup` each; then the stem too pools
            before it normalises and starts near the identity, and the head starts at zero.
        head_pool: over all places, the ``"mean"`` or the ``"max"``.
        skip: False removes every shortcut.
    """

    def __init__(
        self,
        in_shape: Shape,
        num_classes: int,
        base_channels: int = 32,
        widen1: int = 1,
        widen2: int = 2,
        stem: Literal["plain", "whitening"] = "plain",
        stem_pool: int = 1,
        groups: Literal["blocks", "pooled"] = "blocks",
        head_pool: Literal["mean", "max"] = "mean",
        skip: bool = True,
    ) -> None:
        smallest = stem_pool * (4 if groups == "pooled" else 1) + (stem == "whitening")
        in_shape = check_shape("TinyResNet", in_shape, num_classes, smallest)
        first = _stem(in_shape[0], base_channels, stem, stem_pool, fast=groups == "pooled")
        wide1, wide2 = widen1 * base_channels, widen2 * base_channels
        if groups == "pooled":
            group1: nn.Module = PooledGroup(base_channels, wide1, skip)
            group2: nn.Module = PooledGroup(wide1, wide2, skip)
        else:
            group1 = nn.Sequential(
                ResidualBlock(base_channels, wide1, skip=skip), ResidualBlock(wide1, wide1, skip=skip)
            )
            group2 = nn.Sequential(ResidualBlock(wide1, wide2, 2, skip), ResidualBlock(wide2, wide2, skip=skip))
        layers = named(
            stem=first,
            group1=group1,
            group2=group2,
            pool=nn.AdaptiveMaxPool2d(1) if head_pool == "max" else nn.AdaptiveAvgPool2d(1),
            flatten=Flatten(),
            head=nn.Linear(wide2, num_classes),
        )
        super().__init__(in_shape, num_classes, layers)
        if groups == "pooled":  # a random head only sends the first, longest steps of a short training astray
            for parameter in layers["head"].parameters():
                nn.init.zeros_(parameter)


def _from_identity(in_channels: int, out_channels: int) -> Conv2D:
    """A 3×3 convolution whose first kernels pass their input on, one channel each, so that a short training need not
    learn how to (Zagoruyko & Komodakis 2017, "DiracNets"; Jordan 2024, section 3.3)."""
    conv = Conv2D(in_channels, out_channels, 3, padding=1, bias=False)
    nn.init.dirac_(conv.weight.data[:in_channels])
    return conv


def _norm(channels: int) -> nn.BatchNorm2d:
    """BatchNorm with a learned offset but no learned scale, which the next kernels' fixed norm leaves little use; its
    running statistics follow within a few steps, as those of a short training must."""
    norm = nn.BatchNorm2d(channels, momentum=0.4)
    norm.weight.requires_grad_(False)
    return norm


def _stem(in_channels: int, out_channels: int, kind: str, pool: int, fast: bool) -> nn.Sequential:
    """The first layers: (N, C, H, W) -> (N, O, H // P, W // P), a row and a column less behind `Whitening`."""
    layers = named()
    if kind == "whitening":
        layers["whitening"] = whitening = Whitening(in_channels)
        layers["relu0"] = nn.ReLU()
        in_channels = whitening.out_channels
    pooling = named(pool=MaxPool2D(pool)) if pool > 1 else named()
    if fast:
        layers["conv"] = _from_identity(in_channels, out_channels)
        return nn.Sequential(layers | pooling | named(norm=_norm(out_channels), relu=nn.ReLU()))
    layers["conv"] = Conv2D(in_channels, out_channels, 3, padding=1, bias=False)
    return nn.Sequential(layers | named(norm=nn.BatchNorm2d(out_channels), relu=nn.ReLU()) | pooling)
