"""Training: the training loop, tasks, callbacks, history, evaluation, checkpoints and saved weights."""

from fastcnn.training.callbacks import BestWeights, Callback, ClipGradients, EarlyStopping, WeightAverage
from fastcnn.training.checkpoint import (
    CheckpointError,
    SavedRun,
    latest_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from fastcnn.training.checkpoint_callback import Checkpoint
from fastcnn.training.environment import environment
from fastcnn.training.evaluation import evaluate
from fastcnn.training.history import Epoch, History
from fastcnn.training.metric import Metric
from fastcnn.training.strategy import Strategy
from fastcnn.training.tasks import (
    Classification,
    Evaluation,
    MultiLabel,
    MultiLabelScores,
    Regression,
    Scores,
    Segmentation,
    SegmentationScores,
    Task,
)
from fastcnn.training.train_step import TrainStep
from fastcnn.training.trainer import Trainer
from fastcnn.training.weights import load_weights, save_weights

__all__ = [
    "BestWeights",
    "Callback",
    "Checkpoint",
    "CheckpointError",
    "Classification",
    "ClipGradients",
    "EarlyStopping",
    "Epoch",
    "Evaluation",
    "History",
    "Metric",
    "MultiLabel",
    "MultiLabelScores",
    "Regression",
    "SavedRun",
    "Scores",
    "Segmentation",
    "SegmentationScores",
    "Strategy",
    "Task",
    "TrainStep",
    "Trainer",
    "WeightAverage",
    "environment",
    "evaluate",
    "latest_checkpoint",
    "load_checkpoint",
    "load_weights",
    "save_checkpoint",
    "save_weights",
]
