"""Layers and losses with PyTorch's names. They take and return NumPy arrays, and each has an explicit ``backward``."""

from typing import TYPE_CHECKING

from fastcnn import _absent
from fastcnn.nn import init
from fastcnn.nn.activations import *
from fastcnn.nn.attribution import grad_cam, saliency
from fastcnn.nn.branches import *
from fastcnn.nn.calls import last_call
from fastcnn.nn.class_losses import *
from fastcnn.nn.containers import Sequential
from fastcnn.nn.conv import *
from fastcnn.nn.dropout import *
from fastcnn.nn.element_losses import *
from fastcnn.nn.group_norm import *
from fastcnn.nn.inference import Inference
from fastcnn.nn.linear import *
from fastcnn.nn.lists import ModuleDict, ModuleList
from fastcnn.nn.losses import _Loss
from fastcnn.nn.module import Module
from fastcnn.nn.normalization import *
from fastcnn.nn.padding import *
from fastcnn.nn.parameter import Buffer, Parameter
from fastcnn.nn.pooling import *
from fastcnn.nn.prelu import *
from fastcnn.nn.recording import unrecorded
from fastcnn.nn.reshaping import *
from fastcnn.nn.residual import *
from fastcnn.nn.separable import *
from fastcnn.nn.summaries import Summary, summarize
from fastcnn.nn.tracing import Step, trace
from fastcnn.nn.upsampling import *

_HOLDERS = ModuleList, ModuleDict  # they compute nothing
LAYERS = {
    name: kind
    for name, kind in globals().items()
    if isinstance(kind, type) and Module in kind.__mro__[1:] and kind not in _HOLDERS
}
"""The classes of all layers, by name."""

LOSSES = {name: kind for name, kind in globals().items() if isinstance(kind, type) and _Loss in kind.__mro__[1:]}
"""The classes of all losses, by name."""

__all__ = [
    "Buffer", "Inference", "Module", "ModuleDict", "ModuleList", "Parameter", "Sequential", "Step", "Summary",
    "grad_cam", "init", "last_call", "saliency", "summarize", "trace", "unrecorded",
]  # fmt: skip
__all__ += sorted((LAYERS | LOSSES).keys() - __all__)


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:  # otherwise type checkers would accept every name
    __getattr__ = _absent.say(__name__)
