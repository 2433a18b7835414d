"""Every layer of a convolutional network in NumPy, forward and backward: arrays in, arrays out."""

from convscope.numpy_nn.activation import GELU, ReLU, Tanh
from convscope.numpy_nn.adam import Adam
from convscope.numpy_nn.batchnorm import BatchNorm2D
from convscope.numpy_nn.conv import Conv2D
from convscope.numpy_nn.dropout import Dropout
from convscope.numpy_nn.im2col import col2im, im2col, output_size
from convscope.numpy_nn.layer import Layer
from convscope.numpy_nn.linear import Flatten, Linear
from convscope.numpy_nn.loss import CrossEntropyLoss
from convscope.numpy_nn.muon import Muon
from convscope.numpy_nn.naive import conv2d_naive
from convscope.numpy_nn.pool import AveragePool2D, GlobalAveragePool2D, GlobalMaxPool2D, MaxPool2D
from convscope.numpy_nn.sequential import Residual, Sequential
from convscope.numpy_nn.sgd import SGD

__all__ = [
    "GELU",
    "SGD",
    "Adam",
    "AveragePool2D",
    "BatchNorm2D",
    "Conv2D",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "GlobalAveragePool2D",
    "GlobalMaxPool2D",
    "Layer",
    "Linear",
    "MaxPool2D",
    "Muon",
    "ReLU",
    "Residual",
    "Sequential",
    "Tanh",
    "col2im",
    "conv2d_naive",
    "im2col",
    "output_size",
]
