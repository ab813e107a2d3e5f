"""The epoch that is being trained."""

from dataclasses import dataclass

from fastcnn.training.batch_result import BatchResult
from fastcnn.training.evaluation import Evaluation
from fastcnn.training.history import Epoch


@dataclass
class Progress:
    """An epoch so far.

    Attributes
    ----------
    epoch : int
        From 1.
    lr : float
        Learning rate of the first batch.
    batches, images, counted, right : int
        Trained on; of the images, those that count; of these, those whose largest logit was that of their label.
    weight : float
        What the mean loss is over: the images that count, but where a loss has weights, their sum.
    loss : float
        Sum over these.
    seconds : float
    """

    epoch: int
    lr: float
    batches: int = 0
    images: int = 0
    counted: int = 0
    right: int = 0
    weight: float = 0.0
    loss: float = 0.0
    seconds: float = 0.0

    def add(self, batch: BatchResult, seconds: float) -> None:
        """Count a batch; ``seconds`` is the time of the epoch up to here."""
        self.batches += 1
        self.images += batch.images
        self.counted += batch.counted
        self.right += batch.right
        self.weight += batch.weight
        self.loss += batch.loss * batch.weight
        self.seconds = seconds

    def record(self, test: Evaluation) -> Epoch:
        """Record of the finished epoch."""
        return Epoch(
            epoch=self.epoch,
            batches=self.batches,
            seconds=self.seconds,
            train_loss=self.loss / self.weight,
            train_accuracy=self.right / self.counted,
            test_loss=test.loss,
            test_accuracy=test.accuracy,
            lr=self.lr,
            images_per_second=self.images / self.seconds,
        )

    def __str__(self) -> str:
        rate = self.images / self.seconds
        return f"{rate:,.0f} images/s, loss {self.loss / self.weight:.4f}, accuracy {self.right / self.counted:.2%}"
