"""Weighted sums of losses."""

import numpy as np


def weighted_sum(losses, dy) -> float:
    """Sum of the losses of elements or rows, each times its ``dy``; a loss whose ``dy`` is 0 may be NaN."""
    if np.ndim(dy) == 0:
        return float(dy) * sum(map(float, losses.flat)) if dy != 0 else 0.0
    return sum((float(loss) * float(d) for loss, d in zip(losses.flat, dy.flat, strict=True) if d != 0), 0.0)
