"""The batch-blocked layout: the lanes of a vector are images.

A batch of N images of shape (C, H, W) is stored as (NB, C, H, W, L): blocks of L images side by side, L the lanes of a
vector. Every layer then fills its vectors, whatever its channels and widths. Lanes of the last block that hold no image
are zero after `pack`; operations compute there too, and `unpack` leaves them out.
"""

import math

import numpy as np

from fastcnn.backends.numba_direct.runtime.compile import inlined, kernel
from fastcnn.backends.numba_direct.runtime.memory import aligned
from fastcnn.backends.numba_direct.runtime.processor import VECTOR_BYTES
from fastcnn.backends.numba_direct.runtime.step import Tasks
from fastcnn.backends.numba_direct.simd import tile_load, tile_store, tile_transpose

_NUMBERS = 4096  # that a task of `pieces` takes, at most
_CHUNK = 64  # features that a task takes: with 16 lanes of float32 they fill 4 KB, well inside the first-level cache


class BlockedArray:
    """A batch in the batch-blocked layout.

    Attributes
    ----------
    blocks : ndarray of shape (NB, ..., L)
        The numbers.
    shape : tuple of int
        The batch's own shape, (N, C, H, W), (N, C, L) or (N, C).
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
    return BlockedArray(aligned(blocks, dtype), shape)


def last_images(x: BlockedArray) -> int:
    """How many lanes of the last block hold an image, if not all do; else 0."""
    return x.shape[0] % x.blocks.shape[-1]


def pieces(x: BlockedArray) -> tuple[Tasks, int]:
    """Tasks that each take a piece of the numbers, one after the other, and how many numbers that are.

    A block is cut into pieces of one size, if it can be without making them too small.
    """
    NB, size = len(x.blocks), x.blocks[0].size
    for count in range(-(-size // _NUMBERS), max(2, -(-2 * size // _NUMBERS))):
        if size % count == 0:
            return (NB, count), size // count
    return -(-NB * size // _NUMBERS), _NUMBERS


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
    N, features = len(x), x.size // len(x)
    _pack(_tasks(out, features), x=x, blocks=out.blocks, N=N, features=features, lanes=_lanes(out))


def copy(native: BlockedArray) -> BlockedArray:
    """Another batch of the same numbers."""
    out = empty(native.shape, native.dtype)
    tasks, size = pieces(out)
    _copy(tasks, x=native.blocks, y=out.blocks, piece=size)
    return out


def unpack(native: BlockedArray) -> np.ndarray:
    """Take an array of shape (N, ...) out of the batch-blocked layout."""
    out = aligned(native.shape, native.dtype)
    unpack_into(native, out)
    return out


def unpack_into(native: BlockedArray, out: np.ndarray) -> None:
    """`unpack` into the first numbers of an array."""
    N, features = native.shape[0], math.prod(native.shape[1:])
    _unpack(_tasks(native, features), x=out, blocks=native.blocks, N=N, features=features, lanes=_lanes(native))


def flatten(x: BlockedArray) -> BlockedArray:
    """(N, C, H, W) as (N, C * H * W), without a copy."""
    blocks = x.blocks
    return BlockedArray(blocks.reshape(len(blocks), -1, blocks.shape[-1]), (x.shape[0], blocks[0, ..., 0].size))


def unflatten(x: BlockedArray, shape: tuple[int, ...]) -> BlockedArray:
    """Rows, or images or signals, as (N, *shape), without a copy."""
    blocks = x.blocks
    return BlockedArray(blocks.reshape(len(blocks), *shape, blocks.shape[-1]), (x.shape[0], *shape))


def _tasks(x: BlockedArray, features: int) -> Tasks:
    return len(x.blocks), -(-features // _CHUNK)


def _lanes(x: BlockedArray) -> tuple[int, ...]:
    return (0,) * x.blocks.shape[-1]


# A task of both is a chunk of the features of a block.


@inlined
def _share(task, N, F, L):
    """Block, and first and last feature, of a task; how many of these are transposed in tiles, L at a time."""
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
    """A task is some numbers."""
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
