"""What a trainer leaves to its strategy: all that differs where several processes train together."""

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
    """How a `Trainer` trains: in one process. A subclass does it in several, as `fastcnn.distributed.DataParallel`.

    Attributes
    ----------
    rank : int
        The number of this process among those that train together, from 0.
    """

    rank = 0

    @property
    def is_main_process(self) -> bool:
        """Whether this is the process that prints and writes."""
        return self.rank == 0

    def callbacks(self, callbacks: list[Callback]) -> list[Callback]:
        """Those that this process calls, of a trainer's callbacks and of the strategy's own."""
        return callbacks

    def fitting(self, trainer) -> AbstractContextManager:
        """What holds while `Trainer.fit` runs."""
        return nullcontext()

    def broadcast(self, thing):
        """What the main process has."""
        return thing

    def batches(self, loader: Iterable, model: Module) -> Iterable:
        """What this process trains on."""
        return loader

    def smallest_batch(self, loader: DataLoader, model: Module) -> int:
        """How many images a batch normalization takes statistics over, at least; 0 where there is no batch."""
        return loader.smallest()

    def evaluated(self, N: int) -> int:
        """How many of N images this process evaluates."""
        return N

    def forward(self, model: Module, loss, images, labels: np.ndarray, task: Task) -> BatchResult:
        """Show a batch to the model and its loss."""
        return task.batch(model(images), labels, loss) if len(labels) else BatchResult()

    def backward(self, model: Module, loss) -> None:
        """Let the parameters have their gradients of the loss that `forward` found."""
        model.backward(loss.backward(), input_grad=False)

    def explain(self, model: Module, images) -> str:
        """Why the loss of a batch is not finite."""
        return explain(model, images)

    def evaluate(self, model: Module, data: Any, loss: Callable, task: Task) -> Any:
        """The evaluation of a pair of arrays or of batches; see `fastcnn.training.evaluate`."""
        return evaluate(model, data, loss=loss, task=task)


def strategy_of(distributed) -> Strategy:
    """The strategy that the argument `distributed` of a `Trainer` means."""
    if distributed is None:
        return Strategy()
    return distributed if isinstance(distributed, Strategy) else _strategies.from_communicator(distributed)
