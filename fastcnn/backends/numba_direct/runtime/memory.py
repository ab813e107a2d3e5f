"""Aligned memory that is reused: after the first training step, almost nothing is allocated.

Arrays borrow their memory from a `Pool`. When nothing refers to an array or a view of it any more, the memory goes back
to its pool. When the pool is deleted, its memory goes back to the system, so a deleted model leaves nothing behind.
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
        Total size of this memory.
    most : int
        Limit of the total size. Beyond it, memory goes back to the system, the least recently used size first.
    """

    most = 1 << 28  # a class attribute, as module variables may be gone when the last loans end at exit

    def __init__(self) -> None:
        self.bytes = 0
        self._unused: OrderedDict[tuple[int, int], list[_Memory]] = OrderedDict()  # by pool and size
        self._lock = threading.RLock()  # reentrant: a loan may end while its own thread holds the lock
        if hasattr(os, "register_at_fork"):  # a child process must not inherit a lock that another thread holds
            lock = self._lock
            os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)

    def take(self, pool: "Pool", size: int) -> "_Memory":
        """Return memory of this size, unused memory of the pool if there is any."""
        with self._lock:
            if unused := self._unused.get((id(pool), size)):
                self.bytes -= size
                return unused.pop()
        buffer = np.empty(size + VECTOR_BYTES, np.uint8)
        start = address(buffer)
        return buffer, start + -start % VECTOR_BYTES, size

    def put(self, pool: "Pool", memory: "_Memory") -> None:
        """Keep memory that is no longer used."""
        size = memory[2]
        with self._lock:
            key = id(pool), size
            self._unused.setdefault(key, []).append(memory)
            self._unused.move_to_end(key)
            self.bytes += size
            while self.bytes > self.most:
                self._drop(next(iter(self._unused)))

    def clear(self, pool: "Pool") -> None:
        """Drop the unused memory of a pool."""
        with self._lock:
            for key in [key for key in self._unused if key[0] == id(pool)]:
                self._drop(key)

    def _drop(self, key: tuple[int, int]) -> None:
        self.bytes -= key[1] * len(self._unused.pop(key))


_Memory = tuple[np.ndarray, int, int]  # a buffer, an aligned address in it, and the bytes from there on
_shelf = _Shelf()


def unused_bytes() -> int:
    """Size of the memory that is kept although no array uses it."""
    return _shelf.bytes


class Pool:
    """Memory for the arrays that are made inside ``with pool:``; several threads may use it at once."""

    def __init__(self) -> None:
        self.shelf = _shelf

    def __enter__(self) -> "Pool":
        _current.pools.append(self)
        return self

    def __exit__(self, *error) -> None:
        _current.pools.pop()

    def __del__(self) -> None:
        self.shelf.clear(self)


_everybody = Pool()  # for arrays that belong to no model


class _Current(threading.local):
    def __init__(self) -> None:
        self.pools = [_everybody]
        self.noted: list[np.ndarray] | None = None


_current = _Current()


class _Loan:
    """Borrowed memory: an array and its views refer to it as their base, and it goes back when they are gone."""

    __slots__ = ("__array_interface__", "_memory", "_pool")

    def __init__(self, memory: _Memory, pool: Pool, shape: tuple[int, ...], dtype: np.dtype):
        self._memory, self._pool = memory, weakref.ref(pool)
        self.__array_interface__ = {"version": 3, "data": (memory[1], False), "shape": shape, "typestr": dtype.str}

    def __del__(self) -> None:
        if pool := self._pool():
            pool.shelf.put(pool, self._memory)


def aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An uninitialized array, aligned to the vector size.

    So no vector straddles two cache lines. An array of ``np.empty`` begins at any multiple of 16 bytes, which makes the
    filters' gradient of 64 to 64 channels a quarter slower. Reused memory may still be in the cache, while new memory
    is not even mapped.
    """
    pool = _current.pools[-1]
    memory = pool.shelf.take(pool, math.prod(shape) * dtype.itemsize)
    array = np.asarray(_Loan(memory, pool, shape, dtype))
    if _current.noted is not None:
        _current.noted.append(array)
    return array


@contextmanager
def noting(arrays: list[np.ndarray] | None) -> Iterator[None]:
    """Inside this block, append the arrays that `aligned` makes for this thread to a list, unless it is None."""
    before, _current.noted = _current.noted, arrays
    try:
        yield
    finally:
        _current.noted = before


def address(array: np.ndarray) -> int:
    """Address of the first byte of an array."""
    flags = array.flags
    if flags.writeable and flags.c_contiguous and array.size:
        return addressof(_from_buffer(array))  # 0.3 us
    return array.__array_interface__["data"][0]  # 2 us


def vectors(allocate: Callable[[int], np.ndarray], size: int) -> np.ndarray:
    """Memory from ``allocate``, aligned to the vector size and of ``size`` bytes rounded up to whole vectors."""
    size = -(-size // VECTOR_BYTES) * VECTOR_BYTES
    memory = allocate(size + VECTOR_BYTES)
    start = -address(memory) % VECTOR_BYTES
    return memory[start : start + size]
