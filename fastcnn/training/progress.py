"""Progress of the current epoch."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from fastcnn.training.batch_result import BatchResult
from fastcnn.training.history import Epoch, number
from fastcnn.training.tasks import Task


@dataclass
class Progress:
    """Running sums of the current epoch.

    Attributes
    ----------
    task : Task
    epoch : int
        Number of the epoch, from 1.
    lr : float
        Learning rate of the first batch.
    batches, images : int
        Number trained so far.
    weight : float
        Denominator of the mean loss; see `BatchResult`.
    loss : float
        Numerator of the mean loss.
    sums : dict of str to float or ndarray
        Sums of the task's counts.
    seconds : float
    """

    task: Task
    epoch: int
    lr: float
    batches: int = 0
    images: int = 0
    weight: float = 0.0
    loss: float = 0.0
    sums: dict = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, batch: BatchResult, seconds: float) -> None:
        """Add a batch; ``seconds`` is the epoch's time so far."""
        self.batches += 1
        self.images += batch.images
        self.weight += batch.weight
        self.loss += batch.loss * batch.weight
        self.sums = self.task.added(self.sums, batch.sums)
        self.seconds = seconds

    def numbers(self) -> dict[str, float]:
        """Training loss and metrics, by name."""
        return self.task.numbers_of(self.loss / self.weight, self.sums)

    def record(self, evaluation=None) -> Epoch:
        """Return the record of the finished epoch, with validation metrics if there was an evaluation."""
        validation = {} if evaluation is None else self.task.numbers(evaluation)
        return Epoch(
            epoch=self.epoch,
            batches=self.batches,
            seconds=self.seconds,
            metrics=Epoch.named(self.numbers(), validation),
            lr=self.lr,
            images_per_second=self.images / self.seconds,
            kinds=self.task.kinds,
        )

    def state_dict(self) -> dict:
        """Return everything except the task."""
        return {column.name: getattr(self, column.name) for column in fields(self)[1:]}

    @classmethod
    def from_state(cls, task: Task, state: Mapping) -> "Progress":
        """Build it from what `state_dict` returned; raise a ValueError if that is invalid."""
        kinds: dict[str, Any] = {column.name: column.type for column in fields(cls)[1:]}
        if not isinstance(state, dict) or state.keys() != kinds.keys() or not isinstance(state["sums"], dict):
            raise ValueError(f"Progress must have {', '.join(kinds)} and nothing else, not {state!r:.100}.")
        plain = {name: number(name, value, kinds[name]) for name, value in state.items() if name != "sums"}
        return cls(task, **plain, sums=dict(state["sums"]))

    def __str__(self) -> str:
        return f"{self.images / self.seconds:,.0f} images/s, {self.task.shown(self.numbers())}"
