"""What a model made of a batch."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Seen:
    """A batch that a model saw before it learned from it, or a rank's part of one.

    Attributes
    ----------
    loss : float
        Mean.
    count : float
        What the mean is over: images, but where a loss has weights, their sum.
    images, right : int
        How many; of them, those whose largest logit was that of their label.
    """

    loss: float = 0.0
    count: float = 0
    images: int = 0
    right: int = 0

    @classmethod
    def of(cls, loss: float, logits: np.ndarray, labels: np.ndarray, count: float) -> "Seen":
        """Count a batch."""
        return cls(loss, count, len(labels), int(np.count_nonzero(logits.argmax(axis=1) == labels)))
