"""Operations of residual connections: adding two batches, and changing the number of channels."""

import numpy as np


def add(a, b):
    """See `fastcnn.nn.Residual`."""
    out = np.empty_like(a)
    for i in np.ndindex(out.shape):
        out[i] = float(a[i]) + float(b[i])
    return out


def resize_channels(x, channels: int):
    """See `fastcnn.nn.ResizeChannels`."""
    N, C, H, W = x.shape
    y = np.zeros((N, channels, H, W), x.dtype)
    for n in range(N):
        for c in range(min(C, channels)):
            y[n, c] = x[n, c]
    return y
