"""How good a classifier is."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fastcnn import _validate, functional
from fastcnn.functional.class_losses import checked_index, checked_labels
from fastcnn.nn import Module
from fastcnn.nn.losses import _Loss
from fastcnn.training.batch_result import ignored_label
from fastcnn.training.modes import for_evaluation, held

BATCH_SIZE = 1000  # images that a model is shown at a time


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
        return _ratio(self.confusion.diagonal(), self.confusion.sum(axis=0))

    @property
    def recall(self) -> np.ndarray:
        """See the class."""
        return _ratio(self.confusion.diagonal(), self.confusion.sum(axis=1))

    @property
    def f1(self) -> np.ndarray:
        """See the class."""
        return _ratio(2 * self.confusion.diagonal(), self.confusion.sum(axis=0) + self.confusion.sum(axis=1))

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
        rows.append(("mean", "", *(_mean(column) for column in columns)))
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


def evaluate(
    model: Module,
    images: np.ndarray,
    labels: np.ndarray,
    batch_size: int = BATCH_SIZE,
    loss: Callable[[np.ndarray, np.ndarray], float] = functional.cross_entropy,
) -> Evaluation:
    """Show all images to a classifier in evaluation mode.

    Parameters
    ----------
    model : Module
        Each of its modules is afterwards in the mode, training or evaluation, that it was in.
    images : ndarray of shape (N, C, H, W) or (N, features), float32 or float64
    labels : ndarray of shape (N,), integers
    batch_size : int, default 1000
        Images that the model is shown at a time; it does not matter for the result, but for rounding.
    loss : callable, default `fastcnn.functional.cross_entropy`
        Mean over images, from their logits and labels; it gets those of all images at once. Images whose label is
        ``loss.ignore_index``, by default -100, do not count. A loss of `fastcnn.nn` remembers the batch it had before.

    Returns
    -------
    Evaluation
        Loss, accuracy, confusion matrix, and more.

    Raises
    ------
    TypeError, ValueError
        If there are no images, there is not one label for each, they do not fit the model or the loss, or no image
        counts.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn, training
    >>> logits, labels = np.array([[9.0, 0.0], [9.0, 0.0], [0.0, 9.0]]), np.array([0, 1, 1])
    >>> training.evaluate(nn.Sequential(), logits, labels)
    Evaluation(images=3, loss=3.0001, accuracy=0.6667)
    """
    check_images_and_labels(images, labels)
    batch_size = _validate.count("batch_size", batch_size)
    return judge(logits_of(model, images, batch_size), labels, loss)


def check_images_and_labels(images: np.ndarray, labels: np.ndarray) -> None:
    """Raise what `evaluate` raises before it shows the images to the model."""
    _validate.floats("images", images)
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu":
        what = labels.dtype if isinstance(labels, np.ndarray) else type(labels).__name__
        raise TypeError(f"`labels` must be a numpy array of integers, not {what}.")
    if labels.ndim != 1:
        raise ValueError(f"`labels` must have 1 dimension, one label for each image, but its shape is {labels.shape}.")
    if len(labels) != len(images):
        raise ValueError(f"`labels` has length {len(labels)} but must have one label for each of {len(images)} images.")


def check_labels(labels: np.ndarray, N: int, classes: int, ignore_index: int) -> None:
    """Raise if they are not N of so many classes, or no image counts."""
    _, kept = checked_labels("labels", labels, (N,), classes, ignore_index)
    if not kept.any():
        raise ValueError(f"`labels` holds nothing but {ignore_index}, the label of images that do not count.")


def logits_of(model: Module, images: np.ndarray, batch_size: int = BATCH_SIZE) -> np.ndarray:
    """What a model in evaluation mode gives for images, shown so many at a time."""
    with held(for_evaluation(model)):
        return np.concatenate([model(images[i : i + batch_size]) for i in range(0, len(images), batch_size)])


def judge(logits: np.ndarray, labels: np.ndarray, loss: Callable[[np.ndarray, np.ndarray], float]) -> Evaluation:
    """The evaluation of what a model gave; see `evaluate`.

    The loss sees all images at once: no mean of means, where some weigh more than others or do not count.
    """
    asked = copy.copy(loss) if isinstance(loss, _Loss) else loss  # so that it remembers the batch it had before
    return Evaluation(float(asked(logits, labels)), logits, labels, ignored_label(loss))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """``part / whole``, NaN where both are 0."""
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def _mean(values: np.ndarray) -> float:
    """Mean of those that are not NaN, NaN if there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan
