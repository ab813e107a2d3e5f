"""Operations of residual connections: adding two batches, and changing the number of channels."""

import numpy as np


@np.errstate(invalid="ignore")
def add(a, b):
    """See `fastcnn.nn.Residual`."""
    return a + b


def resize_channels(x, channels: int):
    """See `fastcnn.nn.ResizeChannels`."""
    y = np.zeros((len(x), channels, *x.shape[2:]), x.dtype)
    y[:, : x.shape[1]] = x[:, :channels]
    return y
