"""Transposed convolution and its gradients: each input pixel adds a scaled filter to the output."""

import numpy as np

from fastcnn._geometry import Windows


@np.errstate(invalid="ignore")  # inf or NaN in the input may give NaN; that is no error
def conv_transpose2d(x, weight, bias, windows: Windows, groups: int):
    """See `fastcnn.functional.conv_transpose2d`; ``windows`` slide over ``y``."""
    H, W, KH, KW, SH, SW, top, _, left, _, DH, DW, OH, OW = windows
    N, channels, filters = len(x), len(weight), weight.shape[1]  # `filters` of each channel
    x64, weight64 = x.astype(np.float64), weight.astype(np.float64)
    y = np.zeros((N, groups * filters, H, W))
    for n in range(N):
        for c in range(channels):
            group = c // (channels // groups)
            for iy in range(OH):
                for ix in range(OW):
                    for o in range(filters):
                        for ky in range(KH):
                            for kx in range(KW):
                                oy = iy * SH + ky * DH - top
                                ox = ix * SW + kx * DW - left
                                if 0 <= oy < H and 0 <= ox < W:  # the padding removes the rest of ``y``
                                    y[n, group * filters + o, oy, ox] += x64[n, c, iy, ix] * weight64[c, o, ky, kx]
    if bias is not None:
        for o in range(groups * filters):
            y[:, o] += np.float64(bias[o])
    return y.astype(x.dtype)


@np.errstate(invalid="ignore")
def conv_transpose2d_backward(dy, x, weight, windows: Windows, groups: int, input_grad: bool, weight_grad: bool):
    """See `fastcnn.functional.conv_transpose2d_backward`; the loops are those of `conv_transpose2d`."""
    H, W, KH, KW, SH, SW, top, _, left, _, DH, DW, OH, OW = windows
    N, channels, filters = len(x), len(weight), weight.shape[1]
    dy64, x64, weight64 = dy.astype(np.float64), x.astype(np.float64), weight.astype(np.float64)
    dx, dweight, dbias = np.zeros(x.shape), np.zeros(weight.shape), np.zeros(groups * filters)
    for n in range(N):
        for c in range(channels):
            group = c // (channels // groups)
            for iy in range(OH):
                for ix in range(OW):
                    for o in range(filters):
                        for ky in range(KH):
                            for kx in range(KW):
                                oy = iy * SH + ky * DH - top
                                ox = ix * SW + kx * DW - left
                                if 0 <= oy < H and 0 <= ox < W:
                                    d = dy64[n, group * filters + o, oy, ox]
                                    dx[n, c, iy, ix] += d * weight64[c, o, ky, kx]
                                    dweight[c, o, ky, kx] += d * x64[n, c, iy, ix]
    for n, o, oy, ox in np.ndindex(dy.shape):
        dbias[o] += dy64[n, o, oy, ox]
    return (
        dx.astype(x.dtype) if input_grad else None,
        dweight.astype(x.dtype) if weight_grad else None,
        dbias.astype(x.dtype) if weight_grad else None,
    )
