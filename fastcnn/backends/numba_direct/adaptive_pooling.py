"""Pooling to a given output size and its gradients: pooling with windows that may differ in size by a pixel."""

import functools

import numpy as np

from fastcnn._geometry import AdaptiveWindows
from fastcnn.backends.numba_direct import pooling
from fastcnn.backends.numba_direct.kernels.plan import constant
from fastcnn.backends.numba_direct.layout import BlockedArray


def adaptive_max_pool2d(x: BlockedArray, windows: AdaptiveWindows) -> tuple[BlockedArray, BlockedArray]:
    """See `fastcnn.functional.adaptive_max_pool2d`."""
    return pooling.window_maxima(x, windows)


def adaptive_max_pool2d_backward(
    dy: BlockedArray, indices: BlockedArray, x_shape: tuple[int, ...], windows: AdaptiveWindows
) -> BlockedArray:
    """See `fastcnn.functional.adaptive_max_pool2d_backward`."""
    return pooling.max_pool2d_backward(dy, indices, x_shape, windows)


def adaptive_avg_pool2d(x: BlockedArray, windows: AdaptiveWindows) -> BlockedArray:
    """See `fastcnn.functional.adaptive_avg_pool2d`."""
    return pooling.window_means(x, windows, _counts(windows, x.dtype))


def adaptive_avg_pool2d_backward(dy: BlockedArray, windows: AdaptiveWindows) -> BlockedArray:
    """See `fastcnn.functional.adaptive_avg_pool2d_backward`."""
    return pooling.window_means_backward(dy, windows, _counts(windows, dy.dtype))


@functools.lru_cache(1024)
def _counts(windows: AdaptiveWindows, dtype) -> np.ndarray:
    """Number of pixels of each window."""
    rows, columns = (np.array([stop - start for start, stop in spans]) for spans in (windows.rows, windows.columns))
    return constant(np.outer(rows, columns).reshape(-1).astype(dtype))
