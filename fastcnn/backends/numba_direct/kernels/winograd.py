"""Convolution with 3x3 filters by Winograd's F(4, 3), with images in the lanes.

A tile of 4 x 4 outputs of a channel and a filter takes 36 products instead of 144. The transforms are sums of vectors,
a few for each channel and each filter. F(2, 3), with 16 products instead of 36, was never faster. On 64 channels of 8x8
pixels, direct convolution runs at 0.96 of the processor's peak, F(2, 3) at 1.49 and F(4, 3) at 2.01, counted in direct
multiply-adds.
"""

import math
from typing import Any

import numpy as np

from fastcnn.backends.numba_direct.kernels.padding import load_padded
from fastcnn.backends.numba_direct.kernels.plan import TASKS, Plan, ascending, constant
from fastcnn.backends.numba_direct.runtime.arguments import numbers_at
from fastcnn.backends.numba_direct.runtime.compile import flushing_kernel, inlined, kernel
from fastcnn.backends.numba_direct.runtime.memory import aligned
from fastcnn.backends.numba_direct.runtime.processor import VECTOR_BYTES, VECTORS
from fastcnn.backends.numba_direct.simd import (
    lane_count,
    tile_fma,
    tile_full,
    tile_load,
    tile_prefetch,
    tile_prefetch_to_write,
    tile_reload,
    tile_relu,
    tile_spill,
    tile_splat,
    tile_store,
)
from fastcnn.backends.numba_direct.simd.winograd import (
    FILTER_TRANSFORM,
    tile_add_number,
    tile_is_finite,
    tile_winograd_input,
    tile_winograd_output,
)

SIDE, SEEN = 4, 6  # of a tile of outputs, and of the pixels that it reads
T = SEEN**2
# Filters of a panel: as many products as are in flight; more, or tiles side by side, were never faster. Where 8 vectors
# fit the registers, 4 leave room for the operands.
ROWS = 8 if VECTORS > 8 else 4
_CHANNELS, _WASTE = 16, 1.8  # the fewest channels; the largest ratio of computed outputs to existing ones


class WinogradPlan:
    """The transform of the filters, and the convolution with the transformed filters."""

    __slots__ = ("_filters", "_main", "_size")

    def __init__(self, filters: Plan, main: Plan, size: int):
        self._filters, self._main, self._size = filters, main, size

    def __call__(self, *, x: np.ndarray, weight: np.ndarray, bias: np.ndarray, y: np.ndarray) -> None:
        """Run both."""
        transformed = aligned((self._size,), x.dtype)
        self._filters(weight=weight, transformed=transformed)
        self._main(x=x, transformed=transformed, weight=weight, bias=bias, y=y)


def suits_winograd(k: dict[str, Any]) -> bool:
    """Whether a convolution, as arguments of `correlate`, has 3x3 filters with stride 1 and is faster this way."""
    steps = [abs(k[name]) for name in ("SH", "SW", "DH", "DW")]
    return (k["KH"], k["KW"], *steps) == (3, 3, 1, 1, 1, 1) and pays(k["C"], k["O"], k["OH"], k["OW"])


def pays(C: int, O: int, OH: int, OW: int) -> bool:
    """Whether such a convolution, or its filters' gradient, is faster by Winograd's algorithm.

    With fewer channels or filters, the transforms take as long as the products: from 8 to 16 channels of 14x14, both
    algorithms take the same time. Tiles overlap at the end of an image, so small images waste work: for 5x5 outputs,
    the tiles compute 64.
    """
    computed = tiles_along(OH) * tiles_along(OW) * SIDE * SIDE
    return min(C, O) >= _CHANNELS and min(OH, OW) >= SIDE and computed <= _WASTE * OH * OW


def winograd_plan(k: dict[str, Any]) -> WinogradPlan:
    """The plan of a convolution by Winograd's algorithm."""
    k = ascending(k)
    NB, G, C, O = (k[name] for name in ("NB", "G", "C", "O"))
    down, across, panels = tiles_along(k["OH"]), tiles_along(k["OW"]), -(-O // ROWS)
    tasks = NB * G * down * across
    shares = min(panels, -(-TASKS // tasks))
    seen_apart = C | 1  # odd, as data a multiple of 4 KB apart share a few lines of the first-level cache
    sizes = {
        "rows": (0,) * ROWS, "side": (0,) * SEEN, "down": down, "across": across, "panels": panels, "shares": shares,
        "seen_apart": seen_apart,
    }  # fmt: skip
    vectors = T * (seen_apart + ROWS + 1 + 1) + 1
    main = Plan(_winograd, (NB, tasks // NB * shares), k | sizes, vectors * VECTOR_BYTES)
    names = "G", "C", "O", "w0", "wg", "wo", "wc", "wy", "wx"
    matrix = constant(np.array(FILTER_TRANSFORM).reshape(-1))
    filters = {name: k[name] for name in names} | {"rows": (0,) * ROWS, "panels": panels, "matrix": matrix}
    return WinogradPlan(Plan(_transform_filters, G * panels, filters), main, G * panels * ROWS * C * T)


def tiles_along(outputs: int) -> int:
    """Number of tiles that cover the outputs of a row or a column."""
    return -(-outputs // SIDE)


@kernel(writes="transformed")
def _transform_filters(first, last, a, scratch):
    """A task is a panel of filters of a group; the last panel overlaps its neighbour.

    ``transformed[g, t, panel, c, r]`` is element t of G w G', computed in float64.
    """
    weight, out, matrix, R = a.weight, a.transformed, a.matrix, len(a.rows)
    C, O, w0, wg, wo, wc, wy, wx, panels = a.C, a.O, a.w0, a.wg, a.wo, a.wc, a.wy, a.wx, a.panels
    for task in range(first, last):
        g, panel = divmod(task, panels)
        o = min(panel * R, O - R)
        for i in range(SEEN):
            for c in range(C):
                for r in range(R):
                    w_at = w0 + g * wg + (o + r) * wo + c * wc
                    left = middle = right = 0.0
                    for ky in range(3):
                        left += matrix[3 * i + ky] * weight[w_at + ky * wy]
                        middle += matrix[3 * i + ky] * weight[w_at + ky * wy + wx]
                        right += matrix[3 * i + ky] * weight[w_at + ky * wy + 2 * wx]
                    for j in range(SEEN):
                        total = matrix[3 * j] * left + matrix[3 * j + 1] * middle + matrix[3 * j + 2] * right
                        at = ((g * T + i * SEEN + j) * panels + panel) * C + c
                        out[at * R + r] = weight.dtype.type(total)


@flushing_kernel(writes="y")
def _winograd(first, last, a, scratch):
    """A task is a tile of outputs of a group of a block, for a share of the panels of filters.

    First all channels of the tile are transformed. Then for each panel, and each element of the tile, the products are
    summed over the channels, and the sums are transformed back. Outputs that are not finite are computed again
    directly.

    Meanwhile the pixels of the next tile and the memory of the outputs are prefetched. They are short pieces of rows,
    which the processor does not prefetch by itself. The prefetches are spread evenly, because many at once delay the
    loads of the products: a layer with 16 channels of 32x32 took a third longer.
    """
    x, transformed, bias, y, rows, side = a.x, a.transformed, a.bias, a.y, a.rows, a.side
    R, L, shares, panels = len(rows), lane_count(x), a.shares, a.panels
    C, O, H, W = a.C, a.O, a.H, a.W
    xc, yo, yh, yw, relu = a.xc, a.yo, a.yh, a.yw, a.relu
    seen_apart, sums_apart = a.seen_apart * L, (R + 1) * L
    seen = numbers_at(scratch, T * seen_apart, x)
    sums = numbers_at(scratch + seen.size * x.itemsize, T * sums_apart, x)
    piece = numbers_at(scratch + (seen.size + sums.size) * x.itemsize, T * L, x)  # pixels, or outputs
    exact = numbers_at(scratch + (seen.size + sums.size + piece.size) * x.itemsize, L, x)
    for task in range(first, last):
        share = task % shares
        n, g, oy, ox, first_row, first_column = _place(a, task // shares)
        iy, ix, x_at = oy + a.iy0, ox + a.ix0, n * a.xn + g * C * xc
        for c in range(C):
            tile = load_padded(side, x, x_at + c * xc, H, W, iy, ix, piece)
            tile_store(tile_winograd_input(tile), seen, c * L, SEEN * seen_apart, seen_apart, 0, 0)
        first_panel, last_panel = share * panels // shares, (share + 1) * panels // shares
        turns, channels = (last_panel - first_panel) * T, C if task + 1 < last else 0
        next_n, next_g, next_oy, next_ox, _, _ = _place(a, (task + 1) // shares)
        next_at = next_n * a.xn + next_g * C * xc + (next_oy + a.iy0) * a.xh + (next_ox + a.ix0) * a.xw
        for panel in range(first_panel, last_panel):
            o = min(panel * R, O - R)  # the last panel overlaps its neighbour and stores only its own filters
            y_at = a.y0 + n * a.yn + (g * O + o) * yo + oy * yh + ox * yw
            for t in range(T):
                if t < SIDE * R:
                    tile_prefetch_to_write((0,), side[:SIDE], y, y_at + t // SIDE * yo + t % SIDE * yh, 0, yw)
                turn = (panel - first_panel) * T + t
                fetch_part(side, x, next_at, xc, a.xh, a.xw, turn, turns, channels)
                total = tile_full(rows, (0,), x, 0)
                w_at = ((g * T + t) * panels + panel) * C * R
                for c in range(C):
                    total = tile_fma(total, transformed, w_at, 1, c * R, seen, t * seen_apart, 0, c * L)
                tile_store(total, sums, t * sums_apart, L, 0, 0, 0)
            for r in range(panel * R - o, R):
                tile = tile_load(side, side, sums, r * L, SEEN * sums_apart, sums_apart)
                out = tile_add_number(tile_winograd_output(tile), bias, g * O + o + r)
                if not tile_is_finite(out):
                    tile_spill(out, piece, 0)
                    for i in range(SIDE * SIDE):
                        tile_store(_defined(a, n, g, o + r, oy + i // SIDE, ox + i % SIDE), exact, 0, 0, 0, 0, 0)
                        for lane in range(L):
                            if not math.isfinite(piece[i * L + lane]):
                                piece[i * L + lane] = exact[lane]
                    out = tile_reload(side[:SIDE], side[:SIDE], piece, 0)
                if relu:
                    out = tile_relu(out)
                tile_store(out, y, y_at + r * yo, yh, yw, first_row, first_column)


@inlined
def _place(a, tile):
    """Block, group and first output of a tile, and how many of its rows and columns other tiles store."""
    rest, right = divmod(tile, a.across)
    rest, down = divmod(rest, a.down)
    n, g = divmod(rest, a.G)
    oy, ox = min(down * SIDE, a.OH - SIDE), min(right * SIDE, a.OW - SIDE)
    return n, g, oy, ox, down * SIDE - oy, right * SIDE - ox


@inlined
def fetch_part(side, x, at, xc, xh, xw, turn, turns, channels):
    """Prefetch part ``turn`` of ``turns`` of a square of pixels of several channels, row by row."""
    rows = len(side)
    for i in range(turn * channels * rows // turns, (turn + 1) * channels * rows // turns):
        tile_prefetch((0,), side, x, at + i // rows * xc + i % rows * xh, 0, xw)


@inlined
def _defined(a, n, g, o, oy, ox):
    """An output of all images of a block, computed directly."""
    x, weight = a.x, a.weight
    total = tile_splat((0,), (0,), a.bias, g * a.O + o, 0)
    for c in range(a.C):
        for ky in range(3):
            for kx in range(3):
                iy, ix = oy + a.iy0 + ky, ox + a.ix0 + kx
                if 0 <= iy < a.H and 0 <= ix < a.W:
                    w_at = a.w0 + g * a.wg + o * a.wo + c * a.wc + ky * a.wy + kx * a.wx
                    x_at = n * a.xn + (g * a.C + c) * a.xc + iy * a.xh + ix * a.xw
                    total = tile_fma(total, weight, w_at, 0, 0, x, x_at, 0, 0)
    return total
