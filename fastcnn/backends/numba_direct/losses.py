"""The losses, row by row on plain (rows, classes) arrays: a batch of logits is too small for threads."""

import math

import numpy as np

from fastcnn.backends.numba_direct._jit import kernel
from fastcnn.backends.numba_direct.exp import exp


def cross_entropy(logits: np.ndarray, target: np.ndarray, scale: float) -> float:
    """See `fastcnn.functional.cross_entropy`; the sum is multiplied by ``scale``."""
    return _cross_entropy(logits, target) * scale


def cross_entropy_backward(logits: np.ndarray, target: np.ndarray, scale: float) -> np.ndarray:
    """See `fastcnn.functional.cross_entropy_backward`."""
    return _cross_entropy_gradient(logits, target, logits.dtype.type(scale))


def soft_cross_entropy(logits: np.ndarray, shares: np.ndarray, scale: float) -> float:
    """Cross-entropy in which every class has a share of a row; see `fastcnn.functional.cross_entropy`."""
    return _soft_cross_entropy(logits, shares) * scale


def soft_cross_entropy_backward(logits: np.ndarray, shares: np.ndarray, scale: float) -> np.ndarray:
    """See `soft_cross_entropy`."""
    return _soft_cross_entropy_gradient(logits, shares, logits.dtype.type(scale))


def mse_loss(x: np.ndarray, target: np.ndarray, scale: float) -> float:
    """See `fastcnn.functional.mse_loss`; the sum is multiplied by ``scale``."""
    return _squared_error(x.reshape(-1), target.reshape(-1)) * scale


def mse_loss_backward(x: np.ndarray, target: np.ndarray, scale: float) -> np.ndarray:
    """See `fastcnn.functional.mse_loss_backward`."""
    return _squared_error_gradient(x.reshape(-1), target.reshape(-1), x.dtype.type(2 * scale)).reshape(x.shape)


@kernel
def _exponentials(x):
    """``exp(x - largest of the row)``, in one loop over all rows, which fills vectors; and the largest of each row."""
    y, largest = np.empty_like(x), np.empty(len(x), x.dtype)
    for n in range(len(x)):
        largest[n] = x[n, 0]
        for value in x[n]:
            largest[n] = value if value > largest[n] else largest[n]
        for k in range(x.shape[1]):
            y[n, k] = x[n, k] - largest[n]
    numbers = y.reshape(-1)
    for i in range(numbers.size):
        numbers[i] = exp(numbers[i])
    return y, largest


@kernel
def _total(row):
    """Sum of a row, one after the other."""
    total = row.dtype.type(0)
    for value in row:
        total += value
    return total


@kernel
def _cross_entropy(logits, target):
    exponentials, largest = _exponentials(logits)
    loss = 0.0
    for n in range(len(logits)):
        loss += math.log(_total(exponentials[n])) - (logits[n, target[n]] - largest[n])
    return loss


@kernel
def _cross_entropy_gradient(logits, target, scale):
    dlogits, _ = _exponentials(logits)
    for n in range(len(logits)):
        total = _total(dlogits[n])
        for k in range(logits.shape[1]):
            dlogits[n, k] = scale * (dlogits[n, k] / total - (1 if k == target[n] else 0))
    return dlogits


@kernel
def _soft_cross_entropy(logits, shares):
    exponentials, largest = _exponentials(logits)
    loss = 0.0
    for n in range(len(logits)):
        log_total = math.log(_total(exponentials[n]))
        for k in range(logits.shape[1]):
            if shares[n, k] != 0:  # a class without a share may be impossible, and a row without any may be NaN
                loss += shares[n, k] * (log_total - (logits[n, k] - largest[n]))
    return loss


@kernel
def _soft_cross_entropy_gradient(logits, shares, scale):
    dlogits, _ = _exponentials(logits)
    for n in range(len(logits)):
        total, share = _total(dlogits[n]), shares[n].sum()
        for k in range(logits.shape[1]):
            dlogits[n, k] = scale * (dlogits[n, k] / total * share - shares[n, k]) if share != 0 else 0
    return dlogits


@kernel
def _squared_error(x, target):
    total = 0.0
    for i in range(x.size):
        difference = x[i] - target[i]
        total += difference * difference
    return total


@kernel
def _squared_error_gradient(x, target, scale):
    dx = np.empty_like(x)
    for i in range(x.size):
        dx[i] = scale * (x[i] - target[i])
    return dx
