"""The losses, row by row on plain (rows, classes) arrays: a batch of logits is one task, too small for threads."""

import math

import numpy as np

from fastcnn.backends.numba_direct.kernels.exp import exp
from fastcnn.backends.numba_direct.runtime.arguments import numbers_at
from fastcnn.backends.numba_direct.runtime.compile import inlined, kernel, stopping_kernel
from fastcnn.backends.numba_direct.runtime.memory import aligned

Scale = float | np.ndarray  # or of no axes, float64: what a program finds there when it runs
_FLOAT64 = np.dtype(np.float64)
_CHUNK = 2048  # logits whose exponentials are computed together, or a row if that has more


def cross_entropy(logits: np.ndarray, target: np.ndarray, scale: Scale) -> np.ndarray:
    """See `fastcnn.functional.cross_entropy`; the sum, of no axes, is multiplied by ``scale``."""
    return _loss(_cross_entropy, scale, logits=logits, target=target)


def cross_entropy_backward(logits: np.ndarray, target: np.ndarray, scale: Scale) -> np.ndarray:
    """See `fastcnn.functional.cross_entropy_backward`."""
    return _gradient(_cross_entropy_gradient, scale, logits=logits, target=target)


def soft_cross_entropy(logits: np.ndarray, shares: np.ndarray, scale: Scale) -> np.ndarray:
    """Cross-entropy in which every class has a share of a row; see `fastcnn.functional.cross_entropy`."""
    return _loss(_soft_cross_entropy, scale, logits=logits, shares=shares)


def soft_cross_entropy_backward(logits: np.ndarray, shares: np.ndarray, scale: Scale) -> np.ndarray:
    """See `soft_cross_entropy`."""
    return _gradient(_soft_cross_entropy_gradient, scale, logits=logits, shares=shares)


def mse_loss(x: np.ndarray, target: np.ndarray, scale: Scale) -> np.ndarray:
    """See `fastcnn.functional.mse_loss`; the sum, of no axes, is multiplied by ``scale``."""
    loss = aligned((), _FLOAT64)
    _squared_error(1, x=x, target=target, scale=np.asarray(scale, _FLOAT64), loss=loss)
    return loss


def mse_loss_backward(x: np.ndarray, target: np.ndarray, scale: Scale) -> np.ndarray:
    """See `fastcnn.functional.mse_loss_backward`."""
    dx = aligned(x.shape, x.dtype)
    _squared_error_gradient(1, x=x, target=target, scale=np.asarray(scale, _FLOAT64), dx=dx)
    return dx


def stop_unless_finite(loss: np.ndarray) -> None:
    """In a program: go no further if a loss is not finite."""
    _stop_unless_finite(1, loss=loss)


def _loss(kernel, scale: Scale, **arrays: np.ndarray) -> np.ndarray:
    loss, rows = aligned((), _FLOAT64), _rows(arrays["logits"])
    kernel(1, _bytes(arrays["logits"]), **arrays, scale=np.asarray(scale, _FLOAT64), loss=loss, **rows)
    return loss


def _gradient(kernel, scale: Scale, **arrays: np.ndarray) -> np.ndarray:
    logits = arrays["logits"]
    dlogits = aligned(logits.shape, logits.dtype)
    scale = np.asarray(scale, _FLOAT64)
    kernel(1, _bytes(logits), **arrays, scale=scale, dlogits=dlogits, **_rows(logits))
    return dlogits


def _rows(logits: np.ndarray) -> dict[str, int]:
    """How many rows are taken together."""
    N, classes = logits.shape
    return {"N": N, "classes": classes, "together": max(1, _CHUNK // classes)}


def _bytes(logits: np.ndarray) -> int:
    """Scratch for the exponentials of rows that are taken together, and for the largest logit of each."""
    return 2 * max(_CHUNK, logits.shape[1]) * logits.dtype.itemsize


@inlined
def _memory(scratch, logits, classes, together):
    return numbers_at(scratch, together * (classes + 1), logits)


@inlined
def _row(n, logits, N, classes, together, memory):
    """Where in ``memory`` row n's exponentials of ``x - largest`` begin, and where its largest logit is.

    They are computed with the first of the rows that are taken together, in one loop, which fills vectors.
    """
    if n % together == 0:
        rows, start = min(together, N - n), n * classes
        for row in range(rows):
            largest = logits[start + row * classes]
            for k in range(row * classes, (row + 1) * classes):
                largest = logits[start + k] if logits[start + k] > largest else largest
            for k in range(row * classes, (row + 1) * classes):
                memory[k] = logits[start + k] - largest
            memory[together * classes + row] = largest
        for i in range(rows * classes):
            memory[i] = exp(memory[i])
    return n % together * classes, together * classes + n % together


@inlined
def _sum(numbers, start, stop):
    """Sum of some numbers, one after the other."""
    total = numbers.dtype.type(0)
    for i in range(start, stop):
        total += numbers[i]
    return total


@kernel(writes="loss")
def _cross_entropy(first, last, a, scratch):
    logits, target, loss, N, classes, together = a.logits, a.target, a.loss, a.N, a.classes, a.together
    memory, total = _memory(scratch, logits, classes, together), 0.0
    for n in range(N):
        row, largest = _row(n, logits, N, classes, together, memory)
        log_total = math.log(_sum(memory, row, row + classes))
        total += log_total - (logits[n * classes + target[n]] - memory[largest])
    loss[0] = total * a.scale[0]


@kernel(writes="dlogits")
def _cross_entropy_gradient(first, last, a, scratch):
    logits, target, scale, out = a.logits, a.target, a.logits.dtype.type(a.scale[0]), a.dlogits
    N, classes, together = a.N, a.classes, a.together
    memory = _memory(scratch, logits, classes, together)
    for n in range(N):
        row, _ = _row(n, logits, N, classes, together, memory)
        total = _sum(memory, row, row + classes)
        for k in range(classes):
            out[n * classes + k] = scale * (memory[row + k] / total)
        out[n * classes + target[n]] = scale * (memory[row + target[n]] / total - 1)


@kernel
def _soft_cross_entropy(first, last, a, scratch):
    logits, shares, loss, N, classes, together = a.logits, a.shares, a.loss, a.N, a.classes, a.together
    memory, total = _memory(scratch, logits, classes, together), 0.0
    for n in range(N):
        row, largest = _row(n, logits, N, classes, together, memory)
        log_total = math.log(_sum(memory, row, row + classes))
        for i in range(n * classes, (n + 1) * classes):
            if shares[i] != 0:  # a class without a share may be impossible, and a row without any may be NaN
                total += shares[i] * (log_total - (logits[i] - memory[largest]))
    loss[0] = total * a.scale[0]


@kernel
def _soft_cross_entropy_gradient(first, last, a, scratch):
    logits, shares, scale, out = a.logits, a.shares, a.logits.dtype.type(a.scale[0]), a.dlogits
    N, classes, together = a.N, a.classes, a.together
    memory = _memory(scratch, logits, classes, together)
    for n in range(N):
        row, _ = _row(n, logits, N, classes, together, memory)
        at = n * classes
        total, share = _sum(memory, row, row + classes), _sum(shares, at, at + classes)
        for k in range(classes):
            out[at + k] = scale * (memory[row + k] / total * share - shares[at + k]) if share != 0 else 0


@kernel
def _squared_error(first, last, a, scratch):
    x, target, loss = a.x, a.target, a.loss
    total = 0.0
    for i in range(x.size):
        difference = x[i] - target[i]
        total += difference * difference
    loss[0] = total * a.scale[0]


@kernel
def _squared_error_gradient(first, last, a, scratch):
    x, target, scale, dx = a.x, a.target, a.x.dtype.type(2 * a.scale[0]), a.dx
    for i in range(x.size):
        dx[i] = scale * (x[i] - target[i])


@stopping_kernel
def _stop_unless_finite(first, last, a, scratch):
    if not math.isfinite(a.loss[0]):
        raise FloatingPointError("not finite")
