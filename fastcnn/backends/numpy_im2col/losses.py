"""Softmax, the losses and their gradients, all rows at once."""

import numpy as np


@np.errstate(invalid="ignore")
def softmax(x):
    """See `fastcnn.functional.softmax`; x: (rows, classes)."""
    y = np.exp(x - x.max(axis=1, keepdims=True))  # none above 1: no overflow
    y /= y.sum(axis=1, keepdims=True)
    return y


@np.errstate(invalid="ignore")
def softmax_backward(dy, y):
    """See `fastcnn.functional.softmax_backward`."""
    return y * (dy - (dy * y).sum(axis=1, keepdims=True))


@np.errstate(invalid="ignore")
def log_softmax(x):
    """See `fastcnn.functional.log_softmax`."""
    shifted = x - x.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


@np.errstate(invalid="ignore")
def log_softmax_backward(dy, y):
    """See `fastcnn.functional.log_softmax_backward`."""
    return dy - np.exp(y) * dy.sum(axis=1, keepdims=True)


@np.errstate(invalid="ignore")
def cross_entropy(logits, target, scale: float) -> float:
    """See `fastcnn.functional.cross_entropy`; ``scale`` times the sum over rows."""
    chosen = log_softmax(logits)[np.arange(len(target)), target]  # (rows,)
    return -scale * float(chosen.sum(dtype=np.float64))


@np.errstate(invalid="ignore")
def cross_entropy_backward(logits, target, scale: float):
    """See `fastcnn.functional.cross_entropy_backward`."""
    dlogits = softmax(logits)
    dlogits[np.arange(len(target)), target] -= 1
    dlogits *= scale
    return dlogits


@np.errstate(invalid="ignore")
def mse_loss(x, target, scale: float) -> float:
    """See `fastcnn.functional.mse_loss`; ``scale`` times the sum over elements."""
    return scale * float(np.square(x - target).sum(dtype=np.float64))


@np.errstate(invalid="ignore")
def mse_loss_backward(x, target, scale: float):
    """See `fastcnn.functional.mse_loss_backward`."""
    return 2 * scale * (x - target)
