"""Learning-rate schedules. A schedule changes settings of its optimizer, but none of its buffers."""

from fastcnn.optim.schedules.cosine import CosineAnnealingLR
from fastcnn.optim.schedules.one_cycle import OneCycleLR
from fastcnn.optim.schedules.plateau import ReduceLROnPlateau
from fastcnn.optim.schedules.powers import ExponentialLR, MultiStepLR, StepLR
from fastcnn.optim.schedules.schedule import Schedule
from fastcnn.optim.schedules.warmup import LinearLR, SequentialLR

__all__ = [
    "CosineAnnealingLR",
    "ExponentialLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "ReduceLROnPlateau",
    "Schedule",
    "SequentialLR",
    "StepLR",
]
