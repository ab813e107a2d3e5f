"""Elementwise losses on plain arrays: a task is a piece of neighbouring elements, so a small array is one task."""

import numpy as np

from fastcnn.backends.numba_direct.kernels import exp
from fastcnn.backends.numba_direct.losses import Weights, multiply, piece, pieces
from fastcnn.backends.numba_direct.runtime.compile import inlined, kernel
from fastcnn.backends.numba_direct.runtime.memory import aligned


def mse_loss(x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Loss of each element; see `fastcnn.functional.mse_loss`."""
    return _losses(_squares, x=x, target=target)


def mse_loss_backward(dy: Weights, x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """See `fastcnn.functional.mse_loss_backward`."""
    return _gradients(_squares_gradient, dy, x=x, target=target)


def l1_loss(x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Loss of each element; see `fastcnn.functional.l1_loss`."""
    return _losses(_sizes, x=x, target=target)


def l1_loss_backward(dy: Weights, x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """See `fastcnn.functional.l1_loss_backward`."""
    return _gradients(_sizes_gradient, dy, x=x, target=target)


def smooth_l1_loss(x: np.ndarray, target: np.ndarray, beta: float) -> np.ndarray:
    """Loss of each element; see `fastcnn.functional.smooth_l1_loss`."""
    return _losses(_smooth, x=x, target=target, beta=x.dtype.type(beta))


def smooth_l1_loss_backward(dy: Weights, x: np.ndarray, target: np.ndarray, beta: float) -> np.ndarray:
    """See `fastcnn.functional.smooth_l1_loss_backward`."""
    return _gradients(_smooth_gradient, dy, x=x, target=target, beta=x.dtype.type(beta))


def huber_loss(x: np.ndarray, target: np.ndarray, delta: float) -> np.ndarray:
    """Loss of each element; see `fastcnn.functional.huber_loss`."""
    return _losses(_huber, x=x, target=target, delta=x.dtype.type(delta))


def huber_loss_backward(dy: Weights, x: np.ndarray, target: np.ndarray, delta: float) -> np.ndarray:
    """See `fastcnn.functional.huber_loss_backward`."""
    return _gradients(_huber_gradient, dy, x=x, target=target, delta=x.dtype.type(delta))


def binary_cross_entropy_with_logits(
    x: np.ndarray, target: np.ndarray, positives: np.ndarray | None = None
) -> np.ndarray:
    """Loss of each element; see `fastcnn.functional.binary_cross_entropy_with_logits`.

    ``positives`` are the targets times ``pos_weight``; without one, the targets themselves.
    """
    return _losses(_binary, x=x, target=target, positives=target if positives is None else positives)


def binary_cross_entropy_with_logits_backward(
    dy: Weights, x: np.ndarray, target: np.ndarray, positives: np.ndarray | None = None
) -> np.ndarray:
    """See `fastcnn.functional.binary_cross_entropy_with_logits_backward`."""
    return _gradients(_binary_gradient, dy, x=x, target=target, positives=target if positives is None else positives)


def _losses(kernel, **given) -> np.ndarray:
    x = given["x"]
    losses = aligned(x.shape, x.dtype)
    kernel(pieces(x), losses=losses, **given)
    return losses


def _gradients(kernel, dy: Weights, **given) -> np.ndarray:
    x = given["x"]
    dx = aligned(x.shape, x.dtype)
    kernel(pieces(x), dy=np.asarray(dy), dx=dx, **given)
    return dx


@inlined
def _sign(d, one):
    """1, 0 or -1, written so that NaN stays NaN."""
    return one if d > 0 else -one if d < 0 else d


@kernel(writes="losses")
def _squares(first, last, a, scratch):
    x, target, losses = a.x, a.target, a.losses
    for task in range(first, last):
        start, stop = piece(task, x)
        for i in range(start, stop):
            d = x[i] - target[i]
            losses[i] = d * d


@kernel(writes="dx")
def _squares_gradient(first, last, a, scratch):
    x, target, dx = a.x, a.target, a.dx
    for task in range(first, last):
        start, stop = piece(task, x)
        for i in range(start, stop):
            d = x[i] - target[i]
            dx[i] = d + d
        multiply(dx, a.dy, start, stop)


@kernel(writes="losses")
def _sizes(first, last, a, scratch):
    x, target, losses = a.x, a.target, a.losses
    for task in range(first, last):
        start, stop = piece(task, x)
        for i in range(start, stop):
            losses[i] = abs(x[i] - target[i])


@kernel(writes="dx")
def _sizes_gradient(first, last, a, scratch):
    x, target, dx = a.x, a.target, a.dx
    one = x.dtype.type(1)
    for task in range(first, last):
        start, stop = piece(task, x)
        for i in range(start, stop):
            dx[i] = _sign(x[i] - target[i], one)
        multiply(dx, a.dy, start, stop)


@kernel(writes="losses")
def _smooth(first, last, a, scratch):
    x, target, losses, beta = a.x, a.target, a.losses, a.beta
    half = x.dtype.type(0.5)
    for task in range(first, last):
        start, stop = piece(task, x)
        for i in range(start, stop):
            size = abs(x[i] - target[i])
            losses[i] = half * size * size / beta if size < beta else size - half * beta


@kernel(writes="dx")
def _smooth_gradient(first, last, a, scratch):
    x, target, dx, beta = a.x, a.target, a.dx, a.beta
    one = x.dtype.type(1)
    for task in range(first, last):
        start, stop = piece(task, x)
        for i in range(start, stop):
            d = x[i] - target[i]
            dx[i] = d / beta if abs(d) < beta else _sign(d, one)
        multiply(dx, a.dy, start, stop)


@kernel(writes="losses")
def _huber(first, last, a, scratch):
    x, target, losses, delta = a.x, a.target, a.losses, a.delta
    half = x.dtype.type(0.5)
    for task in range(first, last):
        start, stop = piece(task, x)
        for i in range(start, stop):
            size = abs(x[i] - target[i])
            losses[i] = half * size * size if size <= delta else delta * (size - half * delta)


@kernel(writes="dx")
def _huber_gradient(first, last, a, scratch):
    x, target, dx, delta = a.x, a.target, a.dx, a.delta
    for task in range(first, last):
        start, stop = piece(task, x)
        for i in range(start, stop):
            d = x[i] - target[i]
            d = delta if d > delta else d  # written so that NaN stays NaN
            dx[i] = -delta if d < -delta else d
        multiply(dx, a.dy, start, stop)


@kernel(writes="losses")
def _binary(first, last, a, scratch):
    x, target, positives, losses = a.x, a.target, a.positives, a.losses
    one = x.dtype.type(1)
    for task in range(first, last):
        start, stop = piece(task, x)
        for i in range(start, stop):
            above, below = exp.softplus(x[i])
            losses[i] = (one - target[i]) * above + positives[i] * below


@kernel(writes="dx")
def _binary_gradient(first, last, a, scratch):
    x, target, positives, dx = a.x, a.target, a.positives, a.dx
    one = x.dtype.type(1)
    for task in range(first, last):
        start, stop = piece(task, x)
        for i in range(start, stop):
            part, rest = exp.sigmoid(x[i])
            dx[i] = (one - target[i]) * part - positives[i] * rest
        multiply(dx, a.dy, start, stop)
