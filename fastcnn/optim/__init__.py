"""Optimizers and learning-rate schedules, with PyTorch's words and rules."""

from fastcnn.optim.adam import Adam
from fastcnn.optim.optimizer import Optimizer
from fastcnn.optim.schedules import OneCycleLR, Schedule, StepLR
from fastcnn.optim.sgd import SGD

__all__ = ["SGD", "Adam", "OneCycleLR", "Optimizer", "Schedule", "StepLR"]
