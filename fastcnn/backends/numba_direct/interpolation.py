"""Resizing of images and its gradient: both are weighted sums of pixels, computed by the same kernel.

Along each axis, a table has the pixels that each output uses and their weights. For the gradient, it has the outputs
that use each pixel.
"""

import functools
from collections.abc import Sequence

import numpy as np

from fastcnn._geometry import Sampling, Taps
from fastcnn.backends.numba_direct.kernels.plan import constant
from fastcnn.backends.numba_direct.layout import BlockedArray, empty
from fastcnn.backends.numba_direct.runtime.compile import kernel
from fastcnn.backends.numba_direct.simd import (
    lane_count,
    tile_load,
    tile_multiply_add,
    tile_splat,
    tile_store,
    tile_zeros,
)

_ONE = (0,)


def interpolate(x: BlockedArray, sampling: Sampling) -> BlockedArray:
    """See `fastcnn.functional.interpolate`."""
    return _weighted(x, _table(sampling.rows, x.dtype), _table(sampling.columns, x.dtype))


def interpolate_backward(dy: BlockedArray, sampling: Sampling) -> BlockedArray:
    """See `fastcnn.functional.interpolate_backward`."""
    rows, columns = _back(sampling.rows, sampling.H), _back(sampling.columns, sampling.W)
    return _weighted(dy, _table(rows, dy.dtype), _table(columns, dy.dtype))


_Table = tuple[np.ndarray, np.ndarray, np.ndarray]


def _weighted(x: BlockedArray, rows: _Table, columns: _Table) -> BlockedArray:
    C, H, W = x.shape[1:]
    OH, OW = len(rows[0]) - 1, len(columns[0]) - 1
    y = empty((x.shape[0], C, OH, OW), x.dtype)
    _sum_weighted(
        (len(x.blocks), C * OH), x=x.blocks, y=y.blocks, H=H, W=W, OH=OH, OW=OW, rows=rows[0], row_pixels=rows[1],
        row_weights=rows[2], columns=columns[0], column_pixels=columns[1], column_weights=columns[2],
    )  # fmt: skip
    return y


@functools.lru_cache(1024)
def _back(taps: Taps, extent: int) -> Taps:
    """For each pixel, the outputs that use it and its weight there."""
    found: list[list[tuple[int, float]]] = [[] for _ in range(extent)]
    for output, pixels in enumerate(taps):
        for pixel, weight in pixels:
            if weight:
                found[pixel].append((output, weight))
    return tuple(map(tuple, found))


@functools.lru_cache(1024)
def _table(taps: Sequence, dtype) -> _Table:
    """Where the taps of each output begin, and where the last ones end; the places and weights of all taps."""
    places = np.array([place for several in taps for place, _ in several], np.int64)
    weights = np.array([weight for several in taps for _, weight in several], dtype)
    starts = np.cumsum([0, *map(len, taps)])
    return constant(starts), constant(places), constant(weights)


@kernel(writes="y")
def _sum_weighted(first, last, a, scratch):
    """A task is a row of outputs."""
    x, y, H, W, OH, OW = a.x, a.y, a.H, a.W, a.OH, a.OW
    rows, row_pixels, row_weights = a.rows, a.row_pixels, a.row_weights
    columns, column_pixels, column_weights = a.columns, a.column_pixels, a.column_weights
    L = lane_count(x)
    for task in range(first, last):
        plane, oy = divmod(task, OH)
        for ox in range(OW):
            total = tile_zeros(_ONE, _ONE, x)
            for r in range(rows[oy], rows[oy + 1]):
                line = (plane * H + row_pixels[r]) * W
                along = tile_zeros(_ONE, _ONE, x)
                for c in range(columns[ox], columns[ox + 1]):
                    pixel = tile_load(_ONE, _ONE, x, (line + column_pixels[c]) * L, 0, 0)
                    along = tile_multiply_add(pixel, tile_splat(_ONE, _ONE, column_weights, c, 0), along)
                total = tile_multiply_add(along, tile_splat(_ONE, _ONE, row_weights, r, 0), total)
            tile_store(total, y, (task * OW + ox) * L, 0, 0, 0, 0)
