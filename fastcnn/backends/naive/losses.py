"""Softmax, the losses and their gradients, row by row."""

import math

import numpy as np


def softmax(x):
    """See `fastcnn.functional.softmax`; x: (rows, classes)."""
    y = np.zeros_like(x)
    for n, row in enumerate(x.tolist()):
        largest = max(row)
        exps = [math.exp(v - largest) for v in row]  # none above 1: no overflow
        total = sum(exps)
        y[n] = [e / total for e in exps]
    return y


def softmax_backward(dy, y):
    """See `fastcnn.functional.softmax_backward`."""
    dx = np.zeros_like(dy)
    for n, (ds, ps) in enumerate(zip(dy.tolist(), y.tolist(), strict=True)):
        mean = sum(d * p for d, p in zip(ds, ps, strict=True))
        dx[n] = [p * (d - mean) for d, p in zip(ds, ps, strict=True)]
    return dx


def log_softmax(x):
    """See `fastcnn.functional.log_softmax`."""
    y = np.zeros_like(x)
    for n, row in enumerate(x.tolist()):
        y[n] = _log_softmax(row)
    return y


def log_softmax_backward(dy, y):
    """See `fastcnn.functional.log_softmax_backward`."""
    dx = np.zeros_like(dy)
    for n, (ds, logs) in enumerate(zip(dy.tolist(), y.tolist(), strict=True)):
        total = sum(ds)
        dx[n] = [d - math.exp(log) * total for d, log in zip(ds, logs, strict=True)]
    return dx


def cross_entropy(logits, target, scale: float) -> float:
    """See `fastcnn.functional.cross_entropy`; ``scale`` times the sum over rows."""
    return scale * sum(-_log_softmax(row)[k] for row, k in zip(logits.tolist(), target.tolist(), strict=True))


def cross_entropy_backward(logits, target, scale: float):
    """See `fastcnn.functional.cross_entropy_backward`."""
    dlogits = np.zeros_like(logits)
    for n, (row, k) in enumerate(zip(logits.tolist(), target.tolist(), strict=True)):
        dlogits[n] = [scale * (math.exp(log) - (c == k)) for c, log in enumerate(_log_softmax(row))]
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


def _log_softmax(row: list[float]) -> list[float]:
    largest = max(row)
    log_sum = math.log(sum(math.exp(v - largest) for v in row))
    return [v - largest - log_sum for v in row]
