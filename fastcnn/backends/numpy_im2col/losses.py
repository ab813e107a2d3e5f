"""Weighted sums of losses."""

import numpy as np


@np.errstate(invalid="ignore", over="ignore")
def weighted_sum(losses, dy) -> float:
    """Sum of the losses of elements or rows, each times its ``dy``; a loss whose ``dy`` is 0 may be NaN."""
    if np.ndim(dy) == 0:
        return float(dy * losses.sum(dtype=np.float64)) if dy != 0 else 0.0
    return float(np.where(dy == 0, 0, dy * losses).sum(dtype=np.float64))
