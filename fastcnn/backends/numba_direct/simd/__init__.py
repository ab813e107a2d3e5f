"""Tiles of SIMD vectors that stay in the processor's registers, for Numba kernels.

A `Tile` is R x C vectors; a vector holds one pixel of as many images as it has lanes. The size of a tile is part of its
type: kernels take two tuples of R and C zeros, ``rows`` and ``columns``, and are compiled once for each pair of
lengths. LLVM keeps the vectors of a tile in registers as long as R * C + C + 1 of them fit.

Vectors are read and written at offsets, in elements, into flat arrays. Nothing is checked: callers keep inside.
"""

from fastcnn.backends.numba_direct.simd.arithmetic import (
    tile_add,
    tile_add_columns,
    tile_add_steps,
    tile_divide_columns,
    tile_multiply_add,
    tile_relu,
    tile_subtract,
)
from fastcnn.backends.numba_direct.simd.moves import (
    entry,
    lane_count,
    numbers_at,
    tile_add_inside,
    tile_full,
    tile_load,
    tile_load_lanes,
    tile_read,
    tile_read_bytes,
    tile_read_inside,
    tile_save,
    tile_splat,
    tile_store,
    tile_store_bytes,
    tile_transpose,
    tile_zeros,
)
from fastcnn.backends.numba_direct.simd.products import (
    tile_fma,
    tile_fma_inside,
    tile_outer,
    tile_outer_inside,
    tile_sums,
)
from fastcnn.backends.numba_direct.simd.winners import (
    tile_add_to_winners,
    tile_max,
    tile_max_columns,
    tile_max_inside,
    tile_put_to_winners,
    tile_relu_winners,
)

__all__ = [
    "entry",
    "lane_count",
    "numbers_at",
    "tile_add",
    "tile_add_columns",
    "tile_add_inside",
    "tile_add_steps",
    "tile_add_to_winners",
    "tile_divide_columns",
    "tile_fma",
    "tile_fma_inside",
    "tile_full",
    "tile_load",
    "tile_load_lanes",
    "tile_max",
    "tile_max_columns",
    "tile_max_inside",
    "tile_multiply_add",
    "tile_outer",
    "tile_outer_inside",
    "tile_put_to_winners",
    "tile_read",
    "tile_read_bytes",
    "tile_read_inside",
    "tile_relu",
    "tile_relu_winners",
    "tile_save",
    "tile_splat",
    "tile_store",
    "tile_store_bytes",
    "tile_subtract",
    "tile_sums",
    "tile_transpose",
    "tile_zeros",
]
