"""What residual connections need: the sum of two batches, and another number of channels."""

import math

import numba
import numpy as np

from fastcnn.backends.numba_direct._jit import parallel_kernel
from fastcnn.backends.numba_direct.layout import BlockedArray, empty


def add(a: BlockedArray, b: BlockedArray) -> BlockedArray:
    """See `fastcnn.nn.Residual`."""
    out = empty(a.shape, a.dtype)
    _add(a.blocks.reshape(-1), b.blocks.reshape(-1), out.blocks.reshape(-1))
    return out


def resize_channels(x: BlockedArray, channels: int) -> BlockedArray:
    """See `fastcnn.nn.ResizeChannels`."""
    N, C, H, W = x.shape
    y = empty((N, channels, H, W), x.dtype)
    plane = math.prod(x.blocks.shape[2:])
    _resize_channels(x.blocks.reshape(-1), y.blocks.reshape(-1), len(x.blocks), C, channels, plane)
    return y


@parallel_kernel
def _add(a, b, out):
    """Parallel over elements: a thread writes only those it is given."""
    for i in numba.prange(out.size):
        out[i] = a[i] + b[i]


@parallel_kernel
def _resize_channels(x, y, NB, C, O, plane):
    """Parallel over (block, channel of y): a thread writes only that plane."""
    for task in numba.prange(NB * O):
        block, o = divmod(np.intp(task), O)
        to, start = (block * O + o) * plane, (block * C + o) * plane
        for i in range(plane):
            y[to + i] = x[start + i] if o < C else 0
