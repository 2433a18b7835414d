"""TinyResNet (after He et al. 2016): two groups of residual blocks; (N, C, H, W) pictures in, logits out."""

from typing import Literal

from torch import nn

from convscope.errors import UsageError
from convscope.layers import Conv2D, Flatten, MaxPool2D, Residual, Whitening
from convscope.models.base import ImageClassifier, NamedLayers, Shape, check_shape, named

Activation = Literal["relu", "gelu"]
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU}


class ResidualBlock(NamedLayers):
    """Two 3×3 convolutions whose sum with the input passes a ReLU: (N, C, H, W) -> (N, O, ceil(H/S), ceil(W/S)).

    The shortcut is the identity where the shapes allow it, a 1×1 projection where channels or size change
    (option B of the paper). ``skip=False`` leaves the shortcut out, to see what it is good for.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, activation: Activation = "relu", skip: bool = True
    ) -> None:
        act = ACTIVATIONS[activation]
        branch = nn.Sequential(
            named(
                conv1=Conv2D(in_channels, out_channels, 3, stride, padding=1, bias=False),
                norm1=nn.BatchNorm2d(out_channels),
                **{f"{activation}1": act()},
                conv2=Conv2D(out_channels, out_channels, 3, padding=1, bias=False),
                norm2=nn.BatchNorm2d(out_channels),
            )
        )
        projection = None
        if skip and (stride != 1 or in_channels != out_channels):
            projection = nn.Sequential(
                named(
                    conv=Conv2D(in_channels, out_channels, 1, stride, bias=False),
                    norm=nn.BatchNorm2d(out_channels),
                )
            )
        super().__init__(
            named(**{"sum": Residual(branch, projection)} if skip else {"branch": branch}, **{activation: act()})
        )


class PooledGroup(NamedLayers):
    """A convolution that widens, 2×2 max pooling, and one residual sum: (N, C, H, W) -> (N, O, H // 2, W // 2).

    All but one convolution see a quarter of the places, and no projection is needed: the cheap way down of networks
    made for speed (Page 2018, "How to train your ResNet"; Jordan 2024, section 3.1). BatchNorm comes after the sum, not
    before: without a learned scale the branch could not outgrow the shortcut otherwise.
    """

    def __init__(self, in_channels: int, out_channels: int, activation: Activation = "relu", skip: bool = True) -> None:
        conv = _from_identity(out_channels, out_channels)
        super().__init__(
            named(
                down=_down(in_channels, out_channels, 2, activation),
                **{"sum": Residual(nn.Sequential(named(conv=conv)))} if skip else {"conv": conv},
                norm=_norm(out_channels),
                **{activation: ACTIVATIONS[activation]()},
            )
        )


class TinyResNet(ImageClassifier):
    """A 3×3 stem, two residual groups, global pooling and a linear head.

    By default as in the textbook: two blocks a group, the second group halves the picture and doubles the channels,
    and the mean over all places goes to the head. Any size of picture works of which the pooling leaves something.

    Args:
        base_channels: channels of the stem.
        widen1, widen2: channels of the groups, in multiples of those.
        stem: ``"plain"``, or ``"whitening"``: a fixed `Whitening` layer and an activation before the 3×3 convolution.
        stem_convs: 3×3 convolutions in the stem, those after the first behind its pooling; for ``groups="pooled"``.
        stem_pool: max pooling after the stem by this factor; 1 is none, as in the paper for CIFAR-10. With 2 the groups
            see a quarter of the places, so that twice the channels cost the same.
        groups: ``"blocks"``, two `ResidualBlock`s each, or ``"pooled"``, a `PooledGroup` each; then the stem too pools
            before it normalises, kernels start near the identity, the head near zero and without a bias.
        head_pool: over all places, the ``"mean"`` or the ``"max"``.
        activation: ``"relu"``, or ``"gelu"`` (Hendrycks & Gimpel 2016), which is smooth.
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
        stem_convs: int = 1,
        stem_pool: int = 1,
        groups: Literal["blocks", "pooled"] = "blocks",
        head_pool: Literal["mean", "max"] = "mean",
        activation: Activation = "relu",
        skip: bool = True,
    ) -> None:
        smallest = stem_pool * (4 if groups == "pooled" else 1) + (stem == "whitening")
        in_shape = check_shape("TinyResNet", in_shape, num_classes, smallest)
        fast = groups == "pooled"
        if stem_convs > 1 and not fast:
            raise UsageError('TinyResNet takes stem_convs only with groups="pooled"')
        first = _stem(in_shape[0], base_channels, stem == "whitening", stem_convs if fast else 0, stem_pool, activation)
        wide1, wide2 = widen1 * base_channels, widen2 * base_channels
        if fast:
            group1: nn.Module = PooledGroup(base_channels, wide1, activation, skip)
            group2: nn.Module = PooledGroup(wide1, wide2, activation, skip)
        else:
            group1, group2 = (
                nn.Sequential(
                    ResidualBlock(inside, outside, stride, activation, skip),
                    ResidualBlock(outside, outside, 1, activation, skip),
                )
                for inside, outside, stride in ((base_channels, wide1, 1), (wide1, wide2, 2))
            )
        layers = named(
            stem=first,
            group1=group1,
            group2=group2,
            pool=nn.AdaptiveMaxPool2d(1) if head_pool == "max" else nn.AdaptiveAvgPool2d(1),
            flatten=Flatten(),
            head=nn.Linear(wide2, num_classes, bias=not fast),
        )
        super().__init__(in_shape, num_classes, layers)
        if fast:  # a large random head only sends the first, longest steps of a short training astray
            nn.init.normal_(layers["head"].get_parameter("weight"), std=1 / wide2)


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


def _down(in_channels: int, out_channels: int, pool: int, activation: str) -> nn.Sequential:
    """Convolution, pooling, BatchNorm and activation: (N, C, H, W) -> (N, O, H // P, W // P)."""
    pooling = named(pool=MaxPool2D(pool)) if pool > 1 else named()
    rest = named(norm=_norm(out_channels), **{activation: ACTIVATIONS[activation]()})
    return nn.Sequential(named(conv=_from_identity(in_channels, out_channels)) | pooling | rest)


def _stem(
    in_channels: int, out_channels: int, whitening: bool, fast_convs: int, pool: int, activation: str
) -> nn.Sequential:
    """The first layers: (N, C, H, W) -> (N, O, H // P, W // P), a row and a column less behind `Whitening`.

    With `fast_convs` so many convolutions as in a `PooledGroup`, otherwise one as in the textbook.
    """
    act = ACTIVATIONS[activation]
    layers = named()
    if whitening:
        layers["whitening"] = first = Whitening(in_channels)
        layers["whitened"] = act()
        in_channels = first.out_channels
    if fast_convs:
        layers |= _down(in_channels, out_channels, pool, activation).named_children()
        for number in range(2, fast_convs + 1):
            further = _down(out_channels, out_channels, 1, activation)
            layers |= {f"{name}{number}": layer for name, layer in further.named_children()}
    else:
        layers["conv"] = Conv2D(in_channels, out_channels, 3, padding=1, bias=False)
        layers |= {"norm": nn.BatchNorm2d(out_channels), activation: act()}
        layers |= {"pool": MaxPool2D(pool)} if pool > 1 else {}
    return nn.Sequential(layers)
