"""Elementwise losses and their gradients, one element at a time."""

import math

import numpy as np

from fastcnn.backends.naive.activations import _each, _sigmoid


def mse_loss(x, target):
    """Loss of each element; see `fastcnn.functional.mse_loss`."""
    return _losses(lambda d: d * d, x, target)


def mse_loss_backward(dy, x, target):
    """See `fastcnn.functional.mse_loss_backward`."""
    return _gradients(lambda d: 2 * d, dy, x, target)


def l1_loss(x, target):
    """Loss of each element; see `fastcnn.functional.l1_loss`."""
    return _losses(abs, x, target)


def l1_loss_backward(dy, x, target):
    """See `fastcnn.functional.l1_loss_backward`."""
    return _gradients(_sign, dy, x, target)


def smooth_l1_loss(x, target, beta: float):
    """Loss of each element; see `fastcnn.functional.smooth_l1_loss`."""
    return _losses(lambda d: d * d / 2 / beta if abs(d) < beta else abs(d) - beta / 2, x, target)


def smooth_l1_loss_backward(dy, x, target, beta: float):
    """See `fastcnn.functional.smooth_l1_loss_backward`."""
    return _gradients(lambda d: d / beta if abs(d) < beta else _sign(d), dy, x, target)


def huber_loss(x, target, delta: float):
    """Loss of each element; see `fastcnn.functional.huber_loss`."""
    return _losses(lambda d: d * d / 2 if abs(d) <= delta else delta * (abs(d) - delta / 2), x, target)


def huber_loss_backward(dy, x, target, delta: float):
    """See `fastcnn.functional.huber_loss_backward`."""
    return _gradients(lambda d: d if abs(d) <= delta else delta * _sign(d), dy, x, target)


@np.errstate(over="ignore")
def binary_cross_entropy_with_logits(x, target, positives=None):
    """Loss of each element; see `fastcnn.functional.binary_cross_entropy_with_logits`.

    ``positives`` are the targets times ``pos_weight``; without one, the targets themselves.
    """
    return _each(lambda v, t, p: (1 - t) * _softplus(v) + p * _softplus(-v), x, target, _or(positives, target))


@np.errstate(over="ignore")
def binary_cross_entropy_with_logits_backward(dy, x, target, positives=None):
    """See `fastcnn.functional.binary_cross_entropy_with_logits_backward`."""

    def gradient(d, v, t, p):
        return d * ((1 - t) * _sigmoid(v) - p * _sigmoid(-v)) if d != 0 else 0.0

    return _each(gradient, np.broadcast_to(dy, x.shape).astype(x.dtype), x, target, _or(positives, target))


def _or(positives, target):
    return target if positives is None else positives


def _sign(d: float) -> float:
    return d if math.isnan(d) else float((d > 0) - (d < 0))


def _softplus(v: float) -> float:
    """``log(1 + exp(v))``."""
    return v if math.isnan(v) else max(v, 0.0) + math.log1p(math.exp(-abs(v)))


@np.errstate(over="ignore")
def _losses(function, x, target):
    """Apply ``function`` to each difference ``x - target``."""
    return _each(lambda v, t: function(v - t), x, target)


@np.errstate(over="ignore")
def _gradients(function, dy, x, target):
    """``dy`` times ``function`` of each difference ``x - target``; 0 where ``dy`` is 0."""
    weights = np.broadcast_to(dy, x.shape).astype(x.dtype)
    return _each(lambda d, v, t: d * function(v - t) if d != 0 else 0.0, weights, x, target)
