"""Softmax, log-softmax and their gradients on batch-blocked arrays, for many rows along the axis ``dim`` at once."""

import math

from fastcnn.backends.numba_direct.kernels.exp import exp
from fastcnn.backends.numba_direct.layout import BlockedArray, empty
from fastcnn.backends.numba_direct.runtime.arguments import numbers_at
from fastcnn.backends.numba_direct.runtime.compile import flushing_kernel, inlined

_ROWS = 256  # neighbouring rows of a task; what it keeps of them stays in the first-level cache
_BYTES = 8 * _ROWS  # for one number of each row, of any dtype


def softmax(x: BlockedArray, dim: int) -> BlockedArray:
    """See `fastcnn.functional.softmax`."""
    return _rows(_softmax, dim, x=x)


def softmax_backward(dy: BlockedArray, y: BlockedArray, dim: int) -> BlockedArray:
    """See `fastcnn.functional.softmax_backward`."""
    return _rows(_softmax_gradient, dim, dy=dy, y=y)


def log_softmax(x: BlockedArray, dim: int) -> BlockedArray:
    """See `fastcnn.functional.log_softmax`."""
    return _rows(_log_softmax, dim, x=x)


def log_softmax_backward(dy: BlockedArray, y: BlockedArray, dim: int) -> BlockedArray:
    """See `fastcnn.functional.log_softmax_backward`."""
    return _rows(_log_softmax_gradient, dim, dy=dy, y=y)


def _rows(kernel, dim: int, **batches: BlockedArray) -> BlockedArray:
    """Launch a kernel on rows: elements k of neighbouring rows are adjacent, ``step`` after elements k - 1."""
    like = next(iter(batches.values()))
    out = empty(like.shape, like.dtype)
    before, (count, *behind) = math.prod(out.blocks.shape[:dim]), out.blocks.shape[dim:]
    step = math.prod(behind)
    blocks = {name: batch.blocks for name, batch in batches.items()}
    kernel(before * -(-step // _ROWS), 2 * _BYTES, out=out.blocks, **blocks, count=count, step=step)
    return out


# A task of each kernel is a chunk of the neighbouring rows that have the same indices before the axis ``dim``.


@inlined
def _share(task, count, step):
    """Where the task's rows start and stop, and the number of rows."""
    outer, chunk = divmod(task, (step + _ROWS - 1) // _ROWS)
    start = outer * count * step + chunk * _ROWS
    return start, start + count * step, min(_ROWS, step - chunk * _ROWS)


@inlined
def _memory(scratch, like):
    """Memory for two numbers for each of a task's rows."""
    return numbers_at(scratch, _ROWS, like), numbers_at(scratch + _BYTES, _ROWS, like)


@inlined
def _start(x, start, stop, step, rows, largest, total):
    """Set ``largest`` to the largest element of each row, and ``total`` to zero."""
    for i in range(rows):
        largest[i], total[i] = x[start + i], 0
    for k in range(start + step, stop, step):
        for i in range(rows):
            largest[i] = x[k + i] if x[k + i] > largest[i] else largest[i]


@flushing_kernel
def _softmax(first, last, a, scratch):
    y, x, count, step = a.out, a.x, a.count, a.step
    largest, total = _memory(scratch, x)
    for task in range(first, last):
        start, stop, rows = _share(task, count, step)
        _start(x, start, stop, step, rows, largest, total)
        for k in range(start, stop, step):
            for i in range(rows):
                y[k + i] = exp(x[k + i] - largest[i])
                total[i] += y[k + i]
        for k in range(start, stop, step):
            for i in range(rows):
                y[k + i] /= total[i]


@flushing_kernel
def _softmax_gradient(first, last, a, scratch):
    dx, dy, y, count, step = a.out, a.dy, a.y, a.count, a.step
    along = numbers_at(scratch, _ROWS, y)
    for task in range(first, last):
        start, stop, rows = _share(task, count, step)
        for i in range(rows):
            along[i] = 0
        for k in range(start, stop, step):
            for i in range(rows):
                along[i] += dy[k + i] * y[k + i]
        for k in range(start, stop, step):
            for i in range(rows):
                dx[k + i] = y[k + i] * (dy[k + i] - along[i])


@flushing_kernel
def _log_softmax(first, last, a, scratch):
    y, x, count, step = a.out, a.x, a.count, a.step
    largest, total = _memory(scratch, x)
    for task in range(first, last):
        start, stop, rows = _share(task, count, step)
        _start(x, start, stop, step, rows, largest, total)
        for k in range(start, stop, step):
            for i in range(rows):
                total[i] += exp(x[k + i] - largest[i])
        for i in range(rows):
            total[i] = math.log(total[i])
        for k in range(start, stop, step):
            for i in range(rows):
                y[k + i] = (x[k + i] - largest[i]) - total[i]


@flushing_kernel
def _log_softmax_gradient(first, last, a, scratch):
    dx, dy, y, count, step = a.out, a.dy, a.y, a.count, a.step
    total = numbers_at(scratch, _ROWS, y)
    for task in range(first, last):
        start, stop, rows = _share(task, count, step)
        for i in range(rows):
            total[i] = 0
        for k in range(start, stop, step):
            for i in range(rows):
                total[i] += dy[k + i]
        for k in range(start, stop, step):
            for i in range(rows):
                dx[k + i] = dy[k + i] - exp(y[k + i]) * total[i]
