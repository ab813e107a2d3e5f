"""The batch-blocked layout: the lanes of a vector are images.

A batch of N images of shape (C, H, W) is stored as (NB, C, H, W, L): blocks of L images side by side, L the lanes of a
vector. Every layer then fills its vectors, whatever its channels and widths. Lanes of the last block that hold no image
are zero after `pack`; operations compute there too, and `unpack` leaves them out.
"""

import numba
import numpy as np

from fastcnn.backends.numba_direct._jit import VECTOR_BYTES, flat, lanes, parallel_kernel
from fastcnn.backends.numba_direct.memory import aligned
from fastcnn.backends.numba_direct.recording import note
from fastcnn.backends.numba_direct.simd import tile_read, tile_store, tile_transpose

_CHUNK = 64  # features that a task takes: with 16 lanes of float32 they fill 4 KB, well inside the first-level cache


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
    width = VECTOR_BYTES // dtype.itemsize
    blocks = (-(-shape[0] // width), *shape[1:], width)
    return BlockedArray(note(aligned(blocks, dtype)), shape)


def last_images(x: BlockedArray) -> int:
    """How many lanes of the last block hold an image, if not all do; else 0."""
    return x.shape[0] % x.blocks.shape[-1]


def first(x: BlockedArray, N: int) -> BlockedArray:
    """The first N images of a batch, without a copy."""
    return BlockedArray(x.blocks[: -(-N // x.blocks.shape[-1])], (N, *x.shape[1:]))


def pack(x: np.ndarray) -> BlockedArray:
    """Put an array of shape (N, ...) into the batch-blocked layout."""
    out = empty(x.shape, x.dtype)
    repack(x, out)
    return out


def repack(x: np.ndarray, out: BlockedArray) -> None:
    """`pack` into an array of the same shape that is there already."""
    _pack(*_transposing(x.dtype), flat(x), out.blocks.reshape(-1), len(x), x.size // len(x))


def unpack(native: BlockedArray) -> np.ndarray:
    """Take an array of shape (N, ...) out of the batch-blocked layout."""
    out = np.empty(native.shape, native.dtype)
    _unpack(*_transposing(out.dtype), native.blocks.reshape(-1), out.reshape(-1), len(out), out.size // len(out))
    return out


def flatten(x: BlockedArray) -> BlockedArray:
    """(N, C, H, W) as (N, C * H * W), without a copy."""
    blocks = x.blocks
    return BlockedArray(blocks.reshape(len(blocks), -1, blocks.shape[-1]), (x.shape[0], blocks[0, ..., 0].size))


def unflatten(x: BlockedArray, shape: tuple[int, ...]) -> BlockedArray:
    """(N, C * H * W) as (N, *shape), without a copy."""
    blocks = x.blocks
    return BlockedArray(blocks.reshape(len(blocks), *shape, blocks.shape[-1]), (x.shape[0], *shape))


def _transposing(dtype) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The size of a tile as kernels take it: one row for each lane, one column."""
    return (0,) * lanes(dtype), (0,)


@parallel_kernel
def _pack(lanes, one, x, blocks, N, F):
    """Parallel over (block, chunk of features): a thread writes only those features of that block."""
    L = len(lanes)
    NB, chunks = (N + L - 1) // L, (F + _CHUNK - 1) // _CHUNK
    for task in numba.prange(NB * chunks):
        block, chunk = divmod(np.intp(task), chunks)
        first, last = chunk * _CHUNK, min(chunk * _CHUNK + _CHUNK, F)
        images = min(L, N - block * L)
        whole = first
        if images == L:
            whole = last - (last - first) % L
            for f in range(first, whole, L):
                tile = tile_read(lanes, one, x, block * L * F + f, F, 0)
                tile_store(tile_transpose(tile), blocks, (block * F + f) * L, L, 0, 0, 0)
        for f in range(whole, last):
            for lane in range(images):
                blocks[(block * F + f) * L + lane] = x[(block * L + lane) * F + f]
            for lane in range(images, L):
                blocks[(block * F + f) * L + lane] = 0


@parallel_kernel
def _unpack(lanes, one, blocks, x, N, F):
    """Parallel over (block, chunk of features): a thread writes only those features of that block's images."""
    L = len(lanes)
    NB, chunks = (N + L - 1) // L, (F + _CHUNK - 1) // _CHUNK
    for task in numba.prange(NB * chunks):
        block, chunk = divmod(np.intp(task), chunks)
        first, last = chunk * _CHUNK, min(chunk * _CHUNK + _CHUNK, F)
        images = min(L, N - block * L)
        whole = first
        if images == L:
            whole = last - (last - first) % L
            for f in range(first, whole, L):
                tile = tile_read(lanes, one, blocks, (block * F + f) * L, L, 0)
                tile_store(tile_transpose(tile), x, block * L * F + f, F, 0, 0, 0)
        for f in range(whole, last):
            for lane in range(images):
                x[(block * L + lane) * F + f] = blocks[(block * F + f) * L + lane]
