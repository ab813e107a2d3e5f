"""Multi-label classification: any number of labels for each image."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from fastcnn import _validate, functional
from fastcnn.training.metric import Metric
from fastcnn.training.tasks.evaluation import ratio
from fastcnn.training.tasks.scores import Scores, table
from fastcnn.training.tasks.task import Task, check_outputs


@dataclass(frozen=True, eq=False, repr=False)
class MultiLabelScores(Scores):
    """Metrics of a `MultiLabel` task; ``print(scores)`` shows a table.

    It also has the attributes of `Scores`.

    Attributes
    ----------
    present, said, right : ndarray of shape (labels,), int64
        For each label, the numbers of images that have it, for which it is predicted, and to which both apply.
    agreed : ndarray of shape (labels,), int64
        For each label, the number of images with a correct prediction, whether they have it or not.
    """

    present: np.ndarray = field()
    said: np.ndarray = field()
    right: np.ndarray = field()
    agreed: np.ndarray = field()

    @property
    def accuracies(self) -> np.ndarray:
        """For each label, the fraction of the images with a correct prediction."""
        return self.agreed / self.images

    @property
    def precisions(self) -> np.ndarray:
        """For each label, the fraction of its predictions that are correct; NaN if it is never predicted."""
        return ratio(self.right, self.said)

    @property
    def recalls(self) -> np.ndarray:
        """For each label, the fraction of images with this label for which it is predicted; NaN if there are none."""
        return ratio(self.right, self.present)

    @property
    def f1s(self) -> np.ndarray:
        """For each label, the harmonic mean of precision and recall, ``2 * right / (present + said)``; NaN for 0/0."""
        return ratio(2 * self.right, self.present + self.said)

    def table(self, label_names: Sequence[str] | None = None) -> str:
        """Format the metrics, then a row for each label.

        Parameters
        ----------
        label_names : sequence of str, optional
            One name for each label; by default the label numbers.

        Returns
        -------
        str

        Raises
        ------
        ValueError
            If there is not one name for each label.
        """
        labels = len(self.present)
        names = [str(name) for name in (range(labels) if label_names is None else label_names)]
        if len(names) != labels:
            raise ValueError(f"`label_names` has {len(names)} names but must have one for each of {labels} labels.")
        columns = {"accuracy": self.accuracies, "precision": self.precisions, "recall": self.recalls, "F1": self.f1s}
        shown = {name: ["-" if np.isnan(v) else f"{v:.2%}" for v in values] for name, values in columns.items()}
        shown = {"images": [f"{count}" for count in self.present]} | shown
        return "\n".join([Scores.__str__(self), *table(names, "label", shown)])

    def __str__(self) -> str:
        return self.table()


class MultiLabel(Task):
    """Each image has any number of labels: the model returns (N, labels) logits, and targets are 1.0 or 0.0 for each.

    A label is predicted if its logit is above a threshold. The metrics are the fraction of images with all labels
    correct (`exact_match`), the fraction of correct labels over all images (`label_accuracy`), and precision, recall
    and F1 over all labels of all images, like scikit-learn's ``average="micro"``; they are NaN where the denominator is
    0. `evaluate` returns a `MultiLabelScores`, which also has the metrics of each label.

    Parameters
    ----------
    threshold : float, default 0
        Threshold of the logits; 0 is a probability of 0.5.
    best : {"loss", "exact_match", "label_accuracy", "precision", "recall", "f1"}, default "loss"
        Metric that decides which epoch is best; see `Task`.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn, training
    >>> logits = np.array([[2.0, -1.0], [3.0, 1.0], [-1.0, -2.0]])
    >>> labels = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    >>> scores = training.evaluate(nn.Sequential(), logits, labels, task=training.MultiLabel())
    >>> print(scores.table(["cat", "dog"]))
    3 images, loss 0.8737, exact match 33.33%, label accuracy 50.00%, precision 66.67%, recall 50.00%, F1 57.14%
    label  images  accuracy  precision  recall      F1
    cat         3    66.67%    100.00%  66.67%  80.00%
    dog         1    33.33%      0.00%   0.00%   0.00%
    """

    metrics = (
        Metric("exact_match", percent=True),
        Metric("label_accuracy", percent=True),
        Metric("precision", percent=True),
        Metric("recall", percent=True),
        Metric("f1", percent=True, label="F1"),
    )

    def __init__(self, threshold: float = 0.0, best: str = "loss"):
        super().__init__(best)
        self.threshold = _validate.number("threshold", threshold)

    @property
    def default_loss(self) -> Callable:
        """`fastcnn.functional.binary_cross_entropy_with_logits`."""
        return functional.binary_cross_entropy_with_logits

    def check_targets(self, target) -> None:
        """Check that there is a 1 or a 0 for each label of each image."""
        _validate.floats("target", target, 2)
        if not ((target == 0) | (target == 1)).all():
            wrong = target[(target != 0) & (target != 1)][0]
            raise ValueError(f"`target` holds {wrong}, but must be 1 for each label that an image has, else 0.")

    def check(self, output, target, loss) -> None:
        """Check that there is a target for each logit, and that the loss accepts them."""
        check_outputs(output, target)
        super().check(output, target, loss)

    def count(self, output, target, loss):
        """Count the attributes of `MultiLabelScores` for each label, and the images with all labels correct."""
        present, said = target > 0.5, output > self.threshold
        agreed = present == said
        return {
            "images": len(target),
            "exact": int(np.count_nonzero(agreed.all(axis=1))),
            "present": np.count_nonzero(present, axis=0),
            "said": np.count_nonzero(said, axis=0),
            "right": np.count_nonzero(present & said, axis=0),
            "agreed": np.count_nonzero(agreed, axis=0),
        }

    def measure(self, sums):
        """See the class."""
        present, said, right, agreed = (sums[name].sum() for name in ("present", "said", "right", "agreed"))
        return {
            "exact_match": sums["exact"] / sums["images"],
            "label_accuracy": agreed / (sums["images"] * len(sums["agreed"])),
            "precision": float(ratio(right, said)),
            "recall": float(ratio(right, present)),
            "f1": float(ratio(2 * right, present + said)),
        }

    def conclude(self, total) -> MultiLabelScores:
        """See the class."""
        counts = [total.sums[name] for name in ("present", "said", "right", "agreed")]
        return MultiLabelScores(total.images, total.loss, self.measure(total.sums), self.metrics, *counts)
