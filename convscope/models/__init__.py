"""Four classic convolutional networks, each one readable file; each computes its sizes from `in_shape`."""

from convscope.models.build import build_model
from convscope.models.deep_cnn import CNNBlock, DeepCNN
from convscope.models.lenet5 import LeNet5
from convscope.models.simple_cnn import SimpleCNN
from convscope.models.tiny_resnet import TinyResNet
from convscope.registry import MODELS

__all__ = ["MODELS", "CNNBlock", "DeepCNN", "LeNet5", "SimpleCNN", "TinyResNet", "build_model"]
