"""TinyResNet (after He et al. 2016): two groups of residual blocks; (N, C, H, W) pictures in, logits out."""

from torch import nn

from convscope.layers import Conv2D, Flatten, MaxPool2D, Residual
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


class TinyResNet(ImageClassifier):
    """A 3×3 stem, two groups of two residual blocks, global average pooling and a linear head.

    The second group halves the picture and doubles the channels. Any size of picture works of
    which the stem's pooling leaves something.

    Args:
        base_channels: channels of the stem and of the first group.
        stem_pool: max pooling after the stem by this factor; 1 is none, as in the paper for CIFAR-10. With 2 the groups
            see a quarter of the places, so that twice the channels cost the same.
        skip: False removes every shortcut.
    """

    def __init__(
        self, in_shape: Shape, num_classes: int, base_channels: int = 32, stem_pool: int = 1, skip: bool = True
    ) -> None:
        in_shape = check_shape("TinyResNet", in_shape, num_classes, smallest=stem_pool)
        stem = named(
            conv=Conv2D(in_shape[0], base_channels, 3, padding=1, bias=False),
            norm=nn.BatchNorm2d(base_channels),
            relu=nn.ReLU(),
        )
        if stem_pool > 1:
            stem["pool"] = MaxPool2D(stem_pool)
        layers = named(
            stem=nn.Sequential(stem),
            group1=nn.Sequential(
                ResidualBlock(base_channels, base_channels, skip=skip),
                ResidualBlock(base_channels, base_channels, skip=skip),
            ),
            group2=nn.Sequential(
                ResidualBlock(base_channels, 2 * base_channels, stride=2, skip=skip),
                ResidualBlock(2 * base_channels, 2 * base_channels, skip=skip),
            ),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=Flatten(),
            head=nn.Linear(2 * base_channels, num_classes),
        )
        super().__init__(in_shape, num_classes, layers)
