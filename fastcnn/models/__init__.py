"""Networks from the literature, each written as one annotated list of layers."""

from fastcnn.models.lenet5 import LeNet5, LeNet5Classic
from fastcnn.models.mlp import MLP
from fastcnn.models.mobilenet import SmallMobileNet
from fastcnn.models.registry import NAMES, build
from fastcnn.models.resnet import ResNet20, residual_block
from fastcnn.models.signals import SignalNet
from fastcnn.models.small import Conv4Conv8, Conv8
from fastcnn.models.unet import UNet
from fastcnn.models.vgg import VGG7

__all__ = [
    "MLP",
    "NAMES",
    "VGG7",
    "Conv4Conv8",
    "Conv8",
    "LeNet5",
    "LeNet5Classic",
    "ResNet20",
    "SignalNet",
    "SmallMobileNet",
    "UNet",
    "build",
    "residual_block",
]
