"""Padding and its gradient, pixel by pixel."""

import numpy as np

from fastcnn._geometry import Padded


def pad(x, padded: Padded, value: float):
    """See `fastcnn.functional.pad`."""
    _, _, rows, columns = padded
    N, C = x.shape[:2]
    y = np.full((N, C, len(rows), len(columns)), value, x.dtype)
    for n in range(N):
        for c in range(C):
            for oy, iy in enumerate(rows):
                for ox, ix in enumerate(columns):
                    if iy >= 0 and ix >= 0:
                        y[n, c, oy, ox] = x[n, c, iy, ix]
    return y


@np.errstate(invalid="ignore")  # inf - inf
def pad_backward(dy, padded: Padded):
    """See `fastcnn.functional.pad_backward`."""
    H, W, rows, columns = padded
    N, C = dy.shape[:2]
    dx = np.zeros((N, C, H, W))
    for n in range(N):
        for c in range(C):
            for oy, iy in enumerate(rows):
                for ox, ix in enumerate(columns):
                    if iy >= 0 and ix >= 0:
                        dx[n, c, iy, ix] += dy[n, c, oy, ox]
    return dx.astype(dy.dtype)
