"""Operations of residual connections: adding two batches, and changing the number of channels."""

import math

from fastcnn.backends.numba_direct.layout import BlockedArray, empty, pieces
from fastcnn.backends.numba_direct.runtime.compile import kernel


def add(a: BlockedArray, b: BlockedArray) -> BlockedArray:
    """See `fastcnn.nn.Residual`."""
    out = empty(a.shape, a.dtype)
    tasks, size = pieces(out)
    _add(tasks, a=a.blocks, b=b.blocks, out=out.blocks, piece=size)
    return out


def resize_channels(x: BlockedArray, channels: int) -> BlockedArray:
    """See `fastcnn.nn.ResizeChannels`."""
    N, C, H, W = x.shape
    y = empty((N, channels, H, W), x.dtype)
    plane = math.prod(x.blocks.shape[2:])
    _resize_channels((len(y.blocks), channels), x=x.blocks, y=y.blocks, C=C, O=channels, plane=plane)
    return y


@kernel(writes="out")
def _add(first, last, a, scratch):
    """A task is a piece of the values."""
    x, y, out, piece = a.a, a.b, a.out, a.piece
    for i in range(first * piece, min(last * piece, out.size)):
        out[i] = x[i] + y[i]


@kernel(writes="y")
def _resize_channels(first, last, a, scratch):
    """A task is a plane of y."""
    x, y, C, O, plane = a.x, a.y, a.C, a.O, a.plane
    for task in range(first, last):
        block, o = divmod(task, O)
        to, start = task * plane, (block * C + o) * plane
        for i in range(plane):
            y[to + i] = x[start + i] if o < C else 0
