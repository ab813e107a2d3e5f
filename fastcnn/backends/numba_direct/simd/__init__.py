"""Tiles of SIMD vectors that stay in the processor's registers, for Numba kernels.

A `Tile` is R x C vectors; a vector holds one pixel of as many images as it has lanes. The size of a tile is part of its
type: kernels take two tuples of R and C zeros, ``rows`` and ``columns``, and are compiled once for each pair of
lengths. LLVM keeps the vectors of a tile in registers as long as R * C + C + 1 of them fit.

Vectors are read from and written to flat arrays, at offsets in elements. Callers must stay inside the arrays; this is
checked only if the environment variable NUMBA_BOUNDSCHECK is 1.
"""

from fastcnn.backends.numba_direct.simd.arithmetic import (
    tile_add,
    tile_add_columns,
    tile_divide_columns,
    tile_multiply,
    tile_multiply_add,
    tile_relu,
    tile_relu_gradient,
    tile_subtract,
)
from fastcnn.backends.numba_direct.simd.moves import (
    lane_count,
    tile_full,
    tile_load,
    tile_load_bytes,
    tile_prefetch,
    tile_prefetch_to_write,
    tile_reload,
    tile_reload_lanes,
    tile_spill,
    tile_splat,
    tile_store,
    tile_store_bytes,
    tile_transpose,
    tile_zeros,
)
from fastcnn.backends.numba_direct.simd.products import (
    tile_fma,
    tile_outer,
    tile_sums,
)
from fastcnn.backends.numba_direct.simd.winners import (
    tile_max,
    tile_max_columns,
    tile_relu_winners,
    tile_won,
)

__all__ = [
    "lane_count",
    "tile_add",
    "tile_add_columns",
    "tile_divide_columns",
    "tile_fma",
    "tile_full",
    "tile_load",
    "tile_load_bytes",
    "tile_max",
    "tile_max_columns",
    "tile_multiply",
    "tile_multiply_add",
    "tile_outer",
    "tile_prefetch",
    "tile_prefetch_to_write",
    "tile_reload",
    "tile_reload_lanes",
    "tile_relu",
    "tile_relu_gradient",
    "tile_relu_winners",
    "tile_spill",
    "tile_splat",
    "tile_store",
    "tile_store_bytes",
    "tile_subtract",
    "tile_sums",
    "tile_transpose",
    "tile_won",
    "tile_zeros",
]
