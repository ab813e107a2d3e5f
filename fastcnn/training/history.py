"""What a training run records."""

import csv
import io
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from fastcnn import _files, _strict_json
from fastcnn._errors import FileError


@dataclass(frozen=True)
class Epoch:
    """Record of one epoch.

    Attributes
    ----------
    epoch : int
        From 1.
    batches : int
    seconds : float
        Time of the training, without the evaluation and without the time that kernels took to compile.
    train_loss, train_accuracy : float
        Means over the epoch's images, each by the model as it was when it saw them; accuracies are from 0 to 1. The
        loss is weighted as the loss function says, and images that it ignores count in neither.
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

    Attributes
    ----------
    epochs : list of Epoch
    step_losses : list of float

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
        """Write everything: ``{"epochs": [{"epoch": 1, ...}, ...], "step_losses": [...]}``.

        A number that is not finite is null: JSON has no other.
        """
        _files.write(path, _strict_json.dumps(asdict(self)).encode())

    @classmethod
    def from_json(cls, path: str | os.PathLike) -> "History":
        """Read what `to_json` wrote; every number is exactly what it was, but that null is NaN.

        Raises
        ------
        OSError
            If the file cannot be read.
        FileError
            If it holds something else.
        """
        with open(path, "rb") as file:
            content = file.read()
        try:
            return cls.from_dict(json.loads(content))
        except (ValueError, OverflowError, RecursionError) as error:  # JSON's and Unicode's are ValueErrors, too
            raise FileError(f"{path} is not a history: {error}") from None

    @classmethod
    def from_dict(cls, record: Mapping) -> "History":
        """The history of which ``record`` is the ``dataclasses.asdict``, checked.

        Raises
        ------
        ValueError
            If it is not that of a history.
        """
        if not isinstance(record, dict) or record.keys() != {"epochs", "step_losses"}:
            raise ValueError("A history has `epochs` and `step_losses` and nothing else.")
        if not all(isinstance(value, list) for value in record.values()):
            raise ValueError("`epochs` and `step_losses` must be lists.")
        epochs = [checked(Epoch, epoch) for epoch in record["epochs"]]
        if [epoch.epoch for epoch in epochs] != list(range(1, len(epochs) + 1)):
            raise ValueError("The epochs must be numbered from 1.")
        return cls(epochs, [_number("step_losses", loss, float) for loss in record["step_losses"]])

    def to_csv(self, path: str | os.PathLike) -> None:
        """Write the epochs, one line each, with the names of the columns in the first."""
        text = io.StringIO()
        writer = csv.DictWriter(text, [column.name for column in fields(Epoch)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(epoch) for epoch in self.epochs)
        _files.write(path, text.getvalue().encode())


def checked(kind: type, record):
    """An object of a dataclass of whole numbers and floats from its fields by name, or a ValueError."""
    types: dict[str, Any] = {column.name: column.type for column in fields(kind)}
    if not isinstance(record, dict) or record.keys() != types.keys():
        raise ValueError(f"{kind.__name__} must have {', '.join(types)} and nothing else, not {record!r:.100}.")
    return kind(**{name: _number(name, value, types[name]) for name, value in record.items()})


def _number(name: str, value, kind: type):
    """``value`` as ``kind``, int or float; a float may be written without its point, or be null, which is NaN."""
    if value is None and kind is float:
        return math.nan
    if type(value) not in ((int, float) if kind is float else (kind,)):
        raise ValueError(f"`{name}` is {value!r:.60} but must be of type {kind.__name__}.")
    return kind(value)
