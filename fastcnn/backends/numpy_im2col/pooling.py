"""Max- and average-pooling and their gradients: for each tap, one pass over all windows."""

import math

import numpy as np

from fastcnn._geometry import Windows
from fastcnn.backends.numpy_im2col.patches import inside, padded, padded_extent, taps


def max_pool2d(x, windows: Windows):
    """See `fastcnn.functional.max_pool2d`."""
    _, W, _, _, SH, SW, top, _, left, _, DH, DW, OH, OW = windows
    padded_x = padded(x, windows, -math.inf)  # never larger than a pixel
    rows = np.arange(OH) * SH - top  # position of the first tap of each window
    columns = np.arange(OW) * SW - left
    y = np.full((*x.shape[:2], OH, OW), -math.inf, x.dtype)
    # If all pixels of a window are -inf, its first pixel wins: that of the first tap outside the padding.
    first = np.where(rows < 0, rows % DH, rows)[:, None] * W + np.where(columns < 0, columns % DW, columns)
    indices = np.broadcast_to(first, y.shape)  # (N, C, OH, OW)
    for ky, kx, pixels in taps(windows):
        value = padded_x[pixels]  # (N, C, OH, OW)
        wins = (value > y) | np.isnan(value)  # keeps the first of equal values and the last NaN
        indices = np.where(wins, (rows + ky * DH)[:, None] * W + columns + kx * DW, indices)
        np.maximum(y, value, out=y)  # keeps NaN
    return y, indices


@np.errstate(invalid="ignore")
def max_pool2d_backward(dy, indices, x_shape, windows: Windows | None):
    """See `fastcnn.functional.max_pool2d_backward`; the indices are enough, so ``windows`` is unused."""
    N, C, H, W = x_shape
    planes = np.arange(N * C).reshape(N, C, 1, 1) * (H * W)  # where each plane starts
    won = indices >= 0  # -1: no winner
    places, values = (planes + indices)[won], dy[won]  # one-dimensional
    dx = np.bincount(places, weights=values, minlength=N * C * H * W)  # a sum for each pixel, in float64
    return dx.astype(dy.dtype).reshape(x_shape)  # (N, C, H, W)


@np.errstate(invalid="ignore")
def avg_pool2d(x, windows: Windows, count_include_pad: bool, divisor_override: int | None):
    """See `fastcnn.functional.avg_pool2d`."""
    padded_x = padded(x, windows)
    y = np.zeros((*x.shape[:2], windows.OH, windows.OW), x.dtype)
    for _, _, pixels in taps(windows):
        y += padded_x[pixels]
    y /= divisor_override or _counts(windows, count_include_pad)  # (N, C, OH, OW)
    return y


@np.errstate(invalid="ignore")
def avg_pool2d_backward(dy, windows: Windows, count_include_pad: bool, divisor_override: int | None):
    """See `fastcnn.functional.avg_pool2d_backward`."""
    share = dy / (divisor_override or _counts(windows, count_include_pad).astype(dy.dtype))
    dx = np.zeros((*dy.shape[:2], *padded_extent(windows)), dy.dtype)
    for _, _, pixels in taps(windows):
        dx[pixels] += share
    return np.ascontiguousarray(inside(dx, windows))


def _counts(windows: Windows, count_include_pad: bool) -> np.ndarray:
    """Number of values in each mean, (OH, OW): the pixels, plus the padding if included, but nothing beyond that."""
    H, W, KH, KW, SH, SW, top, bottom, left, right, DH, DW, OH, OW = windows
    rows = np.arange(OH)[:, None] * SH + np.arange(KH) * DH - top  # (OH, KH)
    columns = np.arange(OW)[:, None] * SW + np.arange(KW) * DW - left  # (OW, KW)
    if count_include_pad:
        return np.outer((rows < H + bottom).sum(axis=1), (columns < W + right).sum(axis=1))
    return np.outer(((rows >= 0) & (rows < H)).sum(axis=1), ((columns >= 0) & (columns < W)).sum(axis=1))
