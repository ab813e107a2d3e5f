"""The losses and their gradients, row by row on (rows, classes)."""

import math

import numpy as np

from fastcnn.backends.naive.softmax import _logarithms


def cross_entropy(logits, target, scale: float) -> float:
    """See `fastcnn.functional.cross_entropy`; ``scale`` times the sum over rows."""
    return scale * sum(-_logarithms(row)[k] for row, k in zip(logits.tolist(), target.tolist(), strict=True))


def cross_entropy_backward(logits, target, scale: float):
    """See `fastcnn.functional.cross_entropy_backward`."""
    dlogits = np.zeros_like(logits)
    for n, (row, k) in enumerate(zip(logits.tolist(), target.tolist(), strict=True)):
        dlogits[n] = [scale * (math.exp(log) - (c == k)) for c, log in enumerate(_logarithms(row))]
    return dlogits


def soft_cross_entropy(logits, shares, scale: float) -> float:
    """Cross-entropy in which every class has a share of a row; see `fastcnn.functional.cross_entropy`."""
    loss = 0.0
    for row, parts in zip(logits.tolist(), shares.tolist(), strict=True):
        for log, part in zip(_logarithms(row), parts, strict=True):
            if part != 0:  # a class without a share may be impossible, and a row without any may be NaN
                loss -= part * log
    return scale * loss


def soft_cross_entropy_backward(logits, shares, scale: float):
    """See `soft_cross_entropy`."""
    dlogits = np.zeros_like(logits)
    for n, (row, parts) in enumerate(zip(logits.tolist(), shares.tolist(), strict=True)):
        total = sum(parts)
        if total != 0:
            logs = _logarithms(row)
            dlogits[n] = [scale * (math.exp(log) * total - part) for log, part in zip(logs, parts, strict=True)]
    return dlogits


def mse_loss(x, target, scale: float) -> float:
    """See `fastcnn.functional.mse_loss`; ``scale`` times the sum over elements."""
    return scale * sum((float(a) - float(b)) * (float(a) - float(b)) for a, b in zip(x.flat, target.flat, strict=True))


def mse_loss_backward(x, target, scale: float):
    """See `fastcnn.functional.mse_loss_backward`."""
    dx = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        dx[i] = scale * 2 * (float(x[i]) - float(target[i]))
    return dx
