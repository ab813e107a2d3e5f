"""Aligned memory that is used again: a training step after the first allocates next to nothing."""

import math
import sys
import threading
from collections import OrderedDict

import numpy as np

from fastcnn.backends.numba_direct._jit import VECTOR_BYTES

_KEPT_BYTES = 1 << 28  # 256 MB: what is more is given back to the system, that of the longest unused size first

_buffers: OrderedDict[int, list[tuple[np.ndarray, int]]] = OrderedDict()  # by size: buffers, and where they are aligned
_lock = threading.Lock()


def _references(entry: tuple[np.ndarray, int]) -> int:
    return sys.getrefcount(entry[0])


_UNUSED = _references((np.empty(0, np.uint8), 0))  # measured: what Python counts differs between its versions


def aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of numbers yet to be written, beginning at a multiple of a vector's size.

    So no vector straddles two cache lines, as it would in an array of ``np.empty``, which begins at any multiple of 16
    bytes: the filters' gradient of 64 to 64 channels is a quarter slower there. A buffer is handed out again when no
    array refers to it any more: the same memory is still in the cache, where new memory is not even mapped.
    """
    size = math.prod(shape) * dtype.itemsize
    with _lock:
        kept = _buffers.setdefault(size, [])
        _buffers.move_to_end(size)
        for entry in kept:
            if _references(entry) == _UNUSED:
                return np.ndarray(shape, dtype, *entry)
        buffer = np.empty(size + VECTOR_BYTES, np.uint8)
        start = -buffer.__array_interface__["data"][0] % VECTOR_BYTES
        kept.append((buffer, start))
        while len(_buffers) > 1 and sum(size * len(kept) for size, kept in _buffers.items()) > _KEPT_BYTES:
            _buffers.popitem(last=False)
        return np.ndarray(shape, dtype, buffer, start)
