"""Evaluation of a classifier."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fastcnn import _validate, functional
from fastcnn.functional.class_losses import checked_index, checked_labels


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """Predictions of a classifier for labelled images, and the metrics computed from them.

    ``print(evaluation)`` shows a table.

    Parameters
    ----------
    loss : float
        Mean loss over the images that count.
    logits : ndarray of shape (N, classes), float32 or float64
        Output of the model.
    labels : ndarray of shape (N,), integers from 0 to classes - 1, or `ignore_index`
        True labels.
    ignore_index : int, default -100
        Images with this label do not count in any metric.

    Attributes
    ----------
    counted : ndarray of shape (N,), bool
        Which images count.
    predictions : ndarray of shape (N,), int64
        Class of the largest logit; the first one if several are equal.
    probabilities : ndarray of shape (N, classes)
        Softmax of the logits.
    accuracy : float
        Fraction of the counted images that are predicted correctly, from 0 to 1.
    confusion : ndarray of shape (classes, classes), int64
        Number of counted images by label (row) and prediction (column).
    precision : ndarray of shape (classes,)
        Fraction of the predictions of a class that are correct; NaN for a class that was never predicted.
    recall : ndarray of shape (classes,)
        Fraction of the images of a class that are predicted correctly; NaN for a class without images.
    f1 : ndarray of shape (classes,)
        Harmonic mean of precision and recall, ``2 * right / (images + predictions)``; NaN for a class with neither
        images nor predictions.

    Raises
    ------
    TypeError, ValueError
        If the logits are not a two-dimensional float array, if there is not one valid label for each row, or if no
        image counts.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.training import Evaluation
    >>> logits = np.array([[2.0, 0.0], [3.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    >>> evaluation = Evaluation(0.5, logits, np.array([0, 0, 1, 1]))
    >>> evaluation.confusion
    array([[2, 0],
           [1, 1]])
    >>> print(evaluation.table(["cat", "dog"]))
    4 images, loss 0.5000, accuracy 75.00%
    class  images  precision   recall       F1
    cat         2     66.67%  100.00%   80.00%
    dog         2    100.00%   50.00%   66.67%
    mean              83.33%   75.00%   73.33%
    """

    loss: float
    logits: np.ndarray
    labels: np.ndarray
    ignore_index: int = -100

    def __post_init__(self):
        logits = _validate.floats("logits", self.logits, ndim=2)
        check_labels(self.labels, len(logits), logits.shape[1], checked_index(self.ignore_index))

    @cached_property
    def counted(self) -> np.ndarray:
        """See the class."""
        return self.labels != self.ignore_index

    @cached_property
    def predictions(self) -> np.ndarray:
        """See the class."""
        return self.logits.argmax(axis=1)

    @cached_property
    def probabilities(self) -> np.ndarray:
        """See the class."""
        return functional.softmax(self.logits)

    @cached_property
    def accuracy(self) -> float:
        """See the class."""
        return float(np.mean((self.predictions == self.labels)[self.counted]))

    @cached_property
    def confusion(self) -> np.ndarray:
        """See the class."""
        classes = self.logits.shape[1]
        pairs = (self.labels.astype(np.int64) * classes + self.predictions)[self.counted]
        return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)

    @property
    def precision(self) -> np.ndarray:
        """See the class."""
        return ratio(self.confusion.diagonal(), self.confusion.sum(axis=0))

    @property
    def recall(self) -> np.ndarray:
        """See the class."""
        return ratio(self.confusion.diagonal(), self.confusion.sum(axis=1))

    @property
    def f1(self) -> np.ndarray:
        """See the class."""
        return ratio(2 * self.confusion.diagonal(), self.confusion.sum(axis=0) + self.confusion.sum(axis=1))

    def top_k(self, k: int = 5) -> float:
        """Fraction of the counted images whose label is among the ``k`` classes with the largest logits.

        If logits are equal, the class that comes first counts as larger.

        Raises
        ------
        TypeError, ValueError
            If `k` is not an integer of at least 1.
        """
        best = np.argsort(-self.logits, axis=1, kind="stable")[:, : _validate.count("k", k)]
        return float(np.mean((best == self.labels[:, None]).any(axis=1)[self.counted]))

    def table(self, class_names: Sequence[str] | None = None) -> str:
        """Format loss, accuracy and, for more than 5 classes, top-5; then a row for each class, and their mean.

        Parameters
        ----------
        class_names : sequence of str, optional
            One name for each class; by default the class numbers.

        Returns
        -------
        str

        Raises
        ------
        ValueError
            If there is not one name for each class.
        """
        classes = self.logits.shape[1]
        names = [str(name) for name in (range(classes) if class_names is None else class_names)]
        if len(names) != classes:
            raise ValueError(f"`class_names` has {len(names)} names but must have one for each of {classes} classes.")
        top = f", top-5 {self.top_k(5):.2%}" if classes > 5 else ""
        columns = self.precision, self.recall, self.f1
        rows: list[tuple] = list(zip(names, self.confusion.sum(axis=1), *columns, strict=True))
        rows.append(("mean", "", *(known_mean(column) for column in columns)))
        width = max(len(name) for name in ["class", "mean", *names])
        lines = [f"{np.count_nonzero(self.counted):,} images, loss {self.loss:.4f}, accuracy {self.accuracy:.2%}{top}"]
        lines += [f"{'class':<{width}}  images  precision   recall       F1"]
        for name, images, *values in rows:
            shown = ["-" if np.isnan(value) else f"{value:.2%}" for value in values]
            lines.append(f"{name:<{width}}  {images:>6}  {shown[0]:>9}  {shown[1]:>7}  {shown[2]:>7}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        images = np.count_nonzero(self.counted)
        return f"Evaluation(images={images}, loss={self.loss:.4f}, accuracy={self.accuracy:.4f})"


def check_labels(labels: np.ndarray, N: int, classes: int, ignore_index: int) -> None:
    """Raise if there are not N labels of so many classes, or if no image counts."""
    _, kept = checked_labels("labels", labels, (N,), classes, ignore_index)
    if not kept.any():
        raise ValueError(f"`labels` holds nothing but {ignore_index}, the label of images that do not count.")


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return ``part / whole``, NaN where ``whole`` is 0."""
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)


def known_mean(values: np.ndarray) -> float:
    """Mean of the values that are not NaN; NaN if there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan
