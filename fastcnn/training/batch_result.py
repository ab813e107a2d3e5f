"""What a model made of a batch."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class BatchResult:
    """What a task found in a batch, in a part of one or in several: the loss, and what its metrics come from.

    Attributes
    ----------
    loss : float
        Mean; 0 where no image counts.
    weight : float
        What the mean is over: what the loss's ``mean_over`` says, or images.
    images : int
    sums : dict of str to float or ndarray
        What `fastcnn.training.Task.count` counted; empty where nothing counts.
    """

    loss: float = 0.0
    weight: float = 0.0
    images: int = 0
    sums: dict = field(default_factory=dict)

    @property
    def counts(self) -> bool:
        """Whether anything does."""
        return self.weight > 0 and bool(self.sums)
