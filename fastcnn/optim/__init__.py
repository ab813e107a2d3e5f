"""Optimizers and learning-rate schedules, with PyTorch's words and rules."""

from fastcnn.optim.adam import Adam, AdamW
from fastcnn.optim.averaging import ExponentialMovingAverage
from fastcnn.optim.clipping import clip_grad_norm, clip_grad_value
from fastcnn.optim.optimizer import Optimizer
from fastcnn.optim.rmsprop import RMSprop
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
from fastcnn.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "CosineAnnealingLR",
    "ExponentialLR",
    "ExponentialMovingAverage",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "Optimizer",
    "RMSprop",
    "ReduceLROnPlateau",
    "Schedule",
    "SequentialLR",
    "StepLR",
    "clip_grad_norm",
    "clip_grad_value",
]
