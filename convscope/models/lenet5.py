"""LeNet-5 (LeCun et al. 1998): tanh and average pooling; (N, C, H, W) pictures in, logits out."""

from torch import nn

from convscope.layers import AveragePool2D, Conv2D, Flatten
from convscope.models.base import ImageClassifier, Shape, check_shape, flat_size, named


class LeNet5(ImageClassifier):
    """Two convolutions, two average poolings, three linear layers.

    The first convolution pads by 2, which makes a 28×28 digit what the paper's 32×32 one was: 61,706 parameters
    for one channel and ten classes. Other sizes change only the first linear layer. Needs at least 12×12.
    """

    def __init__(self, in_shape: Shape, num_classes: int) -> None:
        in_shape = check_shape("LeNet5", in_shape, num_classes, smallest=12)
        features = named(
            conv1=Conv2D(in_shape[0], 6, 5, padding=2),
            tanh1=nn.Tanh(),
            pool1=AveragePool2D(2),
            conv2=Conv2D(6, 16, 5),
            tanh2=nn.Tanh(),
            pool2=AveragePool2D(2),
            flatten=Flatten(),
        )
        flat = flat_size(nn.Sequential(features), in_shape)  # 16 * 5 * 5 for 28×28
        head = named(
            linear1=nn.Linear(flat, 120),
            tanh3=nn.Tanh(),
            linear2=nn.Linear(120, 84),
            tanh4=nn.Tanh(),
            linear3=nn.Linear(84, num_classes),
        )
        super().__init__(in_shape, num_classes, features | head)
