"""What a kernel is called with, worked out once for a layer."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastcnn.backends.numba_direct._jit import flat


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
def zero_bias(count: int, dtype) -> np.ndarray:
    """Zeros, not made read-only: Numba would compile every kernel again for that."""
    return np.zeros(count, dtype)
