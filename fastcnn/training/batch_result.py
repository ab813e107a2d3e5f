"""Loss and counts of a batch."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class BatchResult:
    """Loss of one batch, part of a batch, or several batches, and the counts that its metrics are computed from.

    Attributes
    ----------
    loss : float
        Mean loss; 0 if no image counts.
    weight : float
        Denominator of the mean: the loss's ``mean_over``, or the number of images.
    images : int
    sums : dict of str to float or ndarray
        Result of `fastcnn.training.Task.count`; empty if no image counts.
    """

    loss: float = 0.0
    weight: float = 0.0
    images: int = 0
    sums: dict = field(default_factory=dict)

    @property
    def counts(self) -> bool:
        """Whether any target counts."""
        return self.weight > 0 and bool(self.sums)
