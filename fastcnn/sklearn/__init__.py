"""Convolutional networks as scikit-learn estimators, for pipelines, grid searches and cross-validation.

scikit-learn is imported when an estimator is first used.
"""

import importlib
from typing import TYPE_CHECKING

from fastcnn import _absent

_FILES = {"CNNClassifier": "classifier", "CNNRegressor": "regressor"}

__all__ = ["CNNClassifier", "CNNRegressor"]

if TYPE_CHECKING:
    from fastcnn.sklearn.classifier import CNNClassifier
    from fastcnn.sklearn.regressor import CNNRegressor
else:

    def __getattr__(name: str):
        if name not in _FILES:
            return _absent.say(__name__)(name)
        try:
            importlib.import_module("sklearn")
        except ImportError as error:
            raise ImportError(f"{name} needs scikit-learn: pip install scikit-learn.") from error
        return getattr(importlib.import_module(f"fastcnn.sklearn.{_FILES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
