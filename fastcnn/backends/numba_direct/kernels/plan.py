"""Plans: kernels with arguments that are computed once for a layer."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from fastcnn.backends.numba_direct.runtime.step import Tasks

TASKS = 16  # work is divided into this many tasks if possible, whatever the number of threads


class Plan:
    """A kernel and all of its arguments except the layer's arrays; tables in ``given`` become read-only."""

    __slots__ = ("given", "kernel", "scratch", "tasks")

    def __init__(self, kernel: Callable, tasks: Tasks, given: dict[str, Any], scratch: int = 0):
        self.kernel, self.tasks, self.given, self.scratch = kernel, tasks, given, scratch
        for value in given.values():
            if isinstance(value, np.ndarray):
                constant(value)

    def __call__(self, **arrays: np.ndarray) -> None:
        """Run the kernel."""
        self.kernel(self.tasks, self.scratch, **self.given, **arrays)


def block_strides(C: int, H: int, W: int, L: int) -> tuple[int, int, int, int]:
    """Elements between neighbouring blocks, channels, rows and pixels."""
    return C * H * W * L, H * W * L, W * L, L


def in_whole_blocks(parts: int, NB: int) -> int:
    """Round a number of parts down to a multiple of NB, if it is larger, so that each part is within one block."""
    return parts - parts % NB if parts > NB else parts


def tasks_of_parts(parts: int, NB: int, each: int) -> Tasks:
    """``each`` tasks for each part; by block, if each part is within one block."""
    return (NB, parts // NB * each) if parts % NB == 0 else parts * each


def ascending(k: dict[str, Any]) -> dict[str, Any]:
    """The same convolution, as arguments of `correlate`, with ascending taps along both axes."""
    for step, start, taps, w_step in (("DH", "iy0", "KH", "wy"), ("DW", "ix0", "KW", "wx")):
        if k[step] < 0:
            last = k[taps] - 1
            w0 = k["w0"] + last * k[w_step]
            k = k | {step: -k[step], start: k[start] + last * k[step], "w0": w0, w_step: -k[w_step]}
    return k


def constant(array: np.ndarray) -> np.ndarray:
    """Make an array read-only, so that programs treat it as a constant; returns the array."""
    array.flags.writeable = False
    return array


@functools.cache
def zeros(count: int, dtype) -> np.ndarray:
    """Read-only zeros, such as a missing bias."""
    return constant(np.zeros(count, dtype))


@functools.cache
def ones(count: int, dtype) -> np.ndarray:
    """Read-only ones, such as a missing weight."""
    return constant(np.ones(count, dtype))
