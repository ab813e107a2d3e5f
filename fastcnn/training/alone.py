"""What a trainer asks of the others where there are none; see `fastcnn.training.together`."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from fastcnn.nn import Module
from fastcnn.training.batch_result import BatchResult
from fastcnn.training.diagnosis import explain
from fastcnn.training.evaluation import Evaluation, evaluate


class Alone:
    """One process that trains."""

    rank, size = 0, 1
    callbacks = ()  # that belong to it

    @contextmanager
    def fitting(self, trainer) -> Iterator[None]:
        """Around all that they do together."""
        yield

    def broadcast(self, thing):
        """What rank 0 has."""
        return thing

    def batches(self, loader: Iterable, model: Module) -> Iterable:
        """The part of each batch that is for this rank."""
        return loader

    def whole(self, part: BatchResult) -> BatchResult:
        """The whole batch, from this rank's part."""
        return part

    def explain(self, model: Module, images: np.ndarray, loss: float) -> str:
        """Why the loss of a batch is not finite, this rank's part of which has this loss."""
        return explain(model, images)

    def evaluate(self, model: Module, images: np.ndarray, labels: np.ndarray, loss: Callable) -> Evaluation:
        """See `fastcnn.training.evaluate`."""
        return evaluate(model, images, labels, loss=loss)
