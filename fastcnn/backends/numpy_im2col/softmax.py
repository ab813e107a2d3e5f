"""Softmax, log-softmax and their gradients, all rows at once. A row runs along the axis ``dim``."""

import numpy as np


@np.errstate(invalid="ignore")
def softmax(x, dim: int):
    """See `fastcnn.functional.softmax`."""
    y = np.exp(x - x.max(axis=dim, keepdims=True))  # at most 1, so nothing overflows
    y /= y.sum(axis=dim, keepdims=True)
    return y


@np.errstate(invalid="ignore")
def softmax_backward(dy, y, dim: int):
    """See `fastcnn.functional.softmax_backward`."""
    return y * (dy - (dy * y).sum(axis=dim, keepdims=True))


@np.errstate(invalid="ignore")
def log_softmax(x, dim: int):
    """See `fastcnn.functional.log_softmax`."""
    shifted = x - x.max(axis=dim, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=dim, keepdims=True))


@np.errstate(invalid="ignore")
def log_softmax_backward(dy, y, dim: int):
    """See `fastcnn.functional.log_softmax_backward`."""
    return dy - np.exp(y) * dy.sum(axis=dim, keepdims=True)
