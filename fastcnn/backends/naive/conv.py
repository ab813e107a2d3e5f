"""Convolution and its gradients, with one loop for each index of the sum."""

import numpy as np

from fastcnn._geometry import Windows
from fastcnn.backends.naive import activations
from fastcnn.backends.naive.pooling import max_pool2d, max_pool2d_backward


@np.errstate(invalid="ignore")  # inf or NaN in the input may give NaN; that is no error
def conv2d(x, weight, bias, windows: Windows, groups: int):
    """See `fastcnn.functional.conv2d`."""
    H, W, KH, KW, SH, SW, top, _, left, _, DH, DW, OH, OW = windows
    N, filters, channels = len(x), len(weight), weight.shape[1]  # `channels` of each filter
    x64, weight64 = x.astype(np.float64), weight.astype(np.float64)
    y = np.zeros((N, filters, OH, OW))
    for n in range(N):
        for o in range(filters):
            group = o // (filters // groups)
            for oy in range(OH):
                for ox in range(OW):
                    total = 0.0 if bias is None else np.float64(bias[o])
                    for c in range(channels):
                        for ky in range(KH):
                            for kx in range(KW):
                                iy = oy * SH + ky * DH - top
                                ix = ox * SW + kx * DW - left
                                if 0 <= iy < H and 0 <= ix < W:  # outside is padding, which adds 0
                                    total += weight64[o, c, ky, kx] * x64[n, group * channels + c, iy, ix]
                    y[n, o, oy, ox] = total
    return y.astype(x.dtype)


def conv2d_relu(x, weight, bias, windows: Windows, groups: int):
    """See `fastcnn.nn.fusion`."""
    return activations.relu(conv2d(x, weight, bias, windows, groups))


def conv2d_max_pool2d(x, weight, bias, windows: Windows, groups: int, pool: Windows, relu: bool):
    """See `fastcnn.nn.fusion`."""
    y, indices = max_pool2d(conv2d(x, weight, bias, windows, groups), pool)
    if relu:
        y = activations.relu(y)
        indices = np.where(y == 0, -1, indices)  # no winner
    return y, indices


def conv2d_max_pool2d_backward(
    dy, winners, x, weight, windows: Windows, groups: int, pool: Windows, input_grad: bool, weight_grad: bool
):
    """See `fastcnn.nn.fusion`."""
    dy = max_pool2d_backward(dy, winners, (len(x), len(weight), windows.OH, windows.OW), pool)
    return conv2d_backward(dy, x, weight, windows, groups, input_grad, weight_grad)


@np.errstate(invalid="ignore")
def conv2d_backward(dy, x, weight, windows: Windows, groups: int, input_grad: bool, weight_grad: bool):
    """See `fastcnn.functional.conv2d_backward`; the loops are those of `conv2d`."""
    H, W, KH, KW, SH, SW, top, _, left, _, DH, DW, OH, OW = windows
    N, filters, channels = len(x), len(weight), weight.shape[1]
    dy64, x64, weight64 = dy.astype(np.float64), x.astype(np.float64), weight.astype(np.float64)
    dx, dweight, dbias = np.zeros(x.shape), np.zeros(weight.shape), np.zeros(filters)
    for n in range(N):
        for o in range(filters):
            group = o // (filters // groups)
            for oy in range(OH):
                for ox in range(OW):
                    d = dy64[n, o, oy, ox]
                    dbias[o] += d
                    for c in range(channels):
                        for ky in range(KH):
                            for kx in range(KW):
                                iy = oy * SH + ky * DH - top
                                ix = ox * SW + kx * DW - left
                                if 0 <= iy < H and 0 <= ix < W:
                                    dx[n, group * channels + c, iy, ix] += d * weight64[o, c, ky, kx]
                                    dweight[o, c, ky, kx] += d * x64[n, group * channels + c, iy, ix]
    return (
        dx.astype(x.dtype) if input_grad else None,
        dweight.astype(x.dtype) if weight_grad else None,
        dbias.astype(x.dtype) if weight_grad else None,
    )
