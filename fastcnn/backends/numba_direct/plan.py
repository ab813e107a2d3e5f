"""What a kernel is called with, worked out once for a layer."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastcnn.backends.numba_direct._jit import flat
from fastcnn.backends.numba_direct.memory import aligned

TASKS = 16  # work is cut into parts until there are so many, whatever the number of threads


class Plan(NamedTuple):
    """A kernel, and what it is called with before and after its arrays."""

    kernel: Callable
    tile: tuple[tuple[int, ...], ...]
    numbers: tuple

    def __call__(self, *arrays: np.ndarray) -> None:
        """Run the kernel."""
        self.kernel(*self.tile, *map(flat, arrays), *self.numbers)


def block_strides(C: int, H: int, W: int, L: int) -> tuple[int, int, int, int]:
    """Elements between neighbouring blocks, channels, rows and pixels."""
    return C * H * W * L, H * W * L, W * L, L


def border_flag(first: int, last: int, extent: int) -> tuple[int, ...]:
    """A tuple whose length tells a kernel, when it is compiled, whether columns may lie outside the image."""
    return () if first >= 0 and last < extent else (0,)


@functools.cache
def zeros(count: int, dtype) -> np.ndarray:
    """No bias, or what is outside an image; not made read-only, as Numba would compile every kernel again for that."""
    array = aligned((count,), dtype)
    array[:] = 0
    return array
