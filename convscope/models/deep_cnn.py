"""DeepCNN: a VGG-style stack of equal blocks; (N, C, H, W) pictures in, logits out."""

from torch import nn

from convscope.layers import Conv2D, Flatten, MaxPool2D
from convscope.models.base import ImageClassifier, NamedLayers, Shape, check_shape, flat_size, named


class CNNBlock(NamedLayers):
    """Conv → BatchNorm → ReLU → Pool: (N, in_channels, H, W) -> (N, out_channels, H // 2, W // 2).

    The convolution has no bias: BatchNorm would subtract it again.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            named(
                conv=Conv2D(in_channels, out_channels, 3, padding=1, bias=False),
                norm=nn.BatchNorm2d(out_channels),
                relu=nn.ReLU(),
                pool=MaxPool2D(2),
            )
        )


class DeepCNN(ImageClassifier):
    """`num_blocks` blocks, the channels doubling from each to the next, then two linear layers.

    Each block halves the picture, so it needs at least 2^num_blocks pixels a side.

    Args:
        num_blocks: how many CNNBlocks.
        initial_channels: kernels of the first block.
        hidden: width of the linear layer between.
        dropout: share of the hidden units dropped in training (Srivastava et al. 2014).
    """

    def __init__(
        self,
        in_shape: Shape,
        num_classes: int,
        num_blocks: int = 3,
        initial_channels: int = 32,
        hidden: int = 128,
        dropout: float = 0.3,
    ) -> None:
        in_shape = check_shape("DeepCNN", in_shape, num_classes, smallest=2 ** min(num_blocks, 30))
        channels = [in_shape[0], *(initial_channels * 2**i for i in range(num_blocks))]
        features = named(
            blocks=nn.Sequential(*map(CNNBlock, channels[:-1], channels[1:])),
            flatten=Flatten(),
        )
        head = named(
            linear1=nn.Linear(flat_size(nn.Sequential(features), in_shape), hidden),
            relu=nn.ReLU(),
            dropout=nn.Dropout(dropout),
            linear2=nn.Linear(hidden, num_classes),
        )
        super().__init__(in_shape, num_classes, features | head)
