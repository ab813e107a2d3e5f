"""Training a classifier: the loop, what it records, evaluation, weights on disk."""

from fastcnn.training.checkpoint import load_weights, save_weights
from fastcnn.training.environment import environment
from fastcnn.training.history import Epoch, History
from fastcnn.training.metrics import evaluate
from fastcnn.training.trainer import Trainer

__all__ = ["Epoch", "History", "Trainer", "environment", "evaluate", "load_weights", "save_weights"]
