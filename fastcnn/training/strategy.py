"""Strategies: the parts of training that differ when several processes train together."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from fastcnn import _strategies
from fastcnn.data import DataLoader
from fastcnn.nn import Module
from fastcnn.training.batch_result import BatchResult
from fastcnn.training.callbacks import Callback
from fastcnn.training.diagnosis import explain
from fastcnn.training.evaluation import evaluate
from fastcnn.training.tasks import Task


class Strategy:
    """How a `Trainer` trains: here in one process; in a subclass such as `fastcnn.distributed.DataParallel` in several.

    Attributes
    ----------
    rank : int
        Rank of this process, from 0.
    """

    rank = 0

    @property
    def is_main_process(self) -> bool:
        """Whether this process prints and writes files."""
        return self.rank == 0

    def callbacks(self, callbacks: list[Callback]) -> list[Callback]:
        """Return the callbacks that this process calls: the trainer's, and the strategy's own."""
        return callbacks

    def fitting(self, trainer) -> AbstractContextManager:
        """Return a context manager that is active while `Trainer.fit` runs."""
        return nullcontext()

    def broadcast(self, thing):
        """Return the main process's object."""
        return thing

    def batches(self, loader: Iterable, model: Module) -> Iterable:
        """Return the batches that this process trains on."""
        return loader

    def smallest_batch(self, loader: DataLoader, model: Module) -> int:
        """Smallest number of images that a batch normalization trains on; 0 if there is no batch."""
        return loader.smallest()

    def evaluated(self, N: int) -> int:
        """Number of images, out of N, that this process evaluates."""
        return N

    def forward(self, model: Module, loss, images, labels: np.ndarray, task: Task) -> BatchResult:
        """Run the model and the loss on a batch."""
        return task.batch(model(images), labels, loss) if len(labels) else BatchResult()

    def backward(self, model: Module, loss) -> None:
        """Compute the parameters' gradients of the loss from `forward`."""
        model.backward(loss.backward(), input_grad=False)

    def explain(self, model: Module, images) -> str:
        """Explain why the loss of a batch is not finite."""
        return explain(model, images)

    def evaluate(self, model: Module, data: Any, loss: Callable, task: Task) -> Any:
        """Evaluate on a pair of arrays or on batches; see `fastcnn.training.evaluate`."""
        return evaluate(model, data, loss=loss, task=task)


def strategy_of(distributed) -> Strategy:
    """Return the strategy for the argument `distributed` of a `Trainer`."""
    if distributed is None:
        return Strategy()
    return distributed if isinstance(distributed, Strategy) else _strategies.from_communicator(distributed)
