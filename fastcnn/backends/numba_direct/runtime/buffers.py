"""The memory that a program's arrays lie in, and the words of its records that hold their addresses."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fastcnn.backends.numba_direct.runtime import memory
from fastcnn.backends.numba_direct.runtime.lifetimes import Lifetime
from fastcnn.backends.numba_direct.runtime.processor import VECTOR_BYTES


class Move(NamedTuple):
    """An array of a step of which each thread has one block only.

    Attributes
    ----------
    word : int
        Of the step's record, where its address stands.
    place : int
        Where in the thread's memory it lies.
    block : int
        Bytes of a block.
    """

    word: int
    place: int
    block: int


class Buffer(Lifetime):
    """Memory that steps use, and the words in which its address, or one inside it, stands.

    Attributes
    ----------
    array : ndarray or None
        What lies there; None when it is elsewhere in each run.
    uses : list of tuple of int
        Words, and how many bytes behind the start.
    blocks : set of int
        Into how many blocks of images it falls, for each of its uses; 0 where it does not.
    """

    def __init__(self, array: np.ndarray):
        super().__init__(array.nbytes)
        self.array: np.ndarray | None = array
        self.start = memory.address(array)
        self.uses: list[tuple[int, int]] = []
        self.blocks: set[int] = set()

    def offset(self, array: np.ndarray) -> int:
        """How many bytes behind the start an array begins."""
        return memory.address(array) - self.start

    def copy(self, words: np.ndarray) -> np.ndarray:
        """Other memory, of which these words tell from now on; with the same numbers, if there are any."""
        block = memory.vectors(lambda size: np.empty(size, np.uint8), self.size)
        if self.array is not None:
            np.ndarray(self.array.shape, self.array.dtype, block)[...] = self.array
        for word, offset in self.uses:
            words[word] = memory.address(block) + offset
        return block


class Buffers:
    """Which memory an array lies in."""

    def __init__(self, buffers: Sequence[Buffer]):
        self._sorted = sorted(buffers, key=lambda buffer: buffer.start)
        self._starts = [buffer.start for buffer in self._sorted]

    def find(self, array: np.ndarray) -> Buffer | None:
        """The one in which an array begins."""
        at = memory.address(array)
        i = bisect_right(self._starts, at) - 1
        return self._sorted[i] if i >= 0 and at < self._starts[i] + max(1, self._sorted[i].size) else None


class Result:
    """An array that is returned: where it lies in a buffer, and what is like it elsewhere."""

    def __init__(self, buffer: Buffer, array):
        numbers = plain(array)
        self.buffer, self._offset = buffer, buffer.offset(numbers)
        self._shape, self._dtype = numbers.shape, numbers.dtype
        self._native = None if numbers is array else (type(array), array.shape)

    def at(self, block: np.ndarray):
        """The array, where the buffer is at its place in a block of memory."""
        numbers = np.ndarray(self._shape, self._dtype, block, self.buffer.place + self._offset)
        if self._native is None:
            return numbers
        kind, shape = self._native
        return kind(numbers, shape)


def plain(array) -> np.ndarray:
    """The numbers of an array that may be in the backend's layout."""
    return getattr(array, "blocks", array)


def write_addresses(words: np.ndarray, moves: tuple[np.ndarray, np.ndarray], block: np.ndarray) -> None:
    """Write down that arrays are in another block of memory."""
    numbers, offsets = moves
    words[numbers] = offsets + memory.address(block)


def moves(buffers: list[Buffer]) -> tuple[np.ndarray, np.ndarray]:
    """The words with addresses in these buffers, and how far each is from the start of a block with their places."""
    moves = [(word, buffer.place + offset) for buffer in buffers for word, offset in buffer.uses]
    words, offsets = np.array(moves, np.int64).reshape(-1, 2).T.copy()
    return words, offsets


def whole_vectors(size: int) -> int:
    """So many bytes, or the next number of them that is a multiple of a vector's."""
    return -(-size // VECTOR_BYTES) * VECTOR_BYTES
