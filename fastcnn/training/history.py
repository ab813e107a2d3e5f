"""What a training run records."""

import csv
import json
import os
from dataclasses import asdict, dataclass, field, fields


@dataclass(frozen=True)
class Epoch:
    """Record of one epoch.

    Attributes
    ----------
    epoch : int
        From 1.
    batches : int
    seconds : float
        Time of the training, without the evaluation.
    train_loss, train_accuracy : float
        Means over the epoch's images, each by the model as it was when it saw them; accuracies are from 0 to 1.
    test_loss, test_accuracy : float
        Of the model after the epoch.
    lr : float
        Learning rate of the first batch.
    images_per_second : float
    """

    epoch: int
    batches: int
    seconds: float
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    lr: float
    images_per_second: float

    def __str__(self) -> str:
        return (
            f"epoch {self.epoch}: {self.seconds:.2f} s, {self.images_per_second:,.0f} images/s, "
            f"loss {self.train_loss:.4f}, accuracy {self.train_accuracy:.2%}, "
            f"test loss {self.test_loss:.4f}, test accuracy {self.test_accuracy:.2%}"
        )


@dataclass
class History:
    """Record of a run: its finished epochs, and the training loss of every batch.

    Examples
    --------
    >>> from fastcnn.training import Epoch, History
    >>> history = History()
    >>> history.epochs.append(Epoch(1, 469, 0.5, 0.3, 0.91, 0.1, 0.97, 0.006, 120000.0))
    >>> print(history.epochs[0])
    epoch 1: 0.50 s, 120,000 images/s, loss 0.3000, accuracy 91.00%, test loss 0.1000, test accuracy 97.00%
    """

    epochs: list[Epoch] = field(default_factory=list)
    step_losses: list[float] = field(default_factory=list)

    def to_json(self, path: str | os.PathLike) -> None:
        """Write everything: ``{"epochs": [{"epoch": 1, ...}, ...], "step_losses": [...]}``."""
        with open(path, "w", encoding="utf-8") as file:
            json.dump(asdict(self), file, indent=1)

    def to_csv(self, path: str | os.PathLike) -> None:
        """Write the epochs, one line each, with the names of the columns in the first."""
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [column.name for column in fields(Epoch)], lineterminator="\n")
            writer.writeheader()
            writer.writerows(asdict(epoch) for epoch in self.epochs)
