"""Aligned memory that is used again: a training step after the first allocates next to nothing.

An array is lent its memory. When nothing refers to the array or a view of it any more, the memory goes back to the
`Pool` from which it came, and with the pool to the system: a deleted model leaves nothing behind.
"""

import math
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import addressof, c_char
from typing import Any

import numpy as np

from fastcnn.backends.numba_direct.runtime.processor import VECTOR_BYTES

_from_buffer: Any = c_char.from_buffer


class _Shelf:
    """Unused memory of all pools.

    Attributes
    ----------
    bytes : int
        How much there is.
    most : int
        How much is kept at most; what is more goes back to the system, the longest unused size first.
    """

    most = 1 << 28  # not of the module, which has nothing left when the last loans end with the interpreter

    def __init__(self) -> None:
        self.bytes = 0
        self._unused: OrderedDict[tuple[int, int], list[_Memory]] = OrderedDict()  # by pool and size
        self._lock = threading.RLock()  # a loan may end while its own thread holds the lock
        if hasattr(os, "register_at_fork"):  # no child is to wait for a thread that it does not have
            lock = self._lock
            os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)

    def take(self, pool: "Pool", size: int) -> "_Memory":
        """So many bytes, unused ones if there are."""
        with self._lock:
            if unused := self._unused.get((id(pool), size)):
                self.bytes -= size
                return unused.pop()
        buffer = np.empty(size + VECTOR_BYTES, np.uint8)
        start = address(buffer)
        return buffer, start + -start % VECTOR_BYTES, size

    def put(self, pool: "Pool", memory: "_Memory") -> None:
        """Keep what is no longer used."""
        size = memory[2]
        with self._lock:
            key = id(pool), size
            self._unused.setdefault(key, []).append(memory)
            self._unused.move_to_end(key)
            self.bytes += size
            while self.bytes > self.most:
                self._drop(next(iter(self._unused)))

    def clear(self, pool: "Pool") -> None:
        """Keep nothing of a pool."""
        with self._lock:
            for key in [key for key in self._unused if key[0] == id(pool)]:
                self._drop(key)

    def _drop(self, key: tuple[int, int]) -> None:
        self.bytes -= key[1] * len(self._unused.pop(key))


_Memory = tuple[np.ndarray, int, int]  # a buffer, the address in it where a vector begins, and bytes from there on
_shelf = _Shelf()


def unused_bytes() -> int:
    """How much memory is kept in which no array lies."""
    return _shelf.bytes


class Pool:
    """Memory for the arrays that are made within ``with pool:``; several threads may use it at once."""

    def __init__(self) -> None:
        self.shelf = _shelf

    def __enter__(self) -> "Pool":
        _current.pools.append(self)
        return self

    def __exit__(self, *error) -> None:
        _current.pools.pop()

    def __del__(self) -> None:
        self.shelf.clear(self)


_everybody = Pool()  # for what belongs to no model


class _Current(threading.local):
    def __init__(self) -> None:
        self.pools = [_everybody]
        self.noted: list[np.ndarray] | None = None


_current = _Current()


class _Loan:
    """Memory for as long as arrays lie in it; an array refers to it as its base, and so do all views."""

    __slots__ = ("__array_interface__", "_memory", "_pool")

    def __init__(self, memory: _Memory, pool: Pool, shape: tuple[int, ...], dtype: np.dtype):
        self._memory, self._pool = memory, weakref.ref(pool)
        self.__array_interface__ = {"version": 3, "data": (memory[1], False), "shape": shape, "typestr": dtype.str}

    def __del__(self) -> None:
        if pool := self._pool():
            pool.shelf.put(pool, self._memory)


def aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of numbers yet to be written, beginning at a multiple of a vector's size.

    So no vector straddles two cache lines, as it would in an array of ``np.empty``, which begins at any multiple of 16
    bytes: the filters' gradient of 64 to 64 channels is a quarter slower there. Memory that was used before is still in
    the cache, where new memory is not even mapped.
    """
    pool = _current.pools[-1]
    memory = pool.shelf.take(pool, math.prod(shape) * dtype.itemsize)
    array = np.asarray(_Loan(memory, pool, shape, dtype))
    if _current.noted is not None:
        _current.noted.append(array)
    return array


@contextmanager
def noting(arrays: list[np.ndarray] | None) -> Iterator[None]:
    """Within this block, write down in a list, or in none, which arrays this thread is lent."""
    before, _current.noted = _current.noted, arrays
    try:
        yield
    finally:
        _current.noted = before


def address(array: np.ndarray) -> int:
    """Where its memory begins."""
    flags = array.flags
    if flags.writeable and flags.c_contiguous and array.size:
        return addressof(_from_buffer(array))  # 0.3 us
    return array.__array_interface__["data"][0]  # 2 us


def vectors(allocate: Callable[[int], np.ndarray], size: int) -> np.ndarray:
    """So many bytes, rounded up to vectors and beginning at a multiple of their size, of what ``allocate`` gives."""
    size = -(-size // VECTOR_BYTES) * VECTOR_BYTES
    memory = allocate(size + VECTOR_BYTES)
    start = -address(memory) % VECTOR_BYTES
    return memory[start : start + size]
