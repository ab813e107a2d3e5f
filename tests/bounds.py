"""A kernel that accesses an array at its end, one number beyond it, and before it.

NUMBA_BOUNDSCHECK=1 python -m tests.bounds prints what happens for each kind of access.
"""

import numpy as np

from fastcnn import functional
from fastcnn.backends.numba_direct import simd
from fastcnn.backends.numba_direct.runtime.arguments import numbers_at
from fastcnn.backends.numba_direct.runtime.compile import kernel
from fastcnn.backends.numba_direct.runtime.processor import lanes

L = lanes(np.dtype(np.float32))
SIZE = 8 * L
TOUCHES = {  # kind of access -> how many consecutive numbers it accesses; in the order of `way` in the kernel below
    "x[i]": 1,
    "x[i] = ...": 1,
    "scratch": 1,
    "entries": 2,
    "tile_splat": 2,
    "tile_reload": 2 * L,
    "tile_reload_lanes": 2 * L,
    "tile_load": 2 * L,
    "tile_load_bytes": 2 * L,
    "tile_spill": 2 * L,
    "tile_store": 2 * L,
    "tile_store, a column left out": L,
    "tile_store_bytes": 2 * L,
    "tile_sums": 2,
    "tile_sums, a column left out": 1,
    "tile_fma, scalars": 2,
    "tile_fma, vectors": 2 * L + 1,
    "tile_outer, a": L,
    "tile_outer, b": 2 * L,
    "tile_max": 2 * L,
}


@kernel
def _touch(first, last, a, scratch):
    """Access numbers from ``at`` on, in the given way."""
    x, small, far, way, at, row, columns = a.x, a.small, a.far, a.way, a.at, a.row, a.columns
    L = simd.lane_count(x)
    tile = simd.tile_zeros(row, columns, x)
    other, which = simd.tile_max_columns(columns, tile)
    for _ in range(first, last):
        if way == 0:
            tile = simd.tile_full(row, columns, x, x[at])
        elif way == 1:
            x[at] = 0
        elif way == 2:
            numbers_at(scratch, x.size, x)[at] = 0
        elif way == 3:
            tile = simd.tile_divide_columns(tile, x, at)
        elif way == 4:
            simd.tile_spill(simd.tile_splat(columns, row, x, at, 1), x, 0)
        elif way == 5:
            tile = simd.tile_reload(row, columns, x, at)
        elif way == 6:
            tile = simd.tile_reload_lanes(tile, 1, x, at)
        elif way == 7:
            tile = simd.tile_load(row, columns, x, at, 0, L)
        elif way == 8:
            which = simd.tile_load_bytes(row, columns, x, small, at, L)
        elif way == 9:
            simd.tile_spill(tile, x, at)
        elif way == 10:
            simd.tile_store(tile, x, at, 0, L, 0, 0)
        elif way == 11:
            simd.tile_store(tile, x, at - L, 0, L, 0, 1)
        elif way == 12:
            simd.tile_store_bytes(which, small, at, 0, L, 0, 0)
        elif way == 13:
            simd.tile_sums(tile, x, at, 0, 0, 0)
        elif way == 14:
            simd.tile_sums(tile, x, at - 1, 0, 0, 1)
        elif way == 15:
            tile = simd.tile_fma(tile, x, at, 0, 1, x, 0, L, 0)
            tile = simd.tile_fma(tile, x, at, 0, 0, x, 0, L, 0)
        elif way == 16:
            tile = simd.tile_fma(tile, x, 0, 0, 0, x, at, L, 0)
            tile = simd.tile_fma(tile, x, 0, 0, 0, x, at, L, 1)
        elif way == 17:
            tile = simd.tile_outer(tile, x, at, 0, x, 0, far, 0)
        elif way == 18:
            tile = simd.tile_outer(tile, x, 0, 0, x, at, far, 0)
        elif way == 19:
            other, which = simd.tile_max(other, which, x, at, L, 1)
        if way == -1:  # never true, but keeps the compiler from removing the code above
            simd.tile_spill(simd.tile_add(tile, other), x, 0)
            simd.tile_store_bytes(which, small, 0, 0, L, 0, 0)


def touched(way: str, at: int, tasks: int) -> str:
    """Run the kernel; return the error message, or "nothing"."""
    x, small = np.zeros(SIZE, np.float32), np.zeros(SIZE, np.int8)
    try:
        _touch(
            tasks, scratch=x.nbytes, x=x, small=small, far=np.array([0, L]), way=list(TOUCHES).index(way), at=at,
            row=(0,), columns=(0, 0),
        )  # fmt: skip
    except IndexError as error:
        return str(error)
    return "nothing"


if __name__ == "__main__":
    for way, reach in TOUCHES.items():
        for at in (SIZE - reach, SIZE - reach + 1, -1, 0):
            for tasks in (1, 5):  # on this thread, on all threads
                print(f"{way}: {touched(way, at, tasks)}")
    print(functional.relu(np.array([-1.0, 2.0]), backend="numba"))
