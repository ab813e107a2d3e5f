"""The memory of a program's arrays, and the words of its records that hold their addresses."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fastcnn._lifetimes import Lifetime
from fastcnn.backends.numba_direct.runtime import memory
from fastcnn.backends.numba_direct.runtime.processor import VECTOR_BYTES


class Move(NamedTuple):
    """An array of a step that is moved to the threads' own memory, where each thread has one block of it.

    Attributes
    ----------
    word : int
        Word of the step's record that holds the array's address.
    place : int
        Offset of the block in the thread's memory.
    block : int
        Bytes of a block.
    """

    word: int
    place: int
    block: int


class Buffer(Lifetime):
    """Memory that steps use, and the words that hold addresses in it.

    Attributes
    ----------
    array : ndarray or None
        The array in this memory; None if each run uses other memory.
    uses : list of tuple of int
        Words, and how many bytes each address is behind the start.
    blocks : set of int
        The numbers of blocks of images into which its uses divide it; 0 for a use that does not divide it.
    """

    def __init__(self, array: np.ndarray):
        super().__init__(array.nbytes)
        self.array: np.ndarray | None = array
        self.start = memory.address(array)
        self.uses: list[tuple[int, int]] = []
        self.blocks: set[int] = set()

    def offset(self, array: np.ndarray) -> int:
        """Offset in bytes at which an array begins."""
        return memory.address(array) - self.start

    def copy(self, words: np.ndarray) -> np.ndarray:
        """Copy the memory, with the values of the array if there is one, and let the words point to the copy."""
        block = memory.vectors(lambda size: np.empty(size, np.uint8), self.size)
        if self.array is not None:
            np.ndarray(self.array.shape, self.array.dtype, block)[...] = self.array
        for word, offset in self.uses:
            words[word] = memory.address(block) + offset
        return block


class Buffers:
    """Finds the buffer in which an array is."""

    def __init__(self, buffers: Sequence[Buffer]):
        self._sorted = sorted(buffers, key=lambda buffer: buffer.start)
        self._starts = [buffer.start for buffer in self._sorted]

    def find(self, array: np.ndarray) -> Buffer | None:
        """The buffer in which an array begins, or None."""
        at = memory.address(array)
        i = bisect_right(self._starts, at) - 1
        return self._sorted[i] if i >= 0 and at < self._starts[i] + max(1, self._sorted[i].size) else None


class Result:
    """A result of a program: its place in a buffer, shape, dtype and layout."""

    def __init__(self, buffer: Buffer, array):
        numbers = plain(array)
        self.buffer, self._offset = buffer, buffer.offset(numbers)
        self._shape, self._dtype = numbers.shape, numbers.dtype
        self._native = None if numbers is array else (type(array), array.shape)

    def at(self, block: np.ndarray):
        """The result as an array, if its buffer is at its place in this block of memory."""
        numbers = np.ndarray(self._shape, self._dtype, block, self.buffer.place + self._offset)
        if self._native is None:
            return numbers
        kind, shape = self._native
        return kind(numbers, shape)


def plain(array) -> np.ndarray:
    """The ndarray of an array that may be in the backend's layout."""
    return getattr(array, "blocks", array)


def write_addresses(words: np.ndarray, moves: tuple[np.ndarray, np.ndarray], block: np.ndarray) -> None:
    """Write the addresses of moved arrays, now in this block of memory, into the words."""
    numbers, offsets = moves
    words[numbers] = offsets + memory.address(block)


def moves(buffers: list[Buffer]) -> tuple[np.ndarray, np.ndarray]:
    """The words that hold addresses in these buffers, and the offset of each address in a block with all buffers."""
    moves = [(word, buffer.place + offset) for buffer in buffers for word, offset in buffer.uses]
    words, offsets = np.array(moves, np.int64).reshape(-1, 2).T.copy()
    return words, offsets


def whole_vectors(size: int) -> int:
    """A size in bytes, rounded up to a multiple of the vector size."""
    return -(-size // VECTOR_BYTES) * VECTOR_BYTES
