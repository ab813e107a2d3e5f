"""One class for each image."""

from collections.abc import Callable, Iterable

import numpy as np

from fastcnn import functional
from fastcnn.training.metric import ACCURACY
from fastcnn.training.tasks.evaluation import Evaluation, check_labels
from fastcnn.training.tasks.task import Task, ignored_label


class Classification(Task):
    """Each image is of one class: the model gives (N, classes) logits, and the targets are (N,) labels.

    The metric is the accuracy, of the images that the loss does not ignore; `evaluate` returns an `Evaluation`, which
    has more.

    Parameters
    ----------
    best : {"loss", "accuracy"}, default "loss"
        By which metric an epoch is the best; see `Task`.

    Raises
    ------
    ValueError
        If `best` is no metric.

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
        """One whole number for each image."""
        if not isinstance(target, np.ndarray) or target.dtype.kind not in "iu":
            what = target.dtype if isinstance(target, np.ndarray) else type(target).__name__
            raise TypeError(f"`labels` must be a numpy array of integers, not {what}{_hint(target)}.")
        if target.ndim != 1:
            hint = "" if target.ndim != 3 else "; for a label of each pixel pass task=training.Segmentation()"
            raise ValueError(
                f"`labels` must have 1 dimension, one label for each image, but its shape is {target.shape}{hint}."
            )

    def check(self, output, target, loss) -> None:
        """Classes that the model knows, and a loss that takes them all."""
        if output.ndim != 2:
            raise ValueError(
                f"the model gives {output.shape[1:]} numbers for each image, but must give one for each class"
                f"{'; for classes of pixels pass task=training.Segmentation()' if output.ndim == 4 else ''}."
            )
        check_labels(target, len(target), output.shape[1], ignored_label(loss))
        known = np.unique(target)
        loss(np.repeat(output[-1:], len(known), axis=0), known)

    def count(self, output, target, loss):
        """Images that count, and of these, those whose largest logit is that of their label."""
        counted = target != ignored_label(loss)
        right = np.count_nonzero((output.argmax(axis=1) == target) & counted)
        number = int(np.count_nonzero(counted))
        return {"counted": number, "right": int(right)} if number else {}

    def measure(self, sums):
        """See the class."""
        return {"accuracy": sums["right"] / sums["counted"]}

    def find(self, output, target, loss) -> tuple[np.ndarray, np.ndarray]:
        """Logits and labels, which an `Evaluation` has of all images."""
        return output, target

    def evaluation(self, findings: Iterable, loss) -> Evaluation:
        """The loss sees all images at once: no mean of means, where some weigh more than others or do not count."""
        logits, labels = (np.concatenate(parts) for parts in zip(*findings, strict=True))
        return Evaluation(float(loss(logits, labels)), logits, labels, ignored_label(loss))


def _hint(target) -> str:
    """What floats may be meant for."""
    floats = isinstance(target, np.ndarray) and target.dtype.kind == "f"
    return "; for numbers pass task=training.Regression(), for several labels training.MultiLabel()" if floats else ""
