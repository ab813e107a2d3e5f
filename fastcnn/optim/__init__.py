"""Optimizers and learning-rate schedules with PyTorch's names and update rules."""

from typing import TYPE_CHECKING

from fastcnn import _absent
from fastcnn.optim.adam import *
from fastcnn.optim.averaging import ExponentialMovingAverage
from fastcnn.optim.clipping import clip_grad_norm, clip_grad_value
from fastcnn.optim.muon import *
from fastcnn.optim.optimizer import Optimizer
from fastcnn.optim.rmsprop import *
from fastcnn.optim.schedules import (
    CosineAnnealingLR,
    ExponentialLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    Schedule,
    SequentialLR,
    StepLR,
)
from fastcnn.optim.sgd import *

__all__ = [
    "CosineAnnealingLR", "ExponentialLR", "ExponentialMovingAverage", "LinearLR", "MultiStepLR", "OneCycleLR",
    "Optimizer", "ReduceLROnPlateau", "Schedule", "SequentialLR", "StepLR", "clip_grad_norm", "clip_grad_value",
]  # fmt: skip
__all__ += sorted(n for n, kind in globals().items() if isinstance(kind, type) and Optimizer in kind.__mro__[1:])


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:  # otherwise type checkers would accept every name
    __getattr__ = _absent.say(__name__)
