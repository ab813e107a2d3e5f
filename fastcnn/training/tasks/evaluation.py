"""How good a classifier is."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fastcnn import _validate, functional
from fastcnn.functional.class_losses import checked_index, checked_labels


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """What a classifier said of images whose classes are known, and all that follows from it.

    ``print(evaluation)`` shows a table.

    Parameters
    ----------
    loss : float
        Mean over the images that count.
    logits : ndarray of shape (N, classes), float32 or float64
        What the model gave.
    labels : ndarray of shape (N,), integers from 0 to classes - 1, or `ignore_index`
        What is true.
    ignore_index : int, default -100
        Images with this label do not count, in none of the numbers.

    Attributes
    ----------
    counted : ndarray of shape (N,), bool
        Which images count.
    predictions : ndarray of shape (N,), int64
        The class of the largest logit, the first of equals.
    probabilities : ndarray of shape (N, classes)
        Softmax of the logits.
    accuracy : float
        Part of the images that count whose prediction is their label, from 0 to 1.
    confusion : ndarray of shape (classes, classes), int64
        Images by their label (row) and prediction (column).
    precision : ndarray of shape (classes,)
        Part of the predictions of a class that are right; NaN for a class that was never predicted.
    recall : ndarray of shape (classes,)
        Part of the images of a class that were found; NaN for a class without images.
    f1 : ndarray of shape (classes,)
        Harmonic mean of both, ``2 * right / (images + predictions)``; NaN for a class with neither.

    Raises
    ------
    TypeError, ValueError
        If the logits are not a float array of two axes, there is not one label in their range for each row, or no image
        counts.

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
        """Part of the images that count whose label is among the ``k`` classes of the largest logits.

        Of equal logits the first class counts as larger.

        Raises
        ------
        TypeError, ValueError
            If `k` is not a whole number of at least 1.
        """
        best = np.argsort(-self.logits, axis=1, kind="stable")[:, : _validate.count("k", k)]
        return float(np.mean((best == self.labels[:, None]).any(axis=1)[self.counted]))

    def table(self, class_names: Sequence[str] | None = None) -> str:
        """Loss, accuracy and, where there are more than 5 classes, top-5; then a line for each class and their mean.

        Parameters
        ----------
        class_names : sequence of str, optional
            One for each class; by default their numbers.

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
    """Raise if they are not N of so many classes, or no image counts."""
    _, kept = checked_labels("labels", labels, (N,), classes, ignore_index)
    if not kept.any():
        raise ValueError(f"`labels` holds nothing but {ignore_index}, the label of images that do not count.")


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """``part / whole``, NaN where both are 0."""
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)


def known_mean(values: np.ndarray) -> float:
    """Mean of those that are not NaN, NaN if there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan
