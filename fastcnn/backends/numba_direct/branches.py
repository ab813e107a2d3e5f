"""Operations of branches: concatenating their outputs, and splitting the gradient.

For each index of the axes before ``dim``, an array is a contiguous stretch of the whole, and is copied as such.
"""

import math
from collections.abc import Sequence

import numpy as np

from fastcnn.backends.numba_direct.layout import BlockedArray, empty
from fastcnn.backends.numba_direct.runtime.compile import kernel
from fastcnn.backends.numba_direct.runtime.step import Tasks


def concatenate(xs: Sequence[BlockedArray], dim: int) -> BlockedArray:
    """See `fastcnn.nn.Concat`."""
    y = empty((*xs[0].shape[:dim], sum(x.shape[dim] for x in xs), *xs[0].shape[dim + 1 :]), xs[0].dtype)
    join([x.blocks for x in xs], y.blocks, dim)
    return y


def concatenate_backward(dy: BlockedArray, sizes: tuple[int, ...], dim: int) -> list[BlockedArray]:
    """See `fastcnn.nn.Concat`; splits `dy` into parts of these sizes along an axis."""
    dxs = [empty((*dy.shape[:dim], size, *dy.shape[dim + 1 :]), dy.dtype) for size in sizes]
    first = 0
    for dx in dxs:
        tasks, place = _place(dx.blocks, dy.blocks, dim, first)
        _take(tasks, x=dy.blocks, y=dx.blocks, **place)
        first += dx.shape[dim]
    return dxs


def join(parts: Sequence[np.ndarray], whole: np.ndarray, dim: int) -> None:
    """Copy arrays (blocks, ..., lanes) into ``whole``, side by side along an axis."""
    first = 0
    for part in parts:
        tasks, place = _place(part, whole, dim, first)
        _put(tasks, x=part, y=whole, **place)
        first += part.shape[dim]


def _place(part: np.ndarray, whole: np.ndarray, dim: int, first: int) -> tuple[Tasks, dict[str, int]]:
    """The tasks of a copy, and where the stretches of an array are in the whole, in which it begins at ``first``."""
    before, each = math.prod(part.shape[1:dim]), math.prod(part.shape[dim + 1 :])
    pieces = part.shape[dim] if before == 1 else 1
    stretch = part.shape[dim] * each
    place = {"stretch": stretch, "pitch": whole.shape[dim] * each, "start": first * each, "piece": stretch // pieces}
    return (len(part), before * pieces), place


# In both kernels, a task is a piece of a stretch: one channel or feature if these are joined, else the whole stretch.


@kernel(writes="y")
def _put(first, last, a, scratch):
    x, y, stretch, pitch, start, piece = a.x, a.y, a.stretch, a.pitch, a.start, a.piece
    for task in range(first, last):
        row, at = divmod(task * piece, stretch)
        to = row * pitch + start + at
        for i in range(piece):
            y[to + i] = x[task * piece + i]


@kernel(writes="y")
def _take(first, last, a, scratch):
    x, y, stretch, pitch, start, piece = a.x, a.y, a.stretch, a.pitch, a.start, a.piece
    for task in range(first, last):
        row, at = divmod(task * piece, stretch)
        begin = row * pitch + start + at
        for i in range(piece):
            y[task * piece + i] = x[begin + i]
