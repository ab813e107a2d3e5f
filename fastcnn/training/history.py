"""Record of a training run."""

import csv
import io
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from html import escape

from fastcnn import _files, _strict_json
from fastcnn._errors import FileError
from fastcnn._names import choices_for
from fastcnn.training.metric import ACCURACY, LOSS, Metric


@dataclass(frozen=True)
class Epoch:
    """Record of one epoch.

    Its metrics are also attributes: ``epoch.validation_loss`` is ``epoch.metrics["validation_loss"]``.

    Attributes
    ----------
    epoch : int
        Number of the epoch, from 1.
    batches : int
    seconds : float
        Training time, without evaluation and without compilation of kernels.
    metrics : dict of str to float
        The loss and the task's metrics. Those named ``train_...`` are over the training images of the epoch, each batch
        measured before its optimizer step. Those named ``validation_...`` are measured after the epoch, and are missing
        without validation data. The loss is weighted as the loss function defines, and targets that it ignores count in
        no metric. Accuracies are from 0 to 1.
    lr : float
        Learning rate of the first batch.
    images_per_second : float
    kinds : tuple of Metric
        Descriptions of the metrics; by default loss and accuracy, those of a classification.
    """

    epoch: int
    batches: int
    seconds: float
    metrics: Mapping[str, float]
    lr: float
    images_per_second: float
    kinds: tuple[Metric, ...] = field(default=(LOSS, ACCURACY), repr=False)

    def __getattr__(self, name: str) -> float:
        metrics = vars(self).get("metrics", {})
        if name in metrics:
            return metrics[name]
        raise AttributeError(f"The record of an epoch has no {name}; its metrics are {choices_for(name, metrics)}.")

    @staticmethod
    def named(train: Mapping[str, float], validation: Mapping[str, float]) -> dict[str, float]:
        """Return the metrics by their names in a record."""
        parts = {"train": train, "validation": validation}
        return {f"{part}_{name}": value for part, values in parts.items() for name, value in values.items()}

    def to_dict(self) -> dict[str, float]:
        """Return the numbers by name, as in files: ``{"epoch": 1, ..., "train_loss": ..., "lr": ...}``."""
        first, last = (("epoch", "batches", "seconds"), ("lr", "images_per_second"))
        return {**{n: getattr(self, n) for n in first}, **self.metrics, **{n: getattr(self, n) for n in last}}

    def __str__(self) -> str:
        shown = [
            f"{label}{kind.shown(self.metrics[part + kind.name])}"
            for part, label in (("train_", ""), ("validation_", "validation "))
            for kind in self.kinds
            if part + kind.name in self.metrics
        ]
        return f"epoch {self.epoch}: {self.seconds:.2f} s, {self.images_per_second:,.0f} images/s, {', '.join(shown)}"


@dataclass(repr=False)
class History:
    """Record of a run: its finished epochs, and the training loss of every batch.

    ``print(history)`` shows a table; so does a notebook cell that ends with ``history``.

    Attributes
    ----------
    epochs : list of Epoch
    step_losses : list of float

    Examples
    --------
    >>> from fastcnn.training import Epoch, History
    >>> history = History()
    >>> metrics = {"train_loss": 0.3, "train_accuracy": 0.91, "validation_loss": 0.1, "validation_accuracy": 0.97}
    >>> history.epochs.append(Epoch(1, 469, 0.5, metrics, 0.006, 120000.0))
    >>> print(history.epochs[0])
    epoch 1: 0.50 s, 120,000 images/s, loss 0.3000, accuracy 91.00%, validation loss 0.1000, validation accuracy 97.00%
    >>> print(history)
    epoch  seconds    loss  accuracy  validation loss  validation accuracy     lr
        1     0.50  0.3000    91.00%           0.1000               97.00%  0.006
    >>> history
    History(epochs=1, batches=0, validation_loss=0.1000, validation_accuracy=0.9700)
    """

    epochs: list[Epoch] = field(default_factory=list)
    step_losses: list[float] = field(default_factory=list)

    @property
    def kinds(self) -> tuple[Metric, ...]:
        """Descriptions of the epochs' metrics; empty if there is no epoch."""
        return self.epochs[-1].kinds if self.epochs else ()

    def best(self, monitor: str) -> Epoch | None:
        """Return the epoch whose weights `BestWeights` keeps.

        Parameters
        ----------
        monitor : str
            A metric of the epochs' records, such as "validation_accuracy" or "train_loss".

        Returns
        -------
        Epoch or None
            Of epochs with equal values, the first one. None if no epoch has a value that is a number.

        Raises
        ------
        ValueError
            If there are epochs, and their records have no such metric.

        Examples
        --------
        >>> from fastcnn.training import Epoch, History
        >>> losses = enumerate([0.5, 0.2, 0.3], start=1)
        >>> history = History([Epoch(i, 1, 1, {"train_loss": x, "train_accuracy": 0.9}, 0.1, 1) for i, x in losses])
        >>> history.best("train_loss").epoch
        2
        """
        if self.epochs and monitor not in (names := self._names()):
            raise ValueError(f"`monitor` is {monitor!r} but must be one of {choices_for(monitor, names, repr)}.")
        best: Epoch | None = None
        for epoch in self.epochs:
            if monitor in epoch.metrics:
                kind = next(kind for kind in epoch.kinds if kind.name == monitor.partition("_")[2])
                if kind.improves(epoch.metrics[monitor], best.metrics[monitor] if best else None):
                    best = epoch
        return best

    def to_dict(self) -> dict:
        """Return a dict for JSON: ``{"metrics": [...], "epochs": [{"epoch": 1, ...}, ...], "step_losses": [...]}``."""
        return {
            "metrics": [asdict(kind) for kind in self.kinds],
            "epochs": [epoch.to_dict() for epoch in self.epochs],
            "step_losses": list(self.step_losses),
        }

    def to_json(self, path: str | os.PathLike) -> None:
        """Write everything as JSON; see `to_dict`.

        Numbers that are not finite are written as null, because JSON has no NaN and no infinity.
        """
        _files.write(path, _strict_json.dumps(self.to_dict()).encode())

    @classmethod
    def from_json(cls, path: str | os.PathLike) -> "History":
        """Read a file that `to_json` wrote; numbers are exact, and null becomes NaN.

        Raises
        ------
        OSError
            If the file cannot be read.
        FileError
            If it is not a history.
        """
        with open(path, "rb") as file:
            content = file.read()
        try:
            return cls.from_dict(json.loads(content))
        except (ValueError, OverflowError, RecursionError) as error:  # errors of JSON and Unicode are ValueErrors
            raise FileError(f"{path} is not a history: {error}") from None

    @classmethod
    def from_dict(cls, record: Mapping) -> "History":
        """Build a history from what `to_dict` returned, and check it.

        Raises
        ------
        ValueError
            If ``record`` is not a history.
        """
        if not isinstance(record, dict) or not {"epochs", "step_losses"} <= record.keys() <= _PARTS:
            raise ValueError("A history must have `epochs`, `step_losses` and `metrics`, and nothing else.")
        if not all(isinstance(value, list) for value in record.values()):
            raise ValueError("`epochs`, `step_losses` and `metrics` must be lists.")
        kinds = tuple(map(_kind, record["metrics"])) if "metrics" in record else (LOSS, ACCURACY)
        epochs = [_epoch(epoch, kinds) for epoch in record["epochs"]]
        if [epoch.epoch for epoch in epochs] != list(range(1, len(epochs) + 1)):
            raise ValueError("The epochs must be numbered from 1.")
        return cls(epochs, [number("step_losses", loss, float) for loss in record["step_losses"]])

    def to_csv(self, path: str | os.PathLike) -> None:
        """Write the epochs as CSV, one row each, below a header with the names of the columns."""
        names = ["epoch", "batches", "seconds", *self._names(), "lr", "images_per_second"]
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(epoch.to_dict() for epoch in self.epochs)
        _files.write(path, text.getvalue().encode())

    def _names(self) -> list[str]:
        """Names of the metrics of all epochs; some epochs may have no validation metrics."""
        names = dict.fromkeys(name for epoch in self.epochs for name in epoch.metrics)
        return sorted(names, key=lambda name: not name.startswith("train_"))

    def _table(self) -> list[list[str]]:
        """Rows of the printed table: the headings, then one row for each epoch."""
        kinds = {f"{part}_{kind.name}": (part, kind) for part in ("train", "validation") for kind in self.kinds}
        shown = {name: kinds[name] for name in self._names() if name in kinds}
        heads = [f"{'validation ' * (part == 'validation')}{kind.label}" for part, kind in shown.values()]
        rows = [["epoch", "seconds", *heads, "lr"]]
        for epoch in self.epochs:
            cells = [
                kind.written(epoch.metrics[name]) if name in epoch.metrics else "-" for name, (_, kind) in shown.items()
            ]
            rows.append([str(epoch.epoch), f"{epoch.seconds:.2f}", *cells, f"{epoch.lr:.4g}"])
        return rows

    def __str__(self) -> str:
        rows = self._table()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(r, widths, strict=True)) for r in rows)

    def _repr_html_(self) -> str:
        head, *rows = self._table()
        lines = [f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>"]
        lines += [f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows]
        return f"<table>{''.join(lines)}</table>"

    def __repr__(self) -> str:
        last = self.epochs[-1].metrics if self.epochs else {}
        part = "validation_" if any(name.startswith("validation_") for name in last) else "train_"
        numbers = "".join(f", {name}={value:.4f}" for name, value in last.items() if name.startswith(part))
        return f"History(epochs={len(self.epochs)}, batches={len(self.step_losses)}{numbers})"


_PARTS = {"metrics", "epochs", "step_losses"}
_PLAIN = {"epoch": int, "batches": int, "seconds": float, "lr": float, "images_per_second": float}
_ONCE = {"test_loss": "validation_loss", "test_accuracy": "validation_accuracy"}  # names in files of earlier versions


def _kind(record) -> Metric:
    """Build a metric of a history, or raise a ValueError."""
    try:
        return Metric(**record)
    except TypeError as error:
        raise ValueError(f"`metrics` holds {record!r:.100}, which is not a metric: {error}") from None


def _epoch(record, kinds: tuple[Metric, ...]) -> Epoch:
    """Build an epoch of a history from its numbers by name, or raise a ValueError."""
    if isinstance(record, dict):
        record = {_ONCE.get(name, name): value for name, value in record.items()}
    train, held_out = ([f"{part}_{kind.name}" for kind in kinds] for part in ("train", "validation"))
    whole = {*_PLAIN, *train}
    if not isinstance(record, dict) or record.keys() not in (whole, whole | set(held_out)):
        names = ", ".join([*_PLAIN, *train])
        raise ValueError(
            f"An epoch must have {names}, optionally {', '.join(held_out)}, and nothing else, not {record!r:.100}."
        )
    plain = {name: number(name, record[name], kind) for name, kind in _PLAIN.items()}
    metrics = {name: number(name, record[name], float) for name in [*train, *held_out] if name in record}
    return Epoch(**plain, metrics=metrics, kinds=kinds)


def number(name: str, value, kind: type):
    """Convert ``value`` to ``kind``, int or float; a float may be given as an int, or as None, which becomes NaN."""
    if value is None and kind is float:
        return math.nan
    if type(value) not in ((int, float) if kind is float else (kind,)):
        raise ValueError(f"`{name}` is {value!r:.60} but must be of type {kind.__name__}.")
    return kind(value)
