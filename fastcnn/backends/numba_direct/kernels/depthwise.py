"""Filters of one channel that slide over images: the depthwise convolution and its input's gradient.

With one channel, loads dominate the cost of a tile. So where all taps are inside the image, the loops over them have
constant bounds. The compiler then keeps the filter in registers and loads each pixel once for all of its taps.
"""

from typing import Any

import numpy as np

from fastcnn.backends.numba_direct.kernels.plan import Plan, ascending
from fastcnn.backends.numba_direct.runtime.compile import flushing_kernel, inlined
from fastcnn.backends.numba_direct.runtime.processor import VECTORS
from fastcnn.backends.numba_direct.simd import lane_count, tile_fma, tile_relu, tile_splat, tile_store

_TAPS = 9  # at most; more do not fit into the registers beside a tile
_WIDE = VECTORS // 4  # pixels of a tile


def suits_depthwise(k: dict[str, Any]) -> bool:
    """Whether a convolution, as arguments of `correlate`, has filters of one channel with few taps side by side."""
    return k["G"] > 1 and k["C"] == 1 and 0 < k["KH"] * k["KW"] <= _TAPS and abs(k["DH"]) == abs(k["DW"]) == 1


def depthwise_plan(k: dict[str, Any]) -> Plan:
    """The plan of a depthwise convolution."""
    k = ascending(k)
    row_taps, top, bottom = _inside(k["OH"], k["SH"], k["iy0"], k["KH"], k["H"])
    column_taps, left, right = _inside(k["OW"], k["SW"], k["ix0"], k["KW"], k["W"])
    given = k | {
        "row_taps": row_taps, "top": top, "bottom": bottom, "column_taps": column_taps, "left": left, "right": right,
        "columns": (0,) * next(wide for wide in (_WIDE, _WIDE // 2, 1) if wide <= max(1, right - left)),
        "kernel_rows": (0,) * k["KH"], "kernel_columns": (0,) * k["KW"], "stride": (0,) * k["SW"],
    }  # fmt: skip
    return Plan(_depthwise, (k["NB"], k["G"]), given)


def _inside(outputs: int, stride: int, start: int, taps: int, extent: int) -> tuple[np.ndarray, int, int]:
    """For each output along an axis, the first tap inside the image and the one after the last.

    Also the first output with all taps inside, and the one after the last such output; 0 and 0 if there is none.
    """
    first = np.arange(outputs) * stride + start
    spans = np.stack((np.clip(-first, 0, taps), np.clip(extent - first, 0, taps)), -1)
    whole = np.flatnonzero((spans == (0, taps)).all(-1))
    return (spans, int(whole[0]), int(whole[-1]) + 1) if len(whole) else (spans, 0, 0)


@flushing_kernel(writes="y")
def _depthwise(first, last, a, scratch):
    """A task is a group of a block. At the border, tiles have fewer taps, and some pixels are computed one by one."""
    columns, one, row_taps, column_taps, yh, yw = a.columns, (0,), a.row_taps, a.column_taps, a.yh, a.yw
    COLUMNS, KH, KW, L, G, O, OW = (
        len(a.columns), len(a.kernel_rows), len(a.kernel_columns), lane_count(a.x), a.G, a.O, a.OW,
    )  # fmt: skip
    left, right, top, bottom = a.left, a.right, a.top, a.bottom
    down, across, edges = a.SH * a.xh, len(a.stride) * L, left + OW - right
    for task in range(first, last):
        n, g = divmod(task, G)
        x_at = n * a.xn + g * a.xc + a.iy0 * a.xh + a.ix0 * L
        for o in range(O):
            filter_at, y_at = g * O + o, a.y0 + n * a.yn + (g * O + o) * a.yo
            for oy in range(a.OH):
                ky0, ky1 = row_taps[2 * oy], row_taps[2 * oy + 1]
                for column_tile in range((right - left + COLUMNS - 1) // COLUMNS):
                    ox = left + min(column_tile * COLUMNS, right - left - COLUMNS)
                    at, to = x_at + oy * down + ox * across, y_at + oy * yh + ox * yw
                    if ky0 == 0 and ky1 == KH:
                        _pixels(a, columns, filter_at, 0, KH, 0, KW, at, across, to, yw)
                    else:
                        _pixels(a, columns, filter_at, ky0, ky1, 0, KW, at, across, to, yw)
            for edge in range(edges):
                ox = edge if edge < left else edge - left + right
                kx0, kx1 = column_taps[2 * ox], column_taps[2 * ox + 1]
                whole = 0
                if bottom - top >= COLUMNS:
                    whole = bottom - top
                    for row_tile in range((whole + COLUMNS - 1) // COLUMNS):
                        oy = top + min(row_tile * COLUMNS, whole - COLUMNS)
                        at, to = x_at + oy * down + ox * across, y_at + oy * yh + ox * yw
                        _pixels(a, columns, filter_at, 0, KH, kx0, kx1, at, down, to, yh)
                for row in range(a.OH - whole):
                    oy = row + whole if row >= top else row
                    at, to = x_at + oy * down + ox * across, y_at + oy * yh + ox * yw
                    _pixels(a, one, filter_at, row_taps[2 * oy], row_taps[2 * oy + 1], kx0, kx1, at, 0, to, 0)


@inlined
def _pixels(a, columns, filter_at, ky0, ky1, kx0, kx1, x_at, step, y_at, y_step):
    """Some outputs of a filter, from its taps ky0 ... ky1 - 1 and kx0 ... kx1 - 1."""
    x, weight, xh, wy, wx, L = a.x, a.weight, a.xh, a.wy, a.wx, lane_count(a.x)
    w_at = a.w0 + filter_at // a.O * a.wg + filter_at % a.O * a.wo
    tile = tile_splat((0,), columns, a.bias, filter_at, 0)
    for ky in range(ky0, ky1):
        for kx in range(kx0, kx1):
            tile = tile_fma(tile, weight, w_at, 0, ky * wy + kx * wx, x, x_at, step, ky * xh + kx * L)
    if a.relu:
        tile = tile_relu(tile)
    tile_store(tile, a.y, y_at, 0, y_step, 0, 0)
