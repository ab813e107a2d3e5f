"""Classification: one class for each image."""

from collections.abc import Callable, Iterable

import numpy as np

from fastcnn import functional
from fastcnn.training.metric import ACCURACY
from fastcnn.training.tasks.evaluation import Evaluation, check_labels
from fastcnn.training.tasks.task import Task, ignored_label


class Classification(Task):
    """Each image has one class: the model returns (N, classes) logits, and the targets are (N,) labels.

    The metric is the accuracy over the images that the loss does not ignore. `evaluate` returns an `Evaluation`, which
    has more metrics.

    Parameters
    ----------
    best : {"loss", "accuracy"}, default "loss"
        Metric that decides which epoch is best; see `Task`.

    Raises
    ------
    ValueError
        If `best` is not a metric.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn, training
    >>> logits, labels = np.array([[9.0, 0.0], [9.0, 0.0], [0.0, 9.0]]), np.array([0, 1, 1])
    >>> training.evaluate(nn.Sequential(), logits, labels, task=training.Classification())
    Evaluation(images=3, loss=3.0001, accuracy=0.6667)
    """

    metrics = (ACCURACY,)

    @property
    def default_loss(self) -> Callable:
        """`fastcnn.functional.cross_entropy`."""
        return functional.cross_entropy

    def check_targets(self, target) -> None:
        """Check that there is one integer for each image."""
        if not isinstance(target, np.ndarray) or target.dtype.kind not in "iu":
            what = target.dtype if isinstance(target, np.ndarray) else type(target).__name__
            raise TypeError(f"`labels` must be a numpy array of integers, not {what}{_hint(target)}.")
        if target.ndim != 1:
            hint = "" if target.ndim != 3 else "; for a label of each pixel pass task=training.Segmentation()"
            raise ValueError(
                f"`labels` must have 1 dimension, one label for each image, but its shape is {target.shape}{hint}."
            )

    def check(self, output, target, loss) -> None:
        """Check that the model knows the classes and that the loss accepts all of them."""
        if output.ndim != 2:
            raise ValueError(
                f"the model returns {output.shape[1:]} numbers for each image, but must return one for each class"
                f"{'; for classes of pixels pass task=training.Segmentation()' if output.ndim == 4 else ''}."
            )
        check_labels(target, len(target), output.shape[1], ignored_label(loss))
        known = np.unique(target)
        loss(np.repeat(output[-1:], len(known), axis=0), known)

    def count(self, output, target, loss):
        """Count the images that the loss does not ignore, and those classified correctly."""
        counted = target != ignored_label(loss)
        right = np.count_nonzero((output.argmax(axis=1) == target) & counted)
        number = int(np.count_nonzero(counted))
        return {"counted": number, "right": int(right)} if number else {}

    def measure(self, sums):
        """See the class."""
        return {"accuracy": sums["right"] / sums["counted"]}

    def find(self, output, target, loss) -> tuple[np.ndarray, np.ndarray]:
        """Return logits and labels; `evaluation` joins those of all batches."""
        return output, target

    def evaluation(self, findings: Iterable, loss) -> Evaluation:
        """Compute the loss for all images at once: a mean of batch means would weight the images wrongly."""
        logits, labels = (np.concatenate(parts) for parts in zip(*findings, strict=True))
        return Evaluation(float(loss(logits, labels)), logits, labels, ignored_label(loss))


def _hint(target) -> str:
    """Suggest other tasks if the targets are floats."""
    floats = isinstance(target, np.ndarray) and target.dtype.kind == "f"
    return "; for numbers pass task=training.Regression(), for several labels training.MultiLabel()" if floats else ""
