"""Peak performance of the machine: multiply-adds and bytes per second, and the time to launch a parallel kernel."""

import time

import numba
import numpy as np

from fastcnn.backends.numba_direct.runtime.compile import kernel
from fastcnn.backends.numba_direct.runtime.processor import VECTORS, lanes
from fastcnn.backends.numba_direct.simd import lane_count, tile_fma, tile_store, tile_zeros

# The tile and its operands fit the registers, and enough multiply-adds are in flight: eight, on most processors.
# 8x3 and 6x4, which lack a register and read an operand from memory, reached 3 to 4 % less.
_ROWS, _COLUMNS = {32: ((0,) * 4, (0,) * 4), 16: ((0,) * 3, (0,) * 3), 8: ((0,) * 6, (0,))}[VECTORS]
_STEPS = 100_000
_NUMBERS = 4096  # elements of a task of the triad


def peak_gflops(seconds: float = 0.3) -> float:
    """Best rate of float32 multiply-adds in registers on all threads, in 1e9 operations per second (two each)."""
    threads, L = numba.get_num_threads(), lanes(np.float32)
    operands = np.ones(len(_COLUMNS) * L, np.float32)
    out = np.empty(threads * len(_ROWS) * len(_COLUMNS) * L, np.float32)
    best = _best_seconds(
        lambda: _multiply_add(threads, operands=operands, out=out, rows=_ROWS, columns=_COLUMNS), seconds
    )
    return 2 * out.size * _STEPS / best / 1e9


def bandwidth_gbytes(megabytes: int, seconds: float = 0.3) -> float:
    """Best rate of ``a = b + 3 * c`` (the "triad" of STREAM) on arrays of this many megabytes, in 1e9 bytes per second.

    As in STREAM, the bytes of three arrays count, although a processor may read ``a`` before it writes to it.

    References
    ----------
    J. D. McCalpin, "Memory bandwidth and machine balance in current high performance computers", IEEE TCCA
    newsletter, December 1995.
    """
    a, b, c = (np.ones(megabytes * 250_000, np.float32) for _ in range(3))
    return 3 * a.nbytes / _best_seconds(lambda: _triad(-(-a.size // _NUMBERS), x=a, y=b, z=c), seconds) / 1e9


def launch_microseconds(seconds: float = 0.3) -> float:
    """Median time of a parallel kernel that writes one number for each thread."""
    out = np.empty(numba.get_num_threads(), np.float32)
    return 1e6 * float(np.median(_seconds(lambda: _nothing(len(out), out=out), seconds)))


def _best_seconds(call, seconds: float) -> float:
    return min(_seconds(call, seconds))


def _seconds(call, seconds: float) -> list[float]:
    """Times of the calls that fit into ``seconds``, after one that is not timed."""
    call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


@kernel
def _multiply_add(first, last, a, scratch):
    """A task is a tile. The compiler keeps the operands in registers, too."""
    operands, out, rows, columns = a.operands, a.out, a.rows, a.columns
    L = lane_count(out)
    for task in range(first, last):
        tile = tile_zeros(rows, columns, out)
        for _ in range(_STEPS):
            tile = tile_fma(tile, operands, 0, 1, 0, operands, 0, L, 0)
        tile_store(tile, out, task * len(rows) * len(columns) * L, len(columns) * L, L, 0, 0)


@kernel
def _triad(first, last, a, scratch):
    """A task is some numbers."""
    x, y, z = a.x, a.y, a.z
    for i in range(first * _NUMBERS, min(last * _NUMBERS, x.size)):
        x[i] = y[i] + np.float32(3) * z[i]


@kernel
def _nothing(first, last, a, scratch):
    """A task is one number."""
    out = a.out
    for task in range(first, last):
        out[task] = 0
