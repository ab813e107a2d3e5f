"""The filters' gradient of a convolution with 3x3 filters by Winograd's F(3, 4), with images in the lanes.

What a tile of 4 x 4 outputs contributes to the 3 x 3 taps of a filter and a channel takes 36 products instead of 144.
The products are summed over all tiles and images, and only the sums are transformed back. The transformed pixels are
transposed so that channels are in the lanes. Then a task sums 36 x O x C numbers instead of as many vectors.
"""

import functools
import math
from typing import Any

import numpy as np

from fastcnn._geometry import Windows
from fastcnn.backends.numba_direct.kernels.padding import load_padded
from fastcnn.backends.numba_direct.kernels.plan import TASKS, Plan, block_strides, in_whole_blocks, tasks_of_parts
from fastcnn.backends.numba_direct.kernels.winograd import ROWS, SEEN, SIDE, T, fetch_part, pays, tiles_along
from fastcnn.backends.numba_direct.runtime.arguments import numbers_at
from fastcnn.backends.numba_direct.runtime.compile import flushing_kernel, inlined
from fastcnn.backends.numba_direct.runtime.memory import aligned
from fastcnn.backends.numba_direct.runtime.processor import VECTOR_BYTES
from fastcnn.backends.numba_direct.simd import (
    lane_count,
    tile_add,
    tile_fma,
    tile_full,
    tile_load,
    tile_spill,
    tile_store,
    tile_transpose,
)
from fastcnn.backends.numba_direct.simd.winograd import (
    tile_winograd_gradient_input,
    tile_winograd_gradient_output,
    tile_winograd_input,
)

_FILTERS, _CHANNELS = 64, 32  # of a task, at most; its sums take 295 KB of the second-level cache
_TILES = 8  # of a task, if there are as many; the sums of many parts take long to add up


class WinogradGradientPlan:
    """The sums of products of each task, and the transform of these sums into gradients."""

    __slots__ = ("_back", "_dweight", "_main", "_sums", "_totals")

    def __init__(self, main: Plan, back: Plan, sums: int, totals: int, dweight: tuple[int, ...]):
        self._main, self._back, self._sums, self._totals, self._dweight = main, back, sums, totals, dweight

    def __call__(self, dy: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradients of the filters and of the bias."""
        sums, totals = aligned((self._sums,), x.dtype), aligned((self._totals,), x.dtype)
        dweight, dbias = aligned(self._dweight, x.dtype), aligned(self._dweight[:1], x.dtype)
        self._main(dy=dy, x=x, sums=sums, totals=totals)
        self._back(dy=dy, x=x, sums=sums, totals=totals, dweight=dweight, dbias=dbias)
        return dweight, dbias


def gradient_suits_winograd(w: Windows, groups: int, weight_shape) -> bool:
    """Whether the filters are 3x3 with stride 1, and Winograd's algorithm is faster."""
    O, C, KH, KW = weight_shape
    return (KH, KW, w.SH, w.SW, w.DH, w.DW) == (3, 3, 1, 1, 1, 1) and pays(C, O // groups, w.OH, w.OW)


@functools.lru_cache(1024)
def winograd_gradient_plan(w: Windows, groups: int, weight_shape, blocks_shape, images: int) -> WinogradGradientPlan:
    """Gradients of a convolution's filters and bias; the last block holds ``images`` images (0 if it is full)."""
    (O, C, _, _), (NB, channels, H, W, L) = weight_shape, blocks_shape
    O = O // groups
    down, across = tiles_along(w.OH), tiles_along(w.OW)
    tiles, o_chunks, c_chunks = NB * down * across, -(-O // _FILTERS), -(-C // _CHANNELS)
    filters, members = -(-O // o_chunks), -(-C // (c_chunks * L)) * L  # of a task, at most
    height = -(-filters // ROWS) * ROWS
    each = groups * o_chunks * c_chunks  # tasks of a part
    parts = in_whole_blocks(min(-(-tiles // _TILES), -(-TASKS // each)), NB)
    xn, xc, xh, xw = block_strides(channels, H, W, L)
    yn, yo, yh, yw = block_strides(O * groups, w.OH, w.OW, L)
    given: dict[str, Any] = {
        "NB": NB, "G": groups, "C": C, "H": H, "W": W, "O": O, "OH": w.OH, "OW": w.OW, "images": images,
        "iy0": -w.top, "ix0": -w.left, "down": down, "across": across, "tiles": tiles, "parts": parts,
        "o_chunks": o_chunks, "c_chunks": c_chunks, "filters": filters, "members": members,
        "height": height, "xn": xn, "xc": xc, "xh": xh, "xw": xw,
        "yn": yn, "yo": yo, "yh": yh, "yw": yw, "side": (0,) * SIDE, "seen": (0,) * SEEN,
    }  # fmt: skip
    size = T * height * members
    scratch = T * (members + 1 + height + 1 + L + 1 + 1) * VECTOR_BYTES
    own = given | {"rows": (0,) * ROWS, "lanes": (0,) * L}
    main = Plan(_winograd_gradient, tasks_of_parts(parts, NB, each), own, scratch)
    back = Plan(_winograd_gradient_back, groups * O, given, 9 * VECTOR_BYTES)
    return WinogradGradientPlan(main, back, parts * each * size, parts * groups * O * L, (O * groups, C, 3, 3))


@flushing_kernel(writes="sums totals")
def _winograd_gradient(first, last, a, scratch):
    """A task is a part of the tiles of all blocks, for a chunk of the filters and of the channels of a group.

    ``sums[task, t, o, c]`` is the sum of products of element t of the tiles, ``totals[part, g, o, lane]`` that of dy.
    """
    dy, x, sums, totals, rows, lanes, side, seen = a.dy, a.x, a.sums, a.totals, a.rows, a.lanes, a.side, a.seen
    O, C, H, W, OH, OW, height, width = a.O, a.C, a.H, a.W, a.OH, a.OW, a.height, a.members
    R, L, parts, xc, yo = len(rows), lane_count(x), a.parts, a.xc, a.yo
    # Not multiples of 4 KB: data that far apart share a few lines of the first-level cache.
    x_apart, y_apart, turned_apart = L * width + L, (height + 1) * L, (L + 1) * L
    pixels = numbers_at(scratch, T * x_apart, x)  # [t, lane, c]
    outputs = numbers_at(scratch + pixels.size * x.itemsize, T * y_apart, x)  # [t, o, lane]
    turned_at = scratch + (pixels.size + outputs.size) * x.itemsize
    turned = numbers_at(turned_at, T * turned_apart, x)  # [t, c, lane] of as many channels as there are lanes
    piece = numbers_at(turned_at + turned.size * x.itemsize, T * L, x)
    for task in range(first, last):
        rest, c_chunk = divmod(task, a.c_chunks)
        rest, o_chunk = divmod(rest, a.o_chunks)
        part, g = divmod(rest, a.G)
        c0, o0 = c_chunk * a.members, o_chunk * a.filters
        members, filters = min(a.members, C - c0), min(a.filters, O - o0)
        first_tile, last_tile = part * a.tiles // parts, (part + 1) * a.tiles // parts
        totals_at = ((part * a.G + g) * O + o0) * L
        for tile_number in range(first_tile, last_tile):
            rest, right = divmod(tile_number, a.across)
            n, down = divmod(rest, a.down)
            oy, ox = down * SIDE, right * SIDE
            iy, ix = oy + a.iy0, ox + a.ix0
            count = a.images if a.images > 0 and n + 1 == a.NB else L
            x_at, y_at = n * a.xn + (g * C + c0) * xc, n * a.yn + (g * O + o0) * yo
            for start in range(0, members, L):
                for c in range(start, min(start + L, members)):
                    tile = load_padded(seen, x, x_at + c * xc, H, W, iy, ix, piece)
                    to = (c - start) * L
                    tile_store(tile_winograd_input(tile), turned, to, SEEN * turned_apart, turned_apart, 0, 0)
                for t in range(T):
                    square = tile_transpose(tile_load(lanes, (0,), turned, t * turned_apart, L, 0))
                    tile_store(square, pixels, t * x_apart + start, width, 0, 0, 0)
            for o in range(filters):
                tile = load_padded(side, dy, y_at + o * yo, OH, OW, oy, ox, piece)
                if c_chunk == 0:
                    _add_to_totals(tile, totals, totals_at + o * L, count, tile_number == first_tile, piece)
                tile_store(tile_winograd_gradient_input(tile), outputs, o * L, SEEN * y_apart, y_apart, 0, 0)
            rest, right = divmod(tile_number + 1, a.across)
            n, down = divmod(rest, a.down)
            x_at = n * a.xn + (g * C + c0) * xc + (down * SIDE + a.iy0) * a.xh + (right * SIDE + a.ix0) * a.xw
            y_at = n * a.yn + (g * O + o0) * yo + down * SIDE * a.yh + right * SIDE * a.yw
            of_x, of_dy = (members, filters) if tile_number + 1 < last_tile else (0, 0)
            for t in range(T):
                fetch_part(seen, x, x_at, xc, a.xh, a.xw, t, T, of_x)
                fetch_part(side, dy, y_at, yo, a.yh, a.yw, t, T, of_dy)
                for o in range(0, filters, R):
                    for start in range(0, members, L):
                        at = ((task * T + t) * height + o) * width + start
                        if tile_number == first_tile:
                            total = tile_full(rows, (0,), x, 0)
                        else:
                            total = tile_load(rows, (0,), sums, at, width, 0)
                        for lane in range(count):
                            total = tile_fma(
                                total, outputs, t * y_apart + o * L, L, lane, pixels, t * x_apart + start, 0,
                                lane * width,
                            )  # fmt: skip
                        tile_store(total, sums, at, width, 0, 0, 0)


@inlined
def _add_to_totals(tile, totals, at, count, is_first, memory):
    """Add the sum of a tile's vectors to ``totals``, lane by lane, for the first ``count`` lanes."""
    L = lane_count(totals)
    tile_spill(tile, memory, 0)
    total = tile_full((0,), (0,), totals, 0)
    for i in range(SIDE * SIDE):
        total = tile_add(total, tile_load((0,), (0,), memory, i * L, 0, 0))
    tile_store(total, memory, 0, 0, 0, 0, 0)
    for lane in range(L):
        before = totals.dtype.type(0) if is_first else totals[at + lane]
        totals[at + lane] = before + memory[lane] if lane < count else before


@flushing_kernel(writes="dweight dbias")
def _winograd_gradient_back(first, last, a, scratch):
    """A task is a filter: the sums of all parts are added up and transformed back.

    Gradients that are not finite are computed again directly.
    """
    x, sums, dweight, totals, dbias, seen = a.x, a.sums, a.dweight, a.totals, a.dbias, a.seen
    G, O, C, L, height, width, parts = a.G, a.O, a.C, lane_count(x), a.height, a.members, a.parts
    memory = numbers_at(scratch, 9 * L, x)
    for task in range(first, last):
        g, o = divmod(task, O)
        o_chunk, row = divmod(o, a.filters)
        for c in range(0, C, L):
            c_chunk, start = divmod(c, width)
            total = tile_full(seen, seen, x, 0)
            for part in range(parts):
                at = (((part * G + g) * a.o_chunks + o_chunk) * a.c_chunks + c_chunk) * T * height * width
                at += row * width + start
                total = tile_add(total, tile_load(seen, seen, sums, at, SEEN * height * width, height * width))
            gradient = tile_winograd_gradient_output(total)
            tile_store(gradient, memory, 0, 3 * L, L, 0, 0)
            for lane in range(min(L, C - c)):
                for tap in range(9):
                    number = memory[tap * L + lane]
                    if not math.isfinite(number):
                        number = _defined(a, g, o, c + lane, tap // 3, tap % 3)
                    dweight[(task * C + c + lane) * 9 + tap] = number
        total_dy = x.dtype.type(0)
        for part in range(parts):
            for lane in range(L):
                total_dy += totals[((part * G + g) * O + o) * L + lane]
        dbias[task] = total_dy


@inlined
def _defined(a, g, o, c, ky, kx):
    """The gradient of a tap, computed directly."""
    x, dy, L = a.x, a.dy, lane_count(a.x)
    total = x.dtype.type(0)
    for n in range(a.NB):
        for oy in range(a.OH):
            for ox in range(a.OW):
                iy, ix = oy + a.iy0 + ky, ox + a.ix0 + kx
                if 0 <= iy < a.H and 0 <= ix < a.W:
                    y_at = n * a.yn + (g * a.O + o) * a.yo + oy * a.yh + ox * a.yw
                    x_at = n * a.xn + (g * a.C + c) * a.xc + iy * a.xh + ix * a.xw
                    for lane in range(a.images if a.images > 0 and n + 1 == a.NB else L):
                        total += dy[y_at + lane] * x[x_at + lane]
    return total
