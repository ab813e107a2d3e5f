"""Classification losses and their gradients, row by row. A row runs along axis 1 of (N, classes, ...)."""

import math

import numpy as np

from fastcnn.backends.naive.softmax import _logarithms


def cross_entropy(logits, target):
    """Loss of each row; see `fastcnn.functional.cross_entropy`."""
    return _losses(lambda row, k: -_logarithms(row)[k], logits, target)


def cross_entropy_backward(dy, logits, target):
    """See `fastcnn.functional.cross_entropy_backward`."""

    def gradient(row, k):
        return [math.exp(log) - (c == k) for c, log in enumerate(_logarithms(row))]

    return _gradients(gradient, dy, logits, target)


def soft_cross_entropy(logits, shares):
    """Cross-entropy with soft targets, a share for each class; see `fastcnn.functional.cross_entropy`."""

    def loss(row, parts):
        # a class with share 0 may have log-probability -inf, and a row with no shares may hold NaN
        return -sum(part * log for log, part in zip(_logarithms(row), parts, strict=True) if part != 0)

    return _losses(loss, logits, shares)


def soft_cross_entropy_backward(dy, logits, shares):
    """See `soft_cross_entropy`."""

    def gradient(row, parts):
        total = sum(parts)
        if total == 0:
            return [0.0 for _ in row]
        return [math.exp(log) * total - part for log, part in zip(_logarithms(row), parts, strict=True)]

    return _gradients(gradient, dy, logits, shares)


def nll_loss(x, target):
    """Loss of each row; see `fastcnn.functional.nll_loss`."""
    return _losses(lambda row, k: -row[k], x, target)


def nll_loss_backward(dy, x, target):
    """See `fastcnn.functional.nll_loss_backward`."""
    return _gradients(lambda row, k: [-float(c == k) for c in range(len(row))], dy, x, target)


def _losses(function, x, target):
    """Apply ``function`` to each row and its target, which is a class or the shares of all classes."""
    losses = np.empty((len(x), *x.shape[2:]), x.dtype)
    rows, targets = _rows(x), _rows(target) if target.ndim == x.ndim else target
    for i in np.ndindex(losses.shape):
        losses[i] = function(rows[i].tolist(), targets[i].tolist())
    return losses


def _gradients(function, dy, x, target):
    """``dy`` times ``function`` of each row and its target; 0 where ``dy`` is 0."""
    dx = np.zeros_like(x)
    rows, targets, out = _rows(x), _rows(target) if target.ndim == x.ndim else target, _rows(dx)
    weights = np.broadcast_to(dy, rows.shape[:-1])
    for i in np.ndindex(weights.shape):
        if weights[i] != 0:
            out[i] = [float(weights[i]) * d for d in function(rows[i].tolist(), targets[i].tolist())]
    return dx


def _rows(x):
    """A view with the rows along the last axis."""
    return np.moveaxis(x, 1, -1)
