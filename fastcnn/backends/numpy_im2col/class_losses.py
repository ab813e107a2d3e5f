"""Classification losses and their gradients, all rows of (N, classes, ...) at once."""

import numpy as np

from fastcnn.backends.numpy_im2col.softmax import log_softmax, softmax


@np.errstate(invalid="ignore")
def cross_entropy(logits, target):
    """Loss of each row; see `fastcnn.functional.cross_entropy`."""
    return nll_loss(log_softmax(logits, 1), target)


@np.errstate(invalid="ignore")
def cross_entropy_backward(dy, logits, target):
    """See `fastcnn.functional.cross_entropy_backward`."""
    return _times(dy, softmax(logits, 1) - _one_hot(logits, target))


@np.errstate(invalid="ignore")
def soft_cross_entropy(logits, shares):
    """Cross-entropy with soft targets, a share for each class; see `fastcnn.functional.cross_entropy`."""
    # a class with share 0 may have log-probability -inf, and a row with no shares may hold NaN
    return -np.where(shares == 0, 0, shares * log_softmax(logits, 1)).sum(axis=1)


@np.errstate(invalid="ignore")
def soft_cross_entropy_backward(dy, logits, shares):
    """See `soft_cross_entropy`."""
    totals = shares.sum(axis=1, keepdims=True)
    return _times(dy, np.where(totals == 0, 0, softmax(logits, 1) * totals - shares))


def nll_loss(x, target):
    """Loss of each row; see `fastcnn.functional.nll_loss`."""
    return -np.take_along_axis(x, target[:, np.newaxis], axis=1)[:, 0]


def nll_loss_backward(dy, x, target):
    """See `fastcnn.functional.nll_loss_backward`."""
    return _times(dy, 0 - _one_hot(x, target))  # a minus sign would turn 0 into -0


def _one_hot(x, target):
    """One-hot encoding: 1 for the target class of each row, 0 for all other classes."""
    hot = np.zeros_like(x)
    np.put_along_axis(hot, target[:, np.newaxis], 1, axis=1)
    return hot


def _times(dy, gradients):
    """Gradients of the rows' losses, each times its ``dy``; 0 where ``dy`` is 0."""
    dy = np.asarray(dy, gradients.dtype)
    dy = dy[:, np.newaxis] if dy.ndim else dy
    return np.where(dy == 0, 0, dy * gradients)
