"""Pooling to a given output size and its gradients: each window is a slice of the whole batch."""

import numpy as np

from fastcnn._geometry import AdaptiveWindows, pool_windows
from fastcnn.backends.numpy_im2col import pooling


def adaptive_max_pool2d(x, windows: AdaptiveWindows):
    """See `fastcnn.functional.adaptive_max_pool2d`."""
    _, W, rows, columns, regular = windows
    if regular:
        return pooling.max_pool2d(x, regular)
    y = np.empty((*x.shape[:2], len(rows), len(columns)), x.dtype)
    indices = np.empty(y.shape, np.int64)
    for oy, (top, bottom) in enumerate(rows):
        for ox, (left, right) in enumerate(columns):
            pixels = x[:, :, top:bottom, left:right]  # (N, C, bottom - top, right - left)
            best, place = pooling.max_pool2d(pixels, pool_windows(pixels.shape[2:], pixels.shape[2:]))  # (N, C, 1, 1)
            iy, ix = np.divmod(place, right - left)
            y[:, :, oy, ox] = best[:, :, 0, 0]
            indices[:, :, oy, ox] = ((top + iy) * W + left + ix)[:, :, 0, 0]
    return y, indices


def adaptive_max_pool2d_backward(dy, indices, x_shape, windows: AdaptiveWindows):
    """See `fastcnn.functional.adaptive_max_pool2d_backward`; the indices are enough, so ``windows`` is unused."""
    return pooling.max_pool2d_backward(dy, indices, x_shape, None)


@np.errstate(invalid="ignore")
def adaptive_avg_pool2d(x, windows: AdaptiveWindows):
    """See `fastcnn.functional.adaptive_avg_pool2d`."""
    _, _, rows, columns, _ = windows
    y = np.empty((*x.shape[:2], len(rows), len(columns)), x.dtype)
    for oy, (top, bottom) in enumerate(rows):
        for ox, (left, right) in enumerate(columns):
            y[:, :, oy, ox] = x[:, :, top:bottom, left:right].mean(axis=(2, 3))
    return y


@np.errstate(invalid="ignore")
def adaptive_avg_pool2d_backward(dy, windows: AdaptiveWindows):
    """See `fastcnn.functional.adaptive_avg_pool2d_backward`."""
    H, W, rows, columns, _ = windows
    dx = np.zeros((*dy.shape[:2], H, W), dy.dtype)
    for oy, (top, bottom) in enumerate(rows):
        for ox, (left, right) in enumerate(columns):
            share = dy[:, :, oy, ox] / ((bottom - top) * (right - left))  # (N, C)
            dx[:, :, top:bottom, left:right] += share[:, :, None, None]
    return dx
