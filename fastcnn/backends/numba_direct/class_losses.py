"""Classification losses on plain arrays (N, classes, ...): a task is several neighbouring rows."""

import math
from typing import Any

import numpy as np

from fastcnn.backends.numba_direct.kernels.exp import exp
from fastcnn.backends.numba_direct.losses import Weights
from fastcnn.backends.numba_direct.runtime.arguments import numbers_at
from fastcnn.backends.numba_direct.runtime.compile import inlined, kernel
from fastcnn.backends.numba_direct.runtime.memory import aligned

_CHUNK = 2048  # exponentials of a task, about, unless `_FEWEST` rows have more
_FEWEST = 16  # rows of a task, if there are as many; side by side they fill a vector


def cross_entropy(logits: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Loss of each row; see `fastcnn.functional.cross_entropy`."""
    return _losses(_cross_entropy, x=logits, target=target)


def cross_entropy_backward(dy: Weights, logits: np.ndarray, target: np.ndarray) -> np.ndarray:
    """See `fastcnn.functional.cross_entropy_backward`."""
    return _gradients(_cross_entropy_gradient, dy, x=logits, target=target)


def soft_cross_entropy(logits: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Cross-entropy with soft targets, a share for each class; see `fastcnn.functional.cross_entropy`."""
    return _losses(_soft_cross_entropy, x=logits, shares=shares)


def soft_cross_entropy_backward(dy: Weights, logits: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """See `soft_cross_entropy`."""
    return _gradients(_soft_cross_entropy_gradient, dy, x=logits, shares=shares)


def nll_loss(x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Loss of each row; see `fastcnn.functional.nll_loss`."""
    return _losses(_nll, x=x, target=target)


def nll_loss_backward(dy: Weights, x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """See `fastcnn.functional.nll_loss_backward`."""
    return _gradients(_nll_gradient, dy, x=x, target=target)


def _losses(kernel, **arrays: np.ndarray) -> np.ndarray:
    x = arrays["x"]
    losses = aligned((len(x), *x.shape[2:]), x.dtype)
    _launch(kernel, losses=losses, **arrays)
    return losses


def _gradients(kernel, dy: Weights, **arrays: np.ndarray) -> np.ndarray:
    dx = aligned(arrays["x"].shape, arrays["x"].dtype)
    _launch(kernel, dy=np.asarray(dy), dx=dx, **arrays)
    return dx


def _launch(kernel, **arrays: np.ndarray) -> None:
    """Launch a kernel on rows: ``count`` neighbouring rows are ``step`` elements apart, in each of several groups.

    In (N, classes), all rows are neighbours. With more axes, the rows of an image are, one for each of its pixels.
    """
    N, classes, *behind = arrays["x"].shape
    pixels = math.prod(behind)
    outer, count, step, class_step = (1, N, classes, 1) if pixels == 1 else (N, pixels, 1, pixels)
    together = min(count, max(_FEWEST, _CHUNK // classes))
    given: dict[str, Any] = {"classes": classes, "count": count, "step": step, "class_step": class_step}
    scratch = together * (classes + 2) * arrays["x"].itemsize
    kernel(outer * -(-count // together), scratch, **arrays, **given, together=together)


# A task of each kernel is several neighbouring rows.


@inlined
def _share(task, a):
    """Index of a task's first row, number of its rows, and offset in ``x`` at which the first one begins."""
    outer, chunk = divmod(task, (a.count + a.together - 1) // a.together)
    row = chunk * a.together
    start = outer * a.count * a.classes + row * a.step
    return outer * a.count + row, min(a.together, a.count - row), start


@inlined
def _memory(scratch, a):
    """Memory for the exponentials of a task's rows, with those of a class side by side, and for two numbers per row."""
    size, behind = a.together * a.classes, scratch + a.together * a.classes * a.x.itemsize
    of_rows = numbers_at(behind, a.together, a.x), numbers_at(behind + a.together * a.x.itemsize, a.together, a.x)
    return numbers_at(scratch, size, a.x), of_rows[0], of_rows[1]


@inlined
def _exponentials(start, rows, a, memory, largest, total):
    """The largest number of each row, the exponentials of ``x - largest``, and their sum."""
    x, step = a.x, a.step
    for k in range(a.classes):
        at = start + k * a.class_step
        for i in range(rows):
            memory[k * rows + i] = x[at + i * step]
    for i in range(rows):
        largest[i] = memory[i]
    for k in range(1, a.classes):
        for i in range(rows):
            largest[i] = memory[k * rows + i] if memory[k * rows + i] > largest[i] else largest[i]
    for k in range(a.classes):
        for i in range(rows):
            memory[k * rows + i] -= largest[i]
    for i in range(a.classes * rows):  # one loop, so that it is vectorized
        memory[i] = exp(memory[i])
    for i in range(rows):
        total[i] = 0
    for k in range(a.classes):
        for i in range(rows):
            total[i] += memory[k * rows + i]


@inlined
def _weights(row, rows, dy, weights):
    """Copy ``dy`` of a task's rows to ``weights``."""
    for i in range(rows):
        weights[i] = dy[row + i if dy.size > 1 else 0]


@kernel(writes="losses")
def _cross_entropy(first, last, a, scratch):
    x, target, losses = a.x, a.target, a.losses
    memory, largest, total = _memory(scratch, a)
    for task in range(first, last):
        row, rows, start = _share(task, a)
        _exponentials(start, rows, a, memory, largest, total)
        for i in range(rows):
            chosen = x[start + target[row + i] * a.class_step + i * a.step]
            losses[row + i] = math.log(total[i]) - (chosen - largest[i])


@kernel(writes="dx")
def _cross_entropy_gradient(first, last, a, scratch):
    dx, dy, target, step = a.dx, a.dy, a.target, a.step
    memory, weights, total = _memory(scratch, a)
    one = a.x.dtype.type(1)
    for task in range(first, last):
        row, rows, start = _share(task, a)
        _exponentials(start, rows, a, memory, weights, total)
        _weights(row, rows, dy, weights)
        for k in range(a.classes):
            at = start + k * a.class_step
            for i in range(rows):
                dx[at + i * step] = weights[i] * (memory[k * rows + i] / total[i]) if weights[i] != 0 else 0
        for i in range(rows):
            k = target[row + i]
            if weights[i] != 0:
                part = memory[k * rows + i] / total[i] - one
                dx[start + k * a.class_step + i * step] = weights[i] * part


@kernel(writes="losses")
def _soft_cross_entropy(first, last, a, scratch):
    x, shares, losses = a.x, a.shares, a.losses
    memory, largest, total = _memory(scratch, a)
    for task in range(first, last):
        row, rows, start = _share(task, a)
        _exponentials(start, rows, a, memory, largest, total)
        for i in range(rows):
            log_total, loss = math.log(total[i]), 0.0
            for k in range(a.classes):
                at = start + k * a.class_step + i * a.step
                if shares[at] != 0:  # with share 0, the log-probability may be -inf or NaN
                    loss += shares[at] * (log_total - (x[at] - largest[i]))
            losses[row + i] = loss


@kernel(writes="dx")
def _soft_cross_entropy_gradient(first, last, a, scratch):
    dx, dy, shares, step = a.dx, a.dy, a.shares, a.step
    memory, weights, total = _memory(scratch, a)
    for task in range(first, last):
        row, rows, start = _share(task, a)
        _exponentials(start, rows, a, memory, weights, total)
        _weights(row, rows, dy, weights)
        for i in range(rows):
            share = dx.dtype.type(0)
            for k in range(a.classes):
                share += shares[start + k * a.class_step + i * step]
            for k in range(a.classes):
                at = start + k * a.class_step + i * step
                part = memory[k * rows + i] / total[i] * share - shares[at]
                dx[at] = weights[i] * part if share != 0 and weights[i] != 0 else 0


@kernel(writes="losses")
def _nll(first, last, a, scratch):
    x, target, losses = a.x, a.target, a.losses
    for task in range(first, last):
        row, rows, start = _share(task, a)
        for i in range(rows):
            losses[row + i] = -x[start + target[row + i] * a.class_step + i * a.step]


@kernel(writes="dx")
def _nll_gradient(first, last, a, scratch):
    dx, dy, target = a.dx, a.dy, a.target
    for task in range(first, last):
        row, rows, start = _share(task, a)
        for k in range(a.classes):
            for i in range(rows):
                dx[start + k * a.class_step + i * a.step] = 0
        for i in range(rows):
            dx[start + target[row + i] * a.class_step + i * a.step] = -dy[row + i if dy.size > 1 else 0]
