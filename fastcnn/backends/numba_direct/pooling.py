"""Max- and average-pooling and their gradients on batch-blocked images.

Several outputs of a row stand side by side in a tile, so that none waits for the one before.
"""

import functools

import numba
import numpy as np

from fastcnn._geometry import Windows, index_type
from fastcnn.backends.numba_direct._jit import parallel_kernel, taps_inside
from fastcnn.backends.numba_direct.layout import BlockedArray, empty
from fastcnn.backends.numba_direct.simd import (
    lane_count,
    tile_add,
    tile_add_inside,
    tile_add_steps,
    tile_add_to_winners,
    tile_divide_columns,
    tile_full,
    tile_max,
    tile_max_inside,
    tile_put_to_winners,
    tile_read,
    tile_read_bytes,
    tile_read_inside,
    tile_store,
)


def max_pool2d(x: BlockedArray, windows: Windows) -> tuple[BlockedArray, BlockedArray]:
    """See `fastcnn.functional.max_pool2d`."""
    shape = (*x.shape[:2], windows.OH, windows.OW)
    y = empty(shape, x.dtype)
    indices = empty(shape, index_type(x.dtype))
    columns = pool_columns(windows.OW)
    flat = x.blocks.reshape(-1), y.blocks.reshape(-1), indices.blocks.reshape(-1)
    _max_pool((0,), columns, *flat, len(x.blocks) * x.shape[1], tuple(windows))
    return y, indices


def max_pool2d_backward(
    dy: BlockedArray, indices: BlockedArray, x_shape: tuple[int, ...], windows: Windows | None
) -> BlockedArray:
    """See `fastcnn.functional.max_pool2d_backward`."""
    dx = empty(x_shape, dy.dtype)
    if windows is None:
        _scatter(as_planes(dy), as_planes(indices), as_planes(dx))
    else:
        columns = pool_columns(windows.OW)
        flat = dy.blocks.reshape(-1), indices.blocks.reshape(-1), dx.blocks.reshape(-1)
        _max_pool_gradient((0,), columns, *flat, len(dx.blocks) * x_shape[1], tuple(windows), tiled(windows))
    return dx


def put_back(dy: BlockedArray, winners: np.ndarray, shape: tuple[int, ...], windows: Windows) -> BlockedArray:
    """The gradient of a pooling whose windows cover every pixel once, from which pixel of each window won."""
    dx = empty(shape, dy.dtype)
    flat = dy.blocks.reshape(-1), winners.reshape(-1), dx.blocks.reshape(-1)
    _put_back((0,), pool_columns(windows.OW), *flat, len(dx.blocks) * shape[1] * windows.OH, windows.OW, windows[2:4])
    return dx


def relu_winners(y: BlockedArray, indices: BlockedArray) -> None:
    """ReLU of a pooling's output, in place; what it zeroes has no winner any more, index -1."""
    _relu_winners(y.blocks.reshape(-1), indices.blocks.reshape(-1))


def avg_pool2d(
    x: BlockedArray, windows: Windows, count_include_pad: bool, divisor_override: int | None
) -> BlockedArray:
    """See `fastcnn.functional.avg_pool2d`."""
    y = empty((*x.shape[:2], windows.OH, windows.OW), x.dtype)
    counts = window_counts(windows, count_include_pad, divisor_override, x.dtype)
    flat = x.blocks.reshape(-1), y.blocks.reshape(-1), counts
    _avg_pool((0,), pool_columns(windows.OW), *flat, len(x.blocks) * x.shape[1], tuple(windows))
    return y


def avg_pool2d_backward(
    dy: BlockedArray, windows: Windows, count_include_pad: bool, divisor_override: int | None
) -> BlockedArray:
    """See `fastcnn.functional.avg_pool2d_backward`."""
    dx = empty((*dy.shape[:2], windows.H, windows.W), dy.dtype)
    counts = window_counts(windows, count_include_pad, divisor_override, dy.dtype)
    flat = dy.blocks.reshape(-1), dx.blocks.reshape(-1), counts
    planes = len(dy.blocks) * dy.shape[1]
    _avg_pool_gradient((0,), pool_columns(windows.OW), *flat, planes, tuple(windows), tiled(windows))
    return dx


@functools.lru_cache(1024)
def window_counts(w: Windows, include_pad: bool, divisor_override: int | None, dtype) -> np.ndarray:
    """What the sum of each window is divided by, in one dimension: its pixels, those in the padding if asked."""
    if divisor_override:
        return np.full(w.OH * w.OW, divisor_override, dtype)

    def along(outputs, stride, taps, extent, before, after):
        first = np.arange(outputs) * stride - before
        if include_pad:  # but nothing past it
            return np.minimum(first + taps, extent + after) - first
        return np.minimum(first + taps, extent) - np.maximum(first, 0)

    rows = along(w.OH, w.SH, w.KH, w.H, w.top, w.bottom)
    columns = along(w.OW, w.SW, w.KW, w.W, w.left, w.right)
    return np.outer(rows, columns).astype(dtype).reshape(-1)


def as_planes(x: BlockedArray) -> np.ndarray:
    """(NB * C, H, W, L): pooling treats every channel alike."""
    return x.blocks.reshape(-1, *x.blocks.shape[2:])


def pool_columns(outputs: int) -> tuple[int, ...]:
    """The longest row of vectors, at most 8, that divides the outputs: a gradient may add to a pixel only once."""
    return (0,) * next(columns for columns in range(8, 0, -1) if outputs % columns == 0)


def tiled(w: Windows) -> bool:
    """Whether the windows cover every pixel exactly once."""
    return (w.KH * w.OH, w.KW * w.OW) == (w.H, w.W) and (w.SH, w.SW, w.DH, w.DW, w.top, w.left) == (
        w.KH, w.KW, 1, 1, 0, 0,
    )  # fmt: skip


@parallel_kernel
def _max_pool(row, columns, x, y, indices, planes, windows):
    """Parallel over (plane, output row): a thread writes only that row."""
    H, W, KH, KW, SH, SW, top, bottom, left, right, DH, DW, OH, OW = windows
    L, COLUMNS = lane_count(x), len(columns)
    for task in numba.prange(planes * OH):
        plane, oy = divmod(np.intp(task), OH)
        iy = oy * SH - top
        first, last = taps_inside(KH, iy, DH, H)
        for ox in range(0, OW, COLUMNS):
            start, stop = ox * SW - left, (ox + COLUMNS - 1) * SW - left + (KW - 1) * DW
            at = (plane * H * W + (iy + first * DH) * W + start) * L
            if start >= 0 and stop < W:
                best, taps = tile_read(row, columns, x, at, 0, SW * L), tile_full(row, columns, indices, 0)
                for ky in range(last - first):
                    for kx in range(KW):
                        tap = ky * DH * W + kx * DW
                        best, taps = tile_max(best, taps, x, at + tap * L, SW * L, tap)
            else:
                best, taps = tile_full(row, columns, x, -np.inf), tile_full(row, columns, indices, -1)
                for ky in range(last - first):
                    for kx in range(KW):
                        tap = ky * DH * W + kx * DW
                        best, taps = tile_max_inside(
                            best, taps, x, at + tap * L, SW * L, tap, start + kx * DW, SW, W
                        )  # fmt: skip
            places = tile_add_steps(taps, (iy + first * DH) * W + start, SW)
            at = ((plane * OH + oy) * OW + ox) * L
            tile_store(best, y, at, 0, L, 0, 0)
            tile_store(places, indices, at, 0, L, 0, 0)


@parallel_kernel
def _max_pool_gradient(row, columns, dy, indices, dx, planes, windows, tiled):
    """Parallel over planes: a thread writes only its plane. Each pixel of a window asks whether it was the winner."""
    H, W, KH, KW, SH, SW, top, bottom, left, right, DH, DW, OH, OW = windows
    L, COLUMNS = lane_count(dy), len(columns)
    for task in numba.prange(planes):
        plane = np.intp(task)
        if not tiled:
            dx[plane * H * W * L : (plane + 1) * H * W * L] = 0
        for oy in range(OH):
            iy = oy * SH - top
            first, last = taps_inside(KH, iy, DH, H)
            for ox in range(0, OW, COLUMNS):
                at = ((plane * OH + oy) * OW + ox) * L
                tile = tile_read(row, columns, dy, at, 0, L)
                places = tile_read(row, columns, indices, at, 0, L)
                for ky in range(first, last):
                    for kx in range(KW):
                        ix = ox * SW - left + kx * DW
                        place = (iy + ky * DH) * W + ix
                        to = (plane * H * W + place) * L
                        if tiled:
                            tile_put_to_winners(tile, places, dx, to, SW * L, place, SW, ix, SW, W)
                        else:
                            tile_add_to_winners(tile, places, dx, to, SW * L, place, SW, ix, SW, W)


@numba.njit(inline="always")
def put_windows(dy, pixels, dx, to, PH, PW, W, L):
    """Hand a tile of one row on to the windows of (PH, PW) pixels from ``dx[to]`` on: the pixel that won gets it."""
    for ky in range(PH):
        for kx in range(PW):
            tile_put_to_winners(dy, pixels, dx, to + (ky * W + kx) * L, PW * L, ky * PW + kx, 0, 0, 0, 1)


@parallel_kernel
def _put_back(row, columns, dy, winners, dx, lines, OW, pool):
    """Parallel over lines of windows: a thread writes only the PH rows of pixels of its line."""
    (PH, PW), L = pool, lane_count(dy)
    for task in numba.prange(lines):
        line = np.intp(task)
        for ox in range(0, OW, len(columns)):
            at = (line * OW + ox) * L
            tile, pixels = tile_read(row, columns, dy, at, 0, L), tile_read_bytes(row, columns, dy, winners, at, L)
            put_windows(tile, pixels, dx, (line * PH * OW + ox) * PW * L, PH, PW, OW * PW, L)


@parallel_kernel
def _relu_winners(y, indices):
    """Parallel over elements: a thread writes only those it is given."""
    for i in numba.prange(y.size):
        if y[i] <= 0:
            y[i], indices[i] = 0, -1


@parallel_kernel
def _scatter(dy, indices, dx):
    """Parallel over planes: a thread writes only its plane."""
    _, OH, OW, L = dy.shape
    W = dx.shape[2]
    for plane in numba.prange(len(dx)):
        dx[plane] = 0
        for oy in range(OH):
            for ox in range(OW):
                for lane in range(L):
                    place = indices[plane, oy, ox, lane]
                    if place >= 0:
                        dx[plane, place // W, place % W, lane] += dy[plane, oy, ox, lane]


@parallel_kernel
def _avg_pool(row, columns, x, y, counts, planes, windows):
    """Parallel over (plane, output row): a thread writes only that row."""
    H, W, KH, KW, SH, SW, top, bottom, left, right, DH, DW, OH, OW = windows
    L, COLUMNS = lane_count(x), len(columns)
    for task in numba.prange(planes * OH):
        plane, oy = divmod(np.intp(task), OH)
        iy = oy * SH - top
        first, last = taps_inside(KH, iy, 1, H)
        for ox in range(0, OW, COLUMNS):
            start, stop = ox * SW - left, (ox + COLUMNS - 1) * SW - left + KW - 1
            total = tile_full(row, columns, x, 0)
            for ky in range(first, last):
                at = (plane * H * W + (iy + ky) * W + start) * L
                if start >= 0 and stop < W:
                    for kx in range(KW):
                        total = tile_add(total, tile_read(row, columns, x, at + kx * L, 0, SW * L))
                else:
                    for kx in range(KW):
                        pixels = tile_read_inside(row, columns, x, at + kx * L, SW * L, start + kx, SW, W)
                        total = tile_add(total, pixels)
            mean = tile_divide_columns(total, counts, oy * OW + ox)
            tile_store(mean, y, ((plane * OH + oy) * OW + ox) * L, 0, L, 0, 0)


@parallel_kernel
def _avg_pool_gradient(row, columns, dy, dx, counts, planes, windows, tiled):
    """Parallel over planes: a thread writes only its plane."""
    H, W, KH, KW, SH, SW, top, bottom, left, right, DH, DW, OH, OW = windows
    L, COLUMNS = lane_count(dy), len(columns)
    for task in numba.prange(planes):
        plane = np.intp(task)
        zeroed = H if tiled else 0  # rows of the plane that need no zeros any more
        for oy in range(OH):
            iy = oy * SH - top
            first, last = taps_inside(KH, iy, 1, H)
            if zeroed < iy + last:  # only now, so that they are in the cache when shares are added
                dx[(plane * H + zeroed) * W * L : (plane * H + iy + last) * W * L] = 0
                zeroed = iy + last
            for ox in range(0, OW, COLUMNS):
                start, stop = ox * SW - left, (ox + COLUMNS - 1) * SW - left + KW - 1
                tile = tile_read(row, columns, dy, ((plane * OH + oy) * OW + ox) * L, 0, L)
                share = tile_divide_columns(tile, counts, oy * OW + ox)
                for ky in range(first, last):
                    to = (plane * H * W + (iy + ky) * W + start) * L
                    if tiled:
                        for kx in range(KW):
                            tile_store(share, dx, to + kx * L, 0, SW * L, 0, 0)
                    elif start >= 0 and stop < W:
                        for kx in range(KW):
                            before = tile_read(row, columns, dx, to + kx * L, 0, SW * L)
                            tile_store(tile_add(before, share), dx, to + kx * L, 0, SW * L, 0, 0)
                    else:
                        for kx in range(KW):
                            tile_add_inside(share, dx, to + kx * L, SW * L, start + kx, SW, W)
        dx[(plane * H + zeroed) * W * L : (plane + 1) * H * W * L] = 0
