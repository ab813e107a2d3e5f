"""Elementwise losses and their gradients, all elements at once."""

import functools

import numpy as np

from fastcnn.backends.numpy_im2col.activations import sigmoid


def _quiet(function):
    """Decorator: no warnings for overflow or invalid values, and a 0-d array where NumPy returns a scalar."""

    @functools.wraps(function)
    def quiet(*given):
        with np.errstate(invalid="ignore", over="ignore"):
            return np.asarray(function(*given))

    return quiet


@_quiet
def mse_loss(x, target):
    """Loss of each element; see `fastcnn.functional.mse_loss`."""
    return np.square(x - target)


@_quiet
def mse_loss_backward(dy, x, target):
    """See `fastcnn.functional.mse_loss_backward`."""
    return _times(dy, 2 * (x - target))


@_quiet
def l1_loss(x, target):
    """Loss of each element; see `fastcnn.functional.l1_loss`."""
    return np.abs(x - target)


@_quiet
def l1_loss_backward(dy, x, target):
    """See `fastcnn.functional.l1_loss_backward`."""
    return _times(dy, np.sign(x - target))


@_quiet
def smooth_l1_loss(x, target, beta: float):
    """Loss of each element; see `fastcnn.functional.smooth_l1_loss`."""
    size = np.abs(x - target)
    near = np.minimum(size, beta)  # its square does not overflow; `beta or 1` avoids a division by 0
    return np.where(size < beta, near * near / 2 / (beta or 1), size - beta / 2)


@_quiet
def smooth_l1_loss_backward(dy, x, target, beta: float):
    """See `fastcnn.functional.smooth_l1_loss_backward`."""
    d = x - target
    return _times(dy, np.where(np.abs(d) < beta, d / (beta or 1), np.sign(d)))


@_quiet
def huber_loss(x, target, delta: float):
    """Loss of each element; see `fastcnn.functional.huber_loss`."""
    size = np.abs(x - target)
    return np.where(size <= delta, size * size / 2, delta * (size - delta / 2))


@_quiet
def huber_loss_backward(dy, x, target, delta: float):
    """See `fastcnn.functional.huber_loss_backward`."""
    return _times(dy, np.clip(x - target, -delta, delta))


@_quiet
def binary_cross_entropy_with_logits(x, target, positives=None):
    """Loss of each element; see `fastcnn.functional.binary_cross_entropy_with_logits`.

    ``positives`` are the targets times ``pos_weight``; without one, the targets themselves.
    """
    positives = target if positives is None else positives
    small = np.log1p(np.exp(-np.abs(x)))
    return (1 - target) * (np.maximum(x, 0) + small) + positives * (np.maximum(-x, 0) + small)


@_quiet
def binary_cross_entropy_with_logits_backward(dy, x, target, positives=None):
    """See `fastcnn.functional.binary_cross_entropy_with_logits_backward`."""
    positives = target if positives is None else positives
    return _times(dy, (1 - target) * sigmoid(x) - positives * sigmoid(-x))


def _times(dy, gradients):
    """Gradients of the elements' losses, each times its ``dy``; 0 where ``dy`` is 0."""
    dy = np.asarray(dy, gradients.dtype)
    return np.where(dy == 0, 0, dy * gradients)
