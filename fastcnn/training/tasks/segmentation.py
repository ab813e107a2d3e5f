"""Segmentation: one class for each pixel."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from fastcnn import functional
from fastcnn.training.metric import Metric
from fastcnn.training.tasks.evaluation import known_mean, ratio
from fastcnn.training.tasks.scores import Scores, table
from fastcnn.training.tasks.task import Task, ignored_label


@dataclass(frozen=True, eq=False, repr=False)
class SegmentationScores(Scores):
    """Metrics of a `Segmentation` task; ``print(scores)`` shows a table.

    It also has the attributes of `Scores`.

    Attributes
    ----------
    confusion : ndarray of shape (classes, classes), int64
        Number of counted pixels by label (row) and prediction (column).
    """

    confusion: np.ndarray = field()

    @property
    def iou(self) -> np.ndarray:
        """For each class, intersection over union of the pixels with this label and of those with this prediction.

        NaN for a class that neither occurs nor is predicted.
        """
        return _iou(self.confusion)

    @property
    def accuracies(self) -> np.ndarray:
        """For each class, the fraction of its pixels that are predicted correctly; NaN for a class without pixels."""
        return ratio(self.confusion.diagonal(), self.confusion.sum(axis=1))

    def table(self, class_names: Sequence[str] | None = None) -> str:
        """Format the metrics, then a row for each class.

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
        classes = len(self.confusion)
        names = [str(name) for name in (range(classes) if class_names is None else class_names)]
        if len(names) != classes:
            raise ValueError(f"`class_names` has {len(names)} names but must have one for each of {classes} classes.")
        columns = {"accuracy": self.accuracies, "IoU": self.iou}
        shown = {name: ["-" if np.isnan(v) else f"{v:.2%}" for v in values] for name, values in columns.items()}
        shown = {"pixels": [f"{count}" for count in self.confusion.sum(axis=1)]} | shown
        return "\n".join([Scores.__str__(self), *table(names, "class", shown)])

    def __str__(self) -> str:
        return self.table()


class Segmentation(Task):
    """Each pixel has one class: the model returns (N, classes, H, W) logits, and the targets are (N, H, W) labels.

    The metrics are the fraction of pixels that are predicted correctly (`pixel_accuracy`), and the mean over classes of
    intersection over union (`mean_iou`; M. Everingham et al., "The PASCAL Visual Object Classes Challenge: A
    Retrospective", IJCV 111, 2015). Pixels with the label ``loss.ignore_index``, by default -100, count in neither. A
    class that neither occurs nor is predicted is left out of the mean. `evaluate` returns a `SegmentationScores`, which
    also has the confusion matrix. Label maps may have any number of axes: (N, L) for (N, classes, L).

    Parameters
    ----------
    best : {"loss", "pixel_accuracy", "mean_iou"}, default "loss"
        Metric that decides which epoch is best; see `Task`.

    Raises
    ------
    ValueError
        If `best` is not a metric.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.training import Segmentation
    >>> logits = np.array([[[[2.0, 2.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]]])
    >>> task = Segmentation()
    >>> sums = task.count(logits, np.array([[[0, 1], [1, -100]]]), loss=None)
    >>> sums["confusion"]
    array([[1, 0],
           [1, 1]])
    >>> print(task.measure(sums))
    {'pixel_accuracy': 0.6666666666666666, 'mean_iou': 0.5}
    """

    metrics = (Metric("pixel_accuracy", percent=True), Metric("mean_iou", percent=True, label="mean IoU"))

    @property
    def default_loss(self) -> Callable:
        """`fastcnn.functional.cross_entropy`."""
        return functional.cross_entropy

    def check_targets(self, target) -> None:
        """Check that the targets are integers, with more than one axis."""
        if not isinstance(target, np.ndarray) or target.dtype.kind not in "iu":
            what = target.dtype if isinstance(target, np.ndarray) else type(target).__name__
            raise TypeError(f"`target` must be a numpy array of integers, a label for each pixel, not {what}.")
        if target.ndim < 2:
            raise ValueError(
                f"`target` must have a label for each pixel, (N, H, W), but its shape is {target.shape}; for one label "
                "for each image pass task=training.Classification()."
            )

    def check(self, output, target, loss) -> None:
        """Check that there is a known class for each pixel of the output, and that the loss accepts them."""
        if output.ndim != target.ndim + 1 or output.shape[2:] != target.shape[1:]:
            raise ValueError(
                f"`target` has shape {target.shape} but the model returns logits of shape (N, "
                f"{', '.join(map(str, output.shape[1:]))}): there must be one label for each pixel."
            )
        wrong = (target != ignored_label(loss)) & ((target < 0) | (target >= output.shape[1]))
        if wrong.any():
            raise ValueError(
                f"`target` holds {target[wrong][0]}, but its values must be from 0 to {output.shape[1] - 1}, or "
                f"{ignored_label(loss)} for pixels that do not count."
            )
        if (target == ignored_label(loss)).all():
            raise ValueError(
                f"`target` holds nothing but {ignored_label(loss)}, the label of pixels that do not count."
            )
        super().check(output, target, loss)

    def count(self, output, target, loss):
        """Count the pixels by label and prediction."""
        classes, counted = output.shape[1], target != ignored_label(loss)
        pairs = (target.astype(np.int64) * classes + output.argmax(axis=1))[counted]
        confusion = np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
        return {"confusion": confusion} if len(pairs) else {}

    def measure(self, sums):
        """See the class."""
        confusion = sums["confusion"]
        return {
            "pixel_accuracy": float(confusion.trace() / confusion.sum()),
            "mean_iou": float(known_mean(_iou(confusion))),
        }

    def conclude(self, total) -> SegmentationScores:
        """See the class."""
        measured = self.measure(total.sums)
        return SegmentationScores(total.images, total.loss, measured, self.metrics, total.sums["confusion"])


def _iou(confusion: np.ndarray) -> np.ndarray:
    """See `SegmentationScores.iou`."""
    right = confusion.diagonal()
    return ratio(right, confusion.sum(axis=0) + confusion.sum(axis=1) - right)
