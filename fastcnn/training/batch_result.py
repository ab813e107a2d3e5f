"""What a model made of a batch."""

from dataclasses import dataclass

import numpy as np

from fastcnn.functional.losses import EmptyMeanError


@dataclass(frozen=True)
class BatchResult:
    """Loss and accuracy of a batch, or of a part of one, as the model was before it learned from it.

    Attributes
    ----------
    loss : float
        Mean; 0 where no image counts.
    weight : float
        What the mean is over: images that count, but where a loss has weights, their sum.
    images, counted, right : int
        How many; of them, those that count; of these, those whose largest logit was that of their label.
    """

    loss: float = 0.0
    weight: float = 0.0
    images: int = 0
    counted: int = 0
    right: int = 0

    @property
    def counts(self) -> bool:
        """Whether any image does."""
        return self.weight > 0 and self.counted > 0

    @classmethod
    def compute(cls, logits: np.ndarray, labels: np.ndarray, loss) -> "BatchResult":
        """The result of a batch for which the model gave these logits."""
        try:
            mean = float(loss(logits, labels))
            weight = float(getattr(loss, "mean_over", len(labels)))
        except EmptyMeanError:
            mean = weight = 0.0
        return cls.of(logits, labels, loss, mean, weight)

    @classmethod
    def of(cls, logits: np.ndarray, labels: np.ndarray, loss, mean: float, weight: float) -> "BatchResult":
        """The result where the mean loss is known already, and the weight that it is over."""
        counted = labels != ignored_label(loss)
        right = np.count_nonzero((logits.argmax(axis=1) == labels) & counted)
        return cls(mean, weight, len(labels), int(np.count_nonzero(counted)), int(right))


def ignored_label(loss) -> int:
    """The label of images that do not count, as a loss has it; `fastcnn.functional.cross_entropy`'s for one without."""
    return getattr(loss, "ignore_index", -100)
