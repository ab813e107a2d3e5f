"""Max- and average-pooling and their gradients, window by window."""

import numpy as np

from fastcnn._geometry import Windows


def max_pool2d(x, windows: Windows):
    """See `fastcnn.functional.max_pool2d`."""
    H, W, KH, KW, SH, SW, top, _, left, _, DH, DW, OH, OW = windows
    N, C = x.shape[:2]
    y = np.zeros((N, C, OH, OW), x.dtype)
    indices = np.zeros((N, C, OH, OW), np.int64)
    for n in range(N):
        for c in range(C):
            for oy in range(OH):
                for ox in range(OW):
                    best = None
                    for ky in range(KH):
                        for kx in range(KW):
                            iy = oy * SH + ky * DH - top
                            ix = ox * SW + kx * DW - left
                            if 0 <= iy < H and 0 <= ix < W:
                                value = x[n, c, iy, ix]
                                # `>` keeps the first of equal values. A NaN always wins, so the last NaN is kept.
                                if best is None or value > best or np.isnan(value):
                                    best, place = value, iy * W + ix
                    y[n, c, oy, ox] = best
                    indices[n, c, oy, ox] = place
    return y, indices


@np.errstate(invalid="ignore")  # inf - inf
def max_pool2d_backward(dy, indices, x_shape, windows: Windows | None):
    """See `fastcnn.functional.max_pool2d_backward`; the indices are enough, so ``windows`` is unused."""
    W = x_shape[3]
    dx = np.zeros(x_shape)
    for n, c, oy, ox in np.ndindex(dy.shape):
        if indices[n, c, oy, ox] >= 0:  # -1: no winner
            iy, ix = divmod(indices[n, c, oy, ox], W)
            dx[n, c, iy, ix] += dy[n, c, oy, ox]
    return dx.astype(dy.dtype)


@np.errstate(invalid="ignore")
def avg_pool2d(x, windows: Windows, count_include_pad: bool, divisor_override: int | None):
    """See `fastcnn.functional.avg_pool2d`."""
    H, W, KH, KW, SH, SW, top, _, left, _, DH, DW, OH, OW = windows
    N, C = x.shape[:2]
    x64 = x.astype(np.float64)
    y = np.zeros((N, C, OH, OW))
    for n in range(N):
        for c in range(C):
            for oy in range(OH):
                for ox in range(OW):
                    total = 0.0
                    for ky in range(KH):
                        for kx in range(KW):
                            iy = oy * SH + ky * DH - top
                            ix = ox * SW + kx * DW - left
                            if 0 <= iy < H and 0 <= ix < W:
                                total += x64[n, c, iy, ix]
                    divisor = divisor_override or _count(oy, ox, windows, count_include_pad)
                    y[n, c, oy, ox] = total / divisor
    return y.astype(x.dtype)


@np.errstate(invalid="ignore")
def avg_pool2d_backward(dy, windows: Windows, count_include_pad: bool, divisor_override: int | None):
    """See `fastcnn.functional.avg_pool2d_backward`."""
    H, W, KH, KW, SH, SW, top, _, left, _, DH, DW, OH, OW = windows
    N, C = dy.shape[:2]
    dx = np.zeros((N, C, H, W))
    for n in range(N):
        for c in range(C):
            for oy in range(OH):
                for ox in range(OW):
                    divisor = divisor_override or _count(oy, ox, windows, count_include_pad)
                    share = np.float64(dy[n, c, oy, ox]) / divisor
                    for ky in range(KH):
                        for kx in range(KW):
                            iy = oy * SH + ky * DH - top
                            ix = ox * SW + kx * DW - left
                            if 0 <= iy < H and 0 <= ix < W:
                                dx[n, c, iy, ix] += share
    return dx.astype(dy.dtype)


def _count(oy: int, ox: int, windows: Windows, count_include_pad: bool) -> int:
    """Number of values in a mean: the pixels of the window, plus its padding if included, but nothing beyond that."""
    H, W, KH, KW, SH, SW, top, bottom, left, right, DH, DW, _, _ = windows
    count = 0
    for ky in range(KH):
        for kx in range(KW):
            iy = oy * SH + ky * DH - top
            ix = ox * SW + kx * DW - left
            pixel = 0 <= iy < H and 0 <= ix < W
            inside_padded_image = iy < H + bottom and ix < W + right
            if pixel or (count_include_pad and inside_padded_image):
                count += 1
    return count
