"""Tasks that models are trained for: classification, segmentation, multi-label classification and regression."""

from fastcnn.training.tasks.classification import Classification
from fastcnn.training.tasks.evaluation import Evaluation
from fastcnn.training.tasks.multi_label import MultiLabel, MultiLabelScores
from fastcnn.training.tasks.regression import Regression
from fastcnn.training.tasks.scores import Scores
from fastcnn.training.tasks.segmentation import Segmentation, SegmentationScores
from fastcnn.training.tasks.task import Task

__all__ = [
    "Classification",
    "Evaluation",
    "MultiLabel",
    "MultiLabelScores",
    "Regression",
    "Scores",
    "Segmentation",
    "SegmentationScores",
    "Task",
]
