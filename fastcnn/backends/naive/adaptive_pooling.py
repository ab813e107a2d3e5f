"""Pooling to a given output size and its gradients, window by window."""

import numpy as np

from fastcnn._geometry import AdaptiveWindows
from fastcnn.backends.naive import pooling


def adaptive_max_pool2d(x, windows: AdaptiveWindows):
    """See `fastcnn.functional.adaptive_max_pool2d`."""
    _, W, rows, columns, _ = windows
    N, C = x.shape[:2]
    y = np.zeros((N, C, len(rows), len(columns)), x.dtype)
    indices = np.zeros(y.shape, np.int64)
    for n in range(N):
        for c in range(C):
            for oy, (top, bottom) in enumerate(rows):
                for ox, (left, right) in enumerate(columns):
                    best = None
                    for iy in range(top, bottom):
                        for ix in range(left, right):
                            value = x[n, c, iy, ix]
                            # `>` keeps the first of equal values. A NaN always wins, so the last NaN is kept.
                            if best is None or value > best or np.isnan(value):
                                best, place = value, iy * W + ix
                    y[n, c, oy, ox] = best
                    indices[n, c, oy, ox] = place
    return y, indices


def adaptive_max_pool2d_backward(dy, indices, x_shape, windows: AdaptiveWindows):
    """See `fastcnn.functional.adaptive_max_pool2d_backward`; the indices are enough, so ``windows`` is unused."""
    return pooling.max_pool2d_backward(dy, indices, x_shape, None)


@np.errstate(invalid="ignore")  # inf - inf
def adaptive_avg_pool2d(x, windows: AdaptiveWindows):
    """See `fastcnn.functional.adaptive_avg_pool2d`."""
    _, _, rows, columns, _ = windows
    N, C = x.shape[:2]
    x64 = x.astype(np.float64)
    y = np.zeros((N, C, len(rows), len(columns)))
    for n in range(N):
        for c in range(C):
            for oy, (top, bottom) in enumerate(rows):
                for ox, (left, right) in enumerate(columns):
                    total = 0.0
                    for iy in range(top, bottom):
                        for ix in range(left, right):
                            total += x64[n, c, iy, ix]
                    y[n, c, oy, ox] = total / ((bottom - top) * (right - left))
    return y.astype(x.dtype)


@np.errstate(invalid="ignore")
def adaptive_avg_pool2d_backward(dy, windows: AdaptiveWindows):
    """See `fastcnn.functional.adaptive_avg_pool2d_backward`."""
    H, W, rows, columns, _ = windows
    N, C = dy.shape[:2]
    dx = np.zeros((N, C, H, W))
    for n in range(N):
        for c in range(C):
            for oy, (top, bottom) in enumerate(rows):
                for ox, (left, right) in enumerate(columns):
                    share = np.float64(dy[n, c, oy, ox]) / ((bottom - top) * (right - left))
                    for iy in range(top, bottom):
                        for ix in range(left, right):
                            dx[n, c, iy, ix] += share
    return dx.astype(dy.dtype)
