"""Max- and average-pooling and their gradients on batch-blocked images.

Along each axis, a table has the pixels of each window, so that borders and windows of different sizes need no special
cases. Another table has the windows of each pixel, so that the gradient of a mean is a sum over windows, too.
"""

import functools
from typing import NamedTuple

import numpy as np

from fastcnn._geometry import AdaptiveWindows, Windows, index_type
from fastcnn.backends.numba_direct.kernels.plan import constant
from fastcnn.backends.numba_direct.kernels.windows import put_windows
from fastcnn.backends.numba_direct.layout import BlockedArray, empty
from fastcnn.backends.numba_direct.runtime.compile import kernel
from fastcnn.backends.numba_direct.runtime.step import Tasks
from fastcnn.backends.numba_direct.simd import (
    lane_count,
    tile_add,
    tile_divide_columns,
    tile_full,
    tile_load,
    tile_load_bytes,
    tile_max,
    tile_relu_winners,
    tile_store,
)

_ONE = (0,)  # a tile of one vector is (_ONE, _ONE)


def max_pool2d(x: BlockedArray, windows: Windows) -> tuple[BlockedArray, BlockedArray]:
    """See `fastcnn.functional.max_pool2d`."""
    return window_maxima(x, windows)


def window_maxima(
    x: BlockedArray, windows: Windows | AdaptiveWindows, relu: bool = False
) -> tuple[BlockedArray, BlockedArray]:
    """The maximum of each window and its index; with ReLU, the index is -1 (no winner) where the result is zero."""
    t = _tables(windows)
    shape = (*x.shape[:2], len(t.rows), len(t.columns))
    y, indices = empty(shape, x.dtype), empty(shape, index_type(x.dtype))
    _max_pool(
        _planes(x, len(t.rows)), x=x.blocks, y=y.blocks, indices=indices.blocks, rows=t.rows, columns=t.columns,
        H=windows.H, W=windows.W, down=t.down, right=t.right, relu=relu,
    )  # fmt: skip
    return y, indices


def max_pool2d_backward(
    dy: BlockedArray, indices: BlockedArray, x_shape: tuple[int, ...], windows: Windows | AdaptiveWindows | None
) -> BlockedArray:
    """See `fastcnn.functional.max_pool2d_backward`; the indices are enough, so ``windows`` is unused."""
    dx = empty(x_shape, dy.dtype)
    NB, C = len(dx.blocks), x_shape[1]
    _add_to_winners((NB, C), dy=dy.blocks, indices=indices.blocks, dx=dx.blocks, planes=NB * C)
    return dx


def put_back(dy: BlockedArray, winners: np.ndarray, shape: tuple[int, ...], windows: Windows) -> BlockedArray:
    """The gradient of a pooling with windows that cover every pixel once, from the number of each window's winner.

    The number is a byte, so a convolution that finds the winners in registers writes a quarter as much as with indices.
    An index is the winner's place in its plane. It works for windows of all kinds, and is what users get.
    """
    dx = empty(shape, dy.dtype)
    _put_to_winners(
        _planes(dx, windows.OH), dy=dy.blocks, winners=winners, dx=dx.blocks, OW=windows.OW, PH=windows.KH,
        PW=windows.KW,
    )  # fmt: skip
    return dx


def avg_pool2d(
    x: BlockedArray, windows: Windows, count_include_pad: bool, divisor_override: int | None
) -> BlockedArray:
    """See `fastcnn.functional.avg_pool2d`."""
    return window_means(x, windows, window_counts(windows, count_include_pad, divisor_override, x.dtype))


def avg_pool2d_backward(
    dy: BlockedArray, windows: Windows, count_include_pad: bool, divisor_override: int | None
) -> BlockedArray:
    """See `fastcnn.functional.avg_pool2d_backward`."""
    return window_means_backward(dy, windows, window_counts(windows, count_include_pad, divisor_override, dy.dtype))


def window_means(x: BlockedArray, windows: Windows | AdaptiveWindows, counts: np.ndarray) -> BlockedArray:
    """Sum of each window, divided by its count."""
    t = _tables(windows)
    y = _sums(x, t.rows, t.columns)
    _divide(_planes(y), x=y.blocks, counts=counts, y=y.blocks)
    return y


def window_means_backward(dy: BlockedArray, windows: Windows | AdaptiveWindows, counts: np.ndarray) -> BlockedArray:
    """For each pixel, the sum over its windows of their gradient divided by their count."""
    t, shares = _tables(windows), empty(dy.shape, dy.dtype)
    _divide(_planes(dy), x=dy.blocks, counts=counts, y=shares.blocks)
    return _sums(shares, t.pixel_rows, t.pixel_columns)


def _sums(x: BlockedArray, rows: np.ndarray, columns: np.ndarray) -> BlockedArray:
    y = empty((*x.shape[:2], len(rows), len(columns)), x.dtype)
    tasks = _planes(x, len(rows))
    _sum_windows(tasks, x=x.blocks, y=y.blocks, rows=rows, columns=columns, H=x.shape[2], W=x.shape[3])
    return y


@functools.lru_cache(1024)
def window_counts(w: Windows, include_pad: bool, divisor_override: int | None, dtype) -> np.ndarray:
    """The divisor of each window, flattened: the number of its pixels, with those in the padding if ``include_pad``."""
    if divisor_override:
        return constant(np.full(w.OH * w.OW, divisor_override, dtype))

    def along(outputs, stride, taps, extent, before, after):
        first = np.arange(outputs) * stride - before
        if include_pad:  # but nothing beyond the padding
            return np.minimum(first + taps, extent + after) - first
        return np.minimum(first + taps, extent) - np.maximum(first, 0)

    rows = along(w.OH, w.SH, w.KH, w.H, w.top, w.bottom)
    columns = along(w.OW, w.SW, w.KW, w.W, w.left, w.right)
    return constant(np.outer(rows, columns).reshape(-1).astype(dtype))


class _Tables(NamedTuple):
    """Tables for each axis, in which an entry is a start and a count.

    Attributes
    ----------
    rows, columns : ndarray of shape (OH or OW, 2)
        For each window, its pixels inside the image, which are ``down`` and ``right`` apart.
    pixel_rows, pixel_columns : ndarray of shape (H or W, 2)
        For each pixel, the windows that have it between their first and last tap.
    """

    rows: np.ndarray
    columns: np.ndarray
    down: int
    right: int
    pixel_rows: np.ndarray
    pixel_columns: np.ndarray


@functools.lru_cache(1024)
def _tables(w: Windows | AdaptiveWindows) -> _Tables:
    if isinstance(w, AdaptiveWindows):
        steps = 1, 1
        (top, bottom), (left, right) = (np.transpose(spans) - [[0], [1]] for spans in (w.rows, w.columns))
    else:
        steps = w.DH, w.DW
        top, left = np.arange(w.OH) * w.SH - w.top, np.arange(w.OW) * w.SW - w.left
        bottom, right = top + (w.KH - 1) * w.DH, left + (w.KW - 1) * w.DW
    pixels = _pixels(top, bottom, steps[0], w.H), _pixels(left, right, steps[1], w.W)
    return _Tables(*pixels, *steps, _windows(top, bottom, w.H), _windows(left, right, w.W))


def _pixels(first: np.ndarray, last: np.ndarray, step: int, extent: int) -> np.ndarray:
    """For windows from a first to a last pixel, the table of their pixels inside the image."""
    first = first + np.maximum(0, -(first // step)) * step
    return constant(np.stack((first, (np.minimum(last, extent - 1) - first) // step + 1), -1))


def _windows(first: np.ndarray, last: np.ndarray, extent: int) -> np.ndarray:
    """For windows from a first to a last pixel, the table of the windows of each pixel."""
    pixels = np.arange(extent)
    begin = np.searchsorted(last, pixels)
    return constant(np.stack((begin, np.searchsorted(first, pixels, "right") - begin), -1))


def _planes(x: BlockedArray, rows: int = 1) -> Tasks:
    return len(x.blocks), x.shape[1] * rows


def tiled(w: Windows) -> bool:
    """Whether the windows cover every pixel exactly once."""
    return (w.KH * w.OH, w.KW * w.OW) == (w.H, w.W) and (w.SH, w.SW, w.DH, w.DW, w.top, w.left) == (
        w.KH, w.KW, 1, 1, 0, 0,
    )  # fmt: skip


@kernel(writes="y indices")
def _max_pool(first, last, a, scratch):
    """A task is a row of outputs. The first of equal values wins, and the last NaN."""
    x, y, indices, rows, columns = a.x, a.y, a.indices, a.rows, a.columns
    H, W, down, right, relu = a.H, a.W, a.down, a.right, a.relu
    L, OH, OW = lane_count(x), rows.size // 2, columns.size // 2
    for task in range(first, last):
        plane, oy = divmod(task, OH)
        iy, KH = rows[2 * oy], rows[2 * oy + 1]
        for ox in range(OW):
            ix, KW = columns[2 * ox], columns[2 * ox + 1]
            at = plane * H * W * L
            best = tile_load(_ONE, _ONE, x, at + (iy * W + ix) * L, 0, 0)
            places = tile_full(_ONE, _ONE, indices, iy * W + ix)
            for ky in range(KH):
                for kx in range(KW):
                    place = (iy + ky * down) * W + ix + kx * right
                    best, places = tile_max(best, places, x, at + place * L, 0, place)
            if relu:
                best, places = tile_relu_winners(best, places)
            to = (task * OW + ox) * L
            tile_store(best, y, to, 0, 0, 0, 0)
            tile_store(places, indices, to, 0, 0, 0, 0)


@kernel(writes="dx")
def _add_to_winners(first, last, a, scratch):
    """A task is a plane."""
    dy, indices, dx, planes = a.dy, a.indices, a.dx, a.planes
    L, outputs, pixels = lane_count(dy), dy.size // planes, dx.size // planes
    for plane in range(first, last):
        for i in range(plane * pixels, (plane + 1) * pixels):
            dx[i] = 0
        for i in range(plane * outputs, (plane + 1) * outputs, L):
            for lane in range(L):
                place = indices[i + lane]  # -1 for no winner: half of all after ReLU, so a branch is mispredicted
                share = dy[i + lane] if place >= 0 else dy.dtype.type(0)
                dx[plane * pixels + max(place, 0) * L + lane] += share


@kernel(writes="dx")
def _put_to_winners(first, last, a, scratch):
    """A task is a row of windows."""
    dy, winners, dx, OW, PH, PW = a.dy, a.winners, a.dx, a.OW, a.PH, a.PW
    L = lane_count(dy)
    for task in range(first, last):
        for ox in range(OW):
            at = (task * OW + ox) * L
            tile, pixels = tile_load(_ONE, _ONE, dy, at, 0, 0), tile_load_bytes(_ONE, _ONE, dy, winners, at, 0)
            put_windows(tile, pixels, dx, (task * PH * OW + ox) * PW * L, PH, PW, OW * PW, L)


@kernel(writes="y")
def _sum_windows(first, last, a, scratch):
    """A task is a row of outputs."""
    x, y, rows, columns, H, W = a.x, a.y, a.rows, a.columns, a.H, a.W
    L, OH, OW = lane_count(x), rows.size // 2, columns.size // 2
    for task in range(first, last):
        plane, oy = divmod(task, OH)
        iy, KH = rows[2 * oy], rows[2 * oy + 1]
        for ox in range(OW):
            ix, KW = columns[2 * ox], columns[2 * ox + 1]
            total = tile_full(_ONE, _ONE, x, 0)
            for ky in range(KH):
                for kx in range(KW):
                    at = ((plane * H + iy + ky) * W + ix + kx) * L
                    total = tile_add(total, tile_load(_ONE, _ONE, x, at, 0, 0))
            tile_store(total, y, (task * OW + ox) * L, 0, 0, 0, 0)


@kernel(writes="y")
def _divide(first, last, a, scratch):
    """A task is a plane."""
    x, counts, y = a.x, a.counts, a.y
    L = lane_count(x)
    for plane in range(first, last):
        for i in range(counts.size):
            at = (plane * counts.size + i) * L
            tile_store(tile_divide_columns(tile_load(_ONE, _ONE, x, at, 0, 0), counts, i), y, at, 0, 0, 0, 0)
