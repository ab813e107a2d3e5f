"""The losses, row by row on plain (rows, classes) arrays: a batch of logits is too small for threads."""

import math

import numpy as np

from fastcnn.backends.numba_direct._jit import kernel


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
def _log_sum_exp(row):
    """Largest value of a row and the logarithm of the sum of exp(x - largest)."""
    largest = row[0]
    for value in row:
        largest = value if value > largest else largest
    total = row.dtype.type(0)
    for value in row:
        total += math.exp(value - largest)
    return largest, math.log(total)


@kernel
def _softmax(x):
    y = np.empty_like(x)
    for n in range(len(x)):
        largest = x[n, 0]
        for value in x[n]:
            largest = value if value > largest else largest
        total = x.dtype.type(0)
        for k in range(x.shape[1]):
            y[n, k] = math.exp(x[n, k] - largest)
            total += y[n, k]
        for k in range(x.shape[1]):
            y[n, k] /= total
    return y


@kernel
def _cross_entropy(logits, target):
    loss = 0.0
    for n in range(len(logits)):
        largest, log_total = _log_sum_exp(logits[n])
        loss += log_total - (logits[n, target[n]] - largest)
    return loss


@kernel
def _cross_entropy_gradient(logits, target, scale):
    dlogits = _softmax(logits)
    for n in range(len(logits)):
        dlogits[n, target[n]] -= 1
        for k in range(logits.shape[1]):
            dlogits[n, k] *= scale
    return dlogits


@kernel
def _soft_cross_entropy(logits, shares):
    loss = 0.0
    for n in range(len(logits)):
        largest, log_total = _log_sum_exp(logits[n])
        for k in range(logits.shape[1]):
            if shares[n, k] != 0:  # a class without a share may be impossible, and a row without any may be NaN
                loss += shares[n, k] * (log_total - (logits[n, k] - largest))
    return loss


@kernel
def _soft_cross_entropy_gradient(logits, shares, scale):
    dlogits = _softmax(logits)
    for n in range(len(logits)):
        total = shares[n].sum()
        for k in range(logits.shape[1]):
            dlogits[n, k] = scale * (dlogits[n, k] * total - shares[n, k]) if total != 0 else 0
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
