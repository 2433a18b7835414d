"""SimpleCNN: the network of the first tutorial; (N, C, H, W) pictures in, logits out."""

from torch import nn

from convscope.layers import Conv2D, Flatten, MaxPool2D
from convscope.models.base import ImageClassifier, Shape, check_shape, flat_size, named


class SimpleCNN(ImageClassifier):
    """Two convolutions with ReLU and max pooling, then two linear layers. Needs at least 4×4.

    Args:
        initial_channels: kernels of the first convolution; the second has twice as many.
        hidden: width of the linear layer between.
    """

    def __init__(self, in_shape: Shape, num_classes: int, initial_channels: int = 32, hidden: int = 128) -> None:
        in_shape = check_shape("SimpleCNN", in_shape, num_classes, smallest=4)
        features = named(
            conv1=Conv2D(in_shape[0], initial_channels, 3, padding=1),
            relu1=nn.ReLU(),
            pool1=MaxPool2D(2),
            conv2=Conv2D(initial_channels, 2 * initial_channels, 3, padding=1),
            relu2=nn.ReLU(),
            pool2=MaxPool2D(2),
            flatten=Flatten(),
        )
        head = named(
            linear1=nn.Linear(flat_size(nn.Sequential(features), in_shape), hidden),
            relu3=nn.ReLU(),
            linear2=nn.Linear(hidden, num_classes),
        )
        super().__init__(in_shape, num_classes, features | head)
