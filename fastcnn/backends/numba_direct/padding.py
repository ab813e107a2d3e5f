"""Padding and its gradient on batch-blocked images, by tables of the source of each row and column."""

import functools

import numpy as np

from fastcnn._geometry import Padded
from fastcnn.backends.numba_direct.kernels.plan import constant
from fastcnn.backends.numba_direct.layout import BlockedArray, empty
from fastcnn.backends.numba_direct.runtime.compile import kernel
from fastcnn.backends.numba_direct.simd import lane_count


def pad(x: BlockedArray, padded: Padded, value: float) -> BlockedArray:
    """See `fastcnn.functional.pad`."""
    rows, columns = _tables(padded)
    y = empty((*x.shape[:2], len(rows), len(columns)), x.dtype)
    planes = len(y.blocks), x.shape[1]
    fill = x.dtype.type(value)
    _pad(planes, x=x.blocks, y=y.blocks, rows=rows, columns=columns, H=padded.H, W=padded.W, value=fill)
    return y


def pad_backward(dy: BlockedArray, padded: Padded) -> BlockedArray:
    """See `fastcnn.functional.pad_backward`."""
    rows, columns = _tables(padded)
    dx = empty((*dy.shape[:2], padded.H, padded.W), dy.dtype)
    planes = len(dx.blocks), dy.shape[1]
    _pad_backward(planes, dy=dy.blocks, dx=dx.blocks, rows=rows, columns=columns, H=padded.H, W=padded.W)
    return dx


@functools.lru_cache(1024)
def _tables(padded: Padded) -> tuple[np.ndarray, np.ndarray]:
    return constant(np.array(padded.rows)), constant(np.array(padded.columns))


@kernel(writes="y")
def _pad(first, last, a, scratch):
    """A task is a plane."""
    x, y, rows, columns, H, W, value = a.x, a.y, a.rows, a.columns, a.H, a.W, a.value
    L, OH, OW = lane_count(x), rows.size, columns.size
    for task in range(first, last):
        for oy in range(OH):
            start, to = (task * H + rows[oy]) * W, (task * OH + oy) * OW
            for ox in range(OW):
                place = (to + ox) * L
                if rows[oy] >= 0 and columns[ox] >= 0:
                    pixel = (start + columns[ox]) * L
                    for lane in range(L):
                        y[place + lane] = x[pixel + lane]
                else:
                    for lane in range(L):
                        y[place + lane] = value


@kernel(writes="dx")
def _pad_backward(first, last, a, scratch):
    """A task is a plane; gradients are added from its first output to its last."""
    dy, dx, rows, columns, H, W = a.dy, a.dx, a.rows, a.columns, a.H, a.W
    L, OH, OW = lane_count(dy), rows.size, columns.size
    for task in range(first, last):
        for i in range(task * H * W * L, (task + 1) * H * W * L):
            dx[i] = 0
        for oy in range(OH):
            to, start = (task * H + rows[oy]) * W, (task * OH + oy) * OW
            for ox in range(OW):
                if rows[oy] >= 0 and columns[ox] >= 0:
                    place, pixel = (to + columns[ox]) * L, (start + ox) * L
                    for lane in range(L):
                        dx[place + lane] += dy[pixel + lane]
