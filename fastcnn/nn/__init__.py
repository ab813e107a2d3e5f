"""Layers, in PyTorch's words: plain NumPy arrays in and out, and a ``backward`` beside every ``forward``."""

from fastcnn.nn import init
from fastcnn.nn.activations import ELU, GELU, LeakyReLU, ReLU, ScaledTanh, Sigmoid, SiLU, Softmax, Tanh
from fastcnn.nn.calls import last_call
from fastcnn.nn.containers import Sequential
from fastcnn.nn.conv import Conv2d, ConvTranspose2d
from fastcnn.nn.dropout import Dropout
from fastcnn.nn.inference import Inference
from fastcnn.nn.linear import Linear
from fastcnn.nn.losses import CrossEntropyLoss, MSELoss
from fastcnn.nn.module import Module
from fastcnn.nn.normalization import BatchNorm1d, BatchNorm2d
from fastcnn.nn.parameter import Buffer, Parameter
from fastcnn.nn.pooling import AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, GlobalAvgPool2d, MaxPool2d
from fastcnn.nn.recording import unrecorded
from fastcnn.nn.reshaping import Flatten, Identity
from fastcnn.nn.residual import Residual, ResizeChannels
from fastcnn.nn.separable import DepthwiseSeparableConv2d
from fastcnn.nn.summaries import Summary, summarize
from fastcnn.nn.tracing import Step, trace

__all__ = [
    "ELU",
    "GELU",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Buffer",
    "Conv2d",
    "ConvTranspose2d",
    "CrossEntropyLoss",
    "DepthwiseSeparableConv2d",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2d",
    "Identity",
    "Inference",
    "LeakyReLU",
    "Linear",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "Parameter",
    "ReLU",
    "Residual",
    "ResizeChannels",
    "ScaledTanh",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Step",
    "Summary",
    "Tanh",
    "init",
    "last_call",
    "summarize",
    "trace",
    "unrecorded",
]
