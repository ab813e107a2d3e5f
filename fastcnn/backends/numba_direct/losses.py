"""Weighted sums of losses, and stopping a program if a loss is not finite."""

import math

import numpy as np

from fastcnn.backends.numba_direct.runtime.compile import inlined, kernel, stopping_kernel
from fastcnn.backends.numba_direct.runtime.memory import aligned

Weights = float | np.ndarray  # an array of the losses' shape and dtype, or a float64 scalar
FLOAT64 = np.dtype(np.float64)
PIECE = 4096  # elements of a task


def weighted_sum(losses: np.ndarray, dy: Weights) -> np.ndarray:
    """Sum of losses, each times its ``dy``, as a 0-d array; a loss whose ``dy`` is 0 may be NaN."""
    total, tasks = aligned((), FLOAT64), pieces(losses)
    sums = total if tasks == 1 else aligned((tasks,), FLOAT64)
    _sums(tasks, losses=losses, dy=np.asarray(dy), sums=sums)
    if tasks > 1:
        _total(1, sums=sums, total=total)
    return total


def stop_unless_finite(loss: np.ndarray) -> None:
    """Stop the program if a loss is not finite."""
    _stop_unless_finite(1, loss=loss)


def pieces(x: np.ndarray) -> int:
    """Number of tasks that each take a piece of neighbouring elements."""
    return -(-x.size // PIECE)


@inlined
def piece(task, x):
    """Where a task's elements start and stop."""
    return task * PIECE, min((task + 1) * PIECE, x.size)


@inlined
def multiply(dx, dy, start, stop):
    """Multiply gradients of losses by ``dy``, in place; 0 where ``dy`` is 0."""
    if dy.size > 1:
        for i in range(start, stop):
            dx[i] = dx[i] * dy[i] if dy[i] != 0 else 0
    else:
        factor = dx.dtype.type(dy[0])
        for i in range(start, stop):
            dx[i] = dx[i] * factor if factor != 0 else 0


@kernel(writes="sums")
def _sums(first, last, a, scratch):
    losses, dy, sums = a.losses, a.dy, a.sums
    for task in range(first, last):
        start, stop = piece(task, losses)
        total = 0.0
        if dy.size > 1:
            for i in range(start, stop):
                total += losses[i] * dy[i] if dy[i] != 0 else 0
        elif dy[0] != 0:
            for i in range(start, stop):
                total += losses[i]
            total *= dy[0]
        sums[task] = total


@kernel(writes="total")
def _total(first, last, a, scratch):
    sums, total = a.sums, 0.0
    for i in range(sums.size):
        total += sums[i]
    a.total[0] = total


@stopping_kernel
def _stop_unless_finite(first, last, a, scratch):
    if not math.isfinite(a.loss[0]):
        raise FloatingPointError("not finite")
