"""Softmax, its logarithm, and their gradients on batch-blocked arrays: many rows, along the axis ``dim``, at once."""

import math

import numba
import numpy as np

from fastcnn.backends.numba_direct._jit import parallel_kernel, scratch
from fastcnn.backends.numba_direct.denormals import flush_denormals, restore_denormals
from fastcnn.backends.numba_direct.exp import exp
from fastcnn.backends.numba_direct.layout import BlockedArray, empty

_ROWS = 256  # neighbours that a task takes together: what it remembers of them stays in the first-level cache


def softmax(x: BlockedArray, dim: int) -> BlockedArray:
    """See `fastcnn.functional.softmax`."""
    return _rows(_softmax, dim, x)


def softmax_backward(dy: BlockedArray, y: BlockedArray, dim: int) -> BlockedArray:
    """See `fastcnn.functional.softmax_backward`."""
    return _rows(_softmax_gradient, dim, dy, y)


def log_softmax(x: BlockedArray, dim: int) -> BlockedArray:
    """See `fastcnn.functional.log_softmax`."""
    return _rows(_log_softmax, dim, x)


def log_softmax_backward(dy: BlockedArray, y: BlockedArray, dim: int) -> BlockedArray:
    """See `fastcnn.functional.log_softmax_backward`."""
    return _rows(_log_softmax_gradient, dim, dy, y)


def _rows(kernel, dim: int, *arrays: BlockedArray) -> BlockedArray:
    """Rows as kernels take them: element k of neighbouring rows side by side, ``step`` numbers behind element k - 1."""
    out = empty(arrays[0].shape, arrays[0].dtype)
    count = out.blocks.shape[dim]
    step = math.prod(out.blocks.shape[dim + 1 :])
    kernel(*(array.blocks.reshape(-1) for array in (out, *arrays)), count, step)
    return out


# Each kernel is parallel over (what stands before the axis, chunk of neighbouring rows): a thread writes those rows.


@numba.njit(inline="always")
def _tasks(x, count, step):
    return x.size // (count * step) * ((step + _ROWS - 1) // _ROWS)


@numba.njit(inline="always")
def _share(task, count, step):
    """Where the task's rows start and stop, how far apart their elements are, and how many rows they are.

    All unsigned, as Numba would ask of a signed place whether it counts from the end; loops that ask are half as fast.
    """
    step, together = np.uintp(step), np.uintp(_ROWS)
    outer, chunk = divmod(np.uintp(task), (step + together - np.uintp(1)) // together)
    start = outer * np.uintp(count) * step + chunk * together
    return start, start + np.uintp(count) * step, step, min(together, step - chunk * together)


@numba.njit(inline="always")
def _maxima(x, start, stop, step, rows, largest):
    for i in range(rows):
        largest[i] = x[start + i]
    for k in range(start + step, stop, step):
        for i in range(rows):
            largest[i] = x[k + i] if x[k + i] > largest[i] else largest[i]


@parallel_kernel
def _softmax(y, x, count, step):
    for task in numba.prange(_tasks(x, count, step)):
        mode = flush_denormals()
        start, stop, apart, rows = _share(task, count, step)
        largest, total = scratch(_ROWS, x), scratch(_ROWS, x)
        _maxima(x, start, stop, apart, rows, largest)
        total[:] = 0
        for k in range(start, stop, apart):
            for i in range(rows):
                y[k + i] = exp(x[k + i] - largest[i])
                total[i] += y[k + i]
        for k in range(start, stop, apart):
            for i in range(rows):
                y[k + i] /= total[i]
        restore_denormals(mode)


@parallel_kernel
def _softmax_gradient(dx, dy, y, count, step):
    for task in numba.prange(_tasks(y, count, step)):
        mode = flush_denormals()
        start, stop, apart, rows = _share(task, count, step)
        along = scratch(_ROWS, y)
        along[:] = 0
        for k in range(start, stop, apart):
            for i in range(rows):
                along[i] += dy[k + i] * y[k + i]
        for k in range(start, stop, apart):
            for i in range(rows):
                dx[k + i] = y[k + i] * (dy[k + i] - along[i])
        restore_denormals(mode)


@parallel_kernel
def _log_softmax(y, x, count, step):
    for task in numba.prange(_tasks(x, count, step)):
        mode = flush_denormals()
        start, stop, apart, rows = _share(task, count, step)
        largest, total = scratch(_ROWS, x), scratch(_ROWS, x)
        _maxima(x, start, stop, apart, rows, largest)
        total[:] = 0
        for k in range(start, stop, apart):
            for i in range(rows):
                total[i] += exp(x[k + i] - largest[i])
        for i in range(rows):
            total[i] = math.log(total[i])
        for k in range(start, stop, apart):
            for i in range(rows):
                y[k + i] = (x[k + i] - largest[i]) - total[i]
        restore_denormals(mode)


@parallel_kernel
def _log_softmax_gradient(dx, dy, y, count, step):
    for task in numba.prange(_tasks(y, count, step)):
        mode = flush_denormals()
        start, stop, apart, rows = _share(task, count, step)
        total = scratch(_ROWS, y)
        total[:] = 0
        for k in range(start, stop, apart):
            for i in range(rows):
                total[i] += dy[k + i]
        for k in range(start, stop, apart):
            for i in range(rows):
                dx[k + i] = dy[k + i] - exp(y[k + i]) * total[i]
        restore_denormals(mode)
