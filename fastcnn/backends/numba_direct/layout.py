"""The batch-blocked layout: each lane of a vector holds a different image.

A batch of N images of shape (C, H, W) is stored as (NB, C, H, W, L): NB blocks of L images side by side, where L is the
number of lanes of a vector. So every layer fills its vectors, whatever its number of channels and its width. Lanes of
the last block that hold no image are zero after `pack`. Operations compute in them too, and `unpack` leaves them out.
"""

import math

import numpy as np

from fastcnn.backends.numba_direct.runtime.compile import inlined, kernel
from fastcnn.backends.numba_direct.runtime.memory import aligned
from fastcnn.backends.numba_direct.runtime.processor import VECTOR_BYTES
from fastcnn.backends.numba_direct.runtime.step import Tasks
from fastcnn.backends.numba_direct.simd import tile_load, tile_store, tile_transpose

_NUMBERS = 4096  # elements of a task of `pieces`, at most
_CHUNK = 64  # features of a task: with 16 lanes of float32 they fill 4 KB, well inside the first-level cache


class BlockedArray:
    """A batch in the batch-blocked layout.

    Attributes
    ----------
    blocks : ndarray of shape (NB, ..., L)
        The values.
    shape : tuple of int
        The batch's own shape, (N, C, H, W), (N, C, L) or (N, C).
    """

    __slots__ = ("blocks", "shape")

    def __init__(self, blocks: np.ndarray, shape: tuple[int, ...]):
        self.blocks, self.shape = blocks, shape

    @property
    def dtype(self) -> np.dtype:
        """Data type of the values."""
        return self.blocks.dtype


def empty(shape: tuple[int, ...], dtype) -> BlockedArray:
    """An uninitialized batch."""
    dtype = np.dtype(dtype)
    width = VECTOR_BYTES // dtype.itemsize
    blocks = (-(-shape[0] // width), *shape[1:], width)
    return BlockedArray(aligned(blocks, dtype), shape)


def last_images(x: BlockedArray) -> int:
    """Number of images in the last block, if it is not full; else 0."""
    return x.shape[0] % x.blocks.shape[-1]


def pieces(x: BlockedArray) -> tuple[Tasks, int]:
    """Tasks that each take a piece of the values in memory order, and the size of a piece.

    Each block is cut into pieces of equal size, unless these would be too small.
    """
    NB, size = len(x.blocks), x.blocks[0].size
    for count in range(-(-size // _NUMBERS), max(2, -(-2 * size // _NUMBERS))):
        if size % count == 0:
            return (NB, count), size // count
    return -(-NB * size // _NUMBERS), _NUMBERS


def pack(x: np.ndarray) -> BlockedArray:
    """Convert an array of shape (N, ...) to the batch-blocked layout."""
    out = empty(x.shape, x.dtype)
    repack(x, out)
    return out


def repack(x: np.ndarray, out: BlockedArray) -> None:
    """`pack` into an existing batch of the same shape."""
    N, features = len(x), x.size // len(x)
    _pack(_tasks(out, features), x=x, blocks=out.blocks, N=N, features=features, lanes=_lanes(out))


def copy(native: BlockedArray) -> BlockedArray:
    """A copy of a batch."""
    out = empty(native.shape, native.dtype)
    tasks, size = pieces(out)
    _copy(tasks, x=native.blocks, y=out.blocks, piece=size)
    return out


def unpack(native: BlockedArray) -> np.ndarray:
    """Convert a batch from the batch-blocked layout to an array of shape (N, ...)."""
    out = aligned(native.shape, native.dtype)
    unpack_into(native, out)
    return out


def unpack_into(native: BlockedArray, out: np.ndarray) -> None:
    """`unpack` into the first elements of an array."""
    N, features = native.shape[0], math.prod(native.shape[1:])
    _unpack(_tasks(native, features), x=out, blocks=native.blocks, N=N, features=features, lanes=_lanes(native))


def flatten(x: BlockedArray) -> BlockedArray:
    """Reshape (N, C, H, W) to (N, C * H * W), without a copy."""
    blocks = x.blocks
    return BlockedArray(blocks.reshape(len(blocks), -1, blocks.shape[-1]), (x.shape[0], blocks[0, ..., 0].size))


def unflatten(x: BlockedArray, shape: tuple[int, ...]) -> BlockedArray:
    """Reshape rows, images or signals to (N, *shape), without a copy."""
    blocks = x.blocks
    return BlockedArray(blocks.reshape(len(blocks), *shape, blocks.shape[-1]), (x.shape[0], *shape))


def _tasks(x: BlockedArray, features: int) -> Tasks:
    return len(x.blocks), -(-features // _CHUNK)


def _lanes(x: BlockedArray) -> tuple[int, ...]:
    return (0,) * x.blocks.shape[-1]


# In `_pack` and `_unpack`, a task is a chunk of the features of a block.


@inlined
def _share(task, N, F, L):
    """A task's block, first and last feature, end of those transposed in tiles of L, and number of images."""
    block, chunk = divmod(task, (F + _CHUNK - 1) // _CHUNK)
    first, last = chunk * _CHUNK, min(chunk * _CHUNK + _CHUNK, F)
    images = min(L, N - block * L)
    return block, first, last, last - (last - first) % L if images == L else first, images


@kernel(writes="blocks")
def _pack(first, last, a, scratch):
    x, blocks, N, F, lanes = a.x, a.blocks, a.N, a.features, a.lanes
    L = len(lanes)
    for task in range(first, last):
        block, start, stop, whole, images = _share(task, N, F, L)
        for f in range(start, whole, L):
            tile = tile_load(lanes, (0,), x, block * L * F + f, F, 0)
            tile_store(tile_transpose(tile), blocks, (block * F + f) * L, L, 0, 0, 0)
        for f in range(whole, stop):
            for lane in range(images):
                blocks[(block * F + f) * L + lane] = x[(block * L + lane) * F + f]
            for lane in range(images, L):
                blocks[(block * F + f) * L + lane] = 0


@kernel(writes="y")
def _copy(first, last, a, scratch):
    """A task is a piece of the values."""
    x, y, piece = a.x, a.y, a.piece
    for i in range(first * piece, min(last * piece, y.size)):
        y[i] = x[i]


@kernel(writes="x")
def _unpack(first, last, a, scratch):
    x, blocks, N, F, lanes = a.x, a.blocks, a.N, a.features, a.lanes
    L = len(lanes)
    for task in range(first, last):
        block, start, stop, whole, images = _share(task, N, F, L)
        for f in range(start, whole, L):
            tile = tile_load(lanes, (0,), blocks, (block * F + f) * L, L, 0)
            tile_store(tile_transpose(tile), x, block * L * F + f, F, 0, 0, 0)
        for f in range(whole, stop):
            for lane in range(images):
                x[(block * L + lane) * F + f] = blocks[(block * F + f) * L + lane]
