"""The losses and their gradients, row by row on (rows, classes)."""

import math

import numpy as np

from fastcnn.backends.naive.softmax import logarithms


def cross_entropy(logits, target, scale: float) -> float:
    """See `fastcnn.functional.cross_entropy`; ``scale`` times the sum over rows."""
    return scale * sum(-logarithms(row)[k] for row, k in zip(logits.tolist(), target.tolist(), strict=True))


def cross_entropy_backward(logits, target, scale: float):
    """See `fastcnn.functional.cross_entropy_backward`."""
    dlogits = np.zeros_like(logits)
    for n, (row, k) in enumerate(zip(logits.tolist(), target.tolist(), strict=True)):
        dlogits[n] = [scale * (math.exp(log) - (c == k)) for c, log in enumerate(logarithms(row))]
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
