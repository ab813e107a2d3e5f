"""Pooling to a given size and its gradients: ordinary pooling where the windows are regular, else kernels of its own.

As in `pooling`, the inner loop runs over the lanes of one pixel.
"""

import functools

import numba
import numpy as np

from fastcnn._geometry import AdaptiveWindows, index_type
from fastcnn.backends.numba_direct import pooling
from fastcnn.backends.numba_direct._jit import parallel_kernel
from fastcnn.backends.numba_direct.layout import BlockedArray, empty


def adaptive_max_pool2d(x: BlockedArray, windows: AdaptiveWindows) -> tuple[BlockedArray, BlockedArray]:
    """See `fastcnn.functional.adaptive_max_pool2d`."""
    if windows.regular:
        return pooling.max_pool2d(x, windows.regular)
    shape = (*x.shape[:2], len(windows.rows), len(windows.columns))
    y, indices = empty(shape, x.dtype), empty(shape, index_type(x.dtype))
    _max_pool(
        pooling.as_planes(x),
        pooling.as_planes(y),
        pooling.as_planes(indices),
        _table(windows.rows),
        _table(windows.columns),
    )
    return y, indices


def adaptive_max_pool2d_backward(
    dy: BlockedArray, indices: BlockedArray, x_shape: tuple[int, ...], windows: AdaptiveWindows
) -> BlockedArray:
    """See `fastcnn.functional.adaptive_max_pool2d_backward`."""
    return pooling.max_pool2d_backward(dy, indices, x_shape, windows.regular)


def adaptive_avg_pool2d(x: BlockedArray, windows: AdaptiveWindows) -> BlockedArray:
    """See `fastcnn.functional.adaptive_avg_pool2d`."""
    if windows.regular:
        return pooling.avg_pool2d(x, windows.regular, True, None)
    y = empty((*x.shape[:2], len(windows.rows), len(windows.columns)), x.dtype)
    _avg_pool(pooling.as_planes(x), pooling.as_planes(y), _table(windows.rows), _table(windows.columns))
    return y


def adaptive_avg_pool2d_backward(dy: BlockedArray, windows: AdaptiveWindows) -> BlockedArray:
    """See `fastcnn.functional.adaptive_avg_pool2d_backward`."""
    if windows.regular:
        return pooling.avg_pool2d_backward(dy, windows.regular, True, None)
    dx = empty((*dy.shape[:2], windows.H, windows.W), dy.dtype)
    _avg_pool_gradient(pooling.as_planes(dy), pooling.as_planes(dx), _table(windows.rows), _table(windows.columns))
    return dx


@functools.lru_cache(1024)
def _table(spans: tuple[tuple[int, int], ...]) -> np.ndarray:
    """(outputs, 2): where each window starts and stops."""
    return np.array(spans)


@parallel_kernel
def _max_pool(x, y, indices, rows, columns):
    """Parallel over (plane, output row): a thread writes only that row."""
    _, _, W, L = x.shape
    OH, OW = len(rows), len(columns)
    for task in numba.prange(len(x) * OH):
        plane, oy = divmod(np.intp(task), OH)
        top, bottom = rows[oy, 0], rows[oy, 1]
        for ox in range(OW):
            left, right = columns[ox, 0], columns[ox, 1]
            best, places = y[plane, oy, ox], indices[plane, oy, ox]
            for lane in range(L):
                best[lane], places[lane] = -np.inf, top * W + left
            for iy in range(top, bottom):
                for ix in range(left, right):
                    for lane in range(L):
                        value = x[plane, iy, ix, lane]
                        wins = value > best[lane] or np.isnan(value)
                        best[lane] = value if wins else best[lane]
                        places[lane] = iy * W + ix if wins else places[lane]


@parallel_kernel
def _avg_pool(x, y, rows, columns):
    """Parallel over (plane, output row): a thread writes only that row."""
    L = x.shape[3]
    OH, OW = len(rows), len(columns)
    for task in numba.prange(len(x) * OH):
        plane, oy = divmod(np.intp(task), OH)
        top, bottom = rows[oy, 0], rows[oy, 1]
        for ox in range(OW):
            left, right = columns[ox, 0], columns[ox, 1]
            total = y[plane, oy, ox]
            total[:] = 0
            for iy in range(top, bottom):
                for ix in range(left, right):
                    for lane in range(L):
                        total[lane] += x[plane, iy, ix, lane]
            count = y.dtype.type((bottom - top) * (right - left))
            for lane in range(L):
                total[lane] /= count


@parallel_kernel
def _avg_pool_gradient(dy, dx, rows, columns):
    """Parallel over planes: a thread writes only its plane."""
    L = dy.shape[3]
    for plane in numba.prange(len(dx)):
        dx[plane] = 0
        share = np.empty(L, dy.dtype)
        for oy in range(len(rows)):
            top, bottom = rows[oy, 0], rows[oy, 1]
            for ox in range(len(columns)):
                left, right = columns[ox, 0], columns[ox, 1]
                count = dy.dtype.type((bottom - top) * (right - left))
                for lane in range(L):
                    share[lane] = dy[plane, oy, ox, lane] / count
                for iy in range(top, bottom):
                    for ix in range(left, right):
                        for lane in range(L):
                            dx[plane, iy, ix, lane] += share[lane]
