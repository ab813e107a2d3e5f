"""The losses and their gradients, all rows of (rows, classes) at once."""

import numpy as np

from fastcnn.backends.numpy_im2col.softmax import log_softmax, softmax


@np.errstate(invalid="ignore")
def cross_entropy(logits, target, scale: float) -> float:
    """See `fastcnn.functional.cross_entropy`; ``scale`` times the sum over rows."""
    chosen = log_softmax(logits, 1)[np.arange(len(target)), target]  # (rows,)
    return -scale * float(chosen.sum(dtype=np.float64))


@np.errstate(invalid="ignore")
def cross_entropy_backward(logits, target, scale: float):
    """See `fastcnn.functional.cross_entropy_backward`."""
    dlogits = softmax(logits, 1)
    dlogits[np.arange(len(target)), target] -= 1
    dlogits *= scale
    return dlogits


@np.errstate(invalid="ignore")
def soft_cross_entropy(logits, shares, scale: float) -> float:
    """Cross-entropy in which every class has a share of a row; see `fastcnn.functional.cross_entropy`."""
    # a class without a share may be impossible, and a row without any may be NaN
    terms = np.where(shares == 0, 0, shares * log_softmax(logits, 1))
    return -scale * float(terms.sum(dtype=np.float64))


@np.errstate(invalid="ignore")
def soft_cross_entropy_backward(logits, shares, scale: float):
    """See `soft_cross_entropy`."""
    totals = shares.sum(axis=1, keepdims=True)
    dlogits = np.where(totals == 0, 0, softmax(logits, 1) * totals - shares)
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
