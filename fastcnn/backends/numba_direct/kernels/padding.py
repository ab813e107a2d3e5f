"""Pieces of images with their border, so that kernels need not check which taps are inside."""

from fastcnn.backends.numba_direct.runtime.compile import inlined
from fastcnn.backends.numba_direct.simd import lane_count, tile_full, tile_load, tile_store


@inlined
def load_padded(side, x, at, H, W, iy, ix, memory):
    """A square tile of pixels from (iy, ix) on, in a channel of H x W pixels at ``x[at]``, with zeros outside.

    ``memory`` has room for a tile that is not all inside.
    """
    L, extent = lane_count(x), len(side)
    if iy >= 0 and ix >= 0 and iy + extent <= H and ix + extent <= W:
        return tile_load(side, side, x, at + (iy * W + ix) * L, W * L, L)
    copy_padded(x, at, 1, H, W, iy, extent, ix, extent, memory, 0, extent * L)
    return tile_load(side, side, memory, 0, extent * L, L)


@inlined
def copy_padded(x, at, channels, H, W, iy, rows, ix, columns, out, plane, row):
    """Copy rows from iy and columns from ix of channels of H x W pixels at ``x[at]``, with zeros outside.

    In ``out``, channels are ``plane`` elements apart and rows are ``row`` elements apart.
    """
    L = lane_count(x)
    zero = tile_full((0,), (0,), x, 0)
    left, right = min(max(0, -ix), columns), max(0, min(columns, W - ix))
    for c in range(channels):
        for r in range(rows):
            to, inside = c * plane + r * row, 0 <= iy + r < H
            begin, end = (left, max(left, right)) if inside else (columns, columns)
            start = at + ((c * H + iy + r) * W + ix) * L
            for i in range(begin):
                tile_store(zero, out, to + i * L, 0, 0, 0, 0)
            for i in range(begin, end):
                tile_store(tile_load((0,), (0,), x, start + i * L, 0, 0), out, to + i * L, 0, 0, 0, 0)
            for i in range(end, columns):
                tile_store(zero, out, to + i * L, 0, 0, 0, 0)
