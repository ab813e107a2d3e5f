"""What losses are summed to."""

import numpy as np


@np.errstate(invalid="ignore", over="ignore")
def weighted_sum(losses, dy) -> float:
    """Sum of the losses of elements or rows, each times its ``dy``; what has a ``dy`` of 0 may be NaN."""
    if np.ndim(dy) == 0:
        return float(dy * losses.sum(dtype=np.float64)) if dy != 0 else 0.0
    return float(np.where(dy == 0, 0, dy * losses).sum(dtype=np.float64))
