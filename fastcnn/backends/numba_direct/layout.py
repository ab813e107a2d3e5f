"""The batch-blocked layout: the lanes of a vector are images.

A batch of N images of shape (C, H, W) is stored as (NB, C, H, W, L): blocks of L images side by side, L the lanes of a
vector. Every layer then fills its vectors, whatever its channels and widths. Lanes of the last block that hold no image
are zero after `pack`; operations compute there too, and `unpack` leaves them out.
"""

import math

import numba
import numpy as np

from fastcnn.backends.numba_direct._jit import flat, lanes, parallel_kernel
from fastcnn.backends.numba_direct.memory import aligned

_CHUNK = 64  # features transposed at a time: with 16 lanes of float32 they fill 4 KB, well inside the first-level cache


class BlockedArray:
    """A batch in the batch-blocked layout.

    Attributes
    ----------
    blocks : ndarray of shape (NB, ..., L)
        The numbers.
    shape : tuple of int
        The batch's own shape, (N, C, H, W) or (N, C).
    """

    __slots__ = ("blocks", "shape")

    def __init__(self, blocks: np.ndarray, shape: tuple[int, ...]):
        self.blocks, self.shape = blocks, shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the numbers."""
        return self.blocks.dtype


def empty(shape: tuple[int, ...], dtype) -> BlockedArray:
    """A batch of numbers yet to be written."""
    dtype = np.dtype(dtype)
    width = lanes(dtype)
    blocks = (-(-shape[0] // width), *shape[1:], width)
    return BlockedArray(aligned(blocks, dtype, math.prod(blocks) * dtype.itemsize), shape)


def pack(x: np.ndarray) -> BlockedArray:
    """Put an array of shape (N, ...) into the batch-blocked layout."""
    out = empty(x.shape, x.dtype)
    _pack(flat(x).reshape(len(x), -1), flatten(out).blocks)
    return out


def unpack(native: BlockedArray) -> np.ndarray:
    """Take an array of shape (N, ...) out of the batch-blocked layout."""
    out = np.empty(native.shape, native.dtype)
    _unpack(flatten(native).blocks, out.reshape(len(out), -1))
    return out


def flatten(x: BlockedArray) -> BlockedArray:
    """(N, C, H, W) as (N, C * H * W), without a copy."""
    blocks = x.blocks
    return BlockedArray(blocks.reshape(len(blocks), -1, blocks.shape[-1]), (x.shape[0], blocks[0, ..., 0].size))


def unflatten(x: BlockedArray, shape: tuple[int, ...]) -> BlockedArray:
    """(N, C * H * W) as (N, *shape), without a copy."""
    blocks = x.blocks
    return BlockedArray(blocks.reshape(len(blocks), *shape, blocks.shape[-1]), (x.shape[0], *shape))


@parallel_kernel
def _pack(x, blocks):
    """Parallel over (block, chunk of features): a thread writes only those features of that block."""
    NB, F, L = blocks.shape
    N, chunks = len(x), (F + _CHUNK - 1) // _CHUNK
    for task in numba.prange(NB * chunks):
        block, chunk = divmod(np.intp(task), chunks)
        first, last = chunk * _CHUNK, min(chunk * _CHUNK + _CHUNK, F)
        for lane in range(L):
            n = block * L + lane
            if n < N:
                for f in range(first, last):
                    blocks[block, f, lane] = x[n, f]
            else:
                for f in range(first, last):
                    blocks[block, f, lane] = 0


@parallel_kernel
def _unpack(blocks, x):
    """Parallel over (block, chunk of features): a thread writes only those features of that block's images."""
    NB, F, L = blocks.shape
    N, chunks = len(x), (F + _CHUNK - 1) // _CHUNK
    for task in numba.prange(NB * chunks):
        block, chunk = divmod(np.intp(task), chunks)
        first, last = chunk * _CHUNK, min(chunk * _CHUNK + _CHUNK, F)
        for lane in range(min(L, N - block * L)):
            for f in range(first, last):
                x[block * L + lane, f] = blocks[block, f, lane]
