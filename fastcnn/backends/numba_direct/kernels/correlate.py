"""Filters that slide over images: the convolution, its input's gradient, and matrix products.

y[n, g, o, oy, ox] = bias[g, o] + sum over c, ky, kx of weight[g, o, c, ky, kx] * x[n, g, c, iy, ix] with
iy = oy * SH + iy0 + ky * DH, where that lies inside the image, and ix likewise. With filters and channels exchanged and
taps in descending order (a negative DH), this is the input's gradient, with one call for each residue of the input
position modulo the stride.
"""

import functools
from math import gcd
from typing import Any, NamedTuple

import numpy as np

from fastcnn._geometry import Windows
from fastcnn.backends.numba_direct.kernels import tiles
from fastcnn.backends.numba_direct.kernels.depthwise import depthwise_plan, suits_depthwise
from fastcnn.backends.numba_direct.kernels.padding import copy_padded
from fastcnn.backends.numba_direct.kernels.plan import TASKS, Plan, block_strides
from fastcnn.backends.numba_direct.kernels.winograd import WinogradPlan, suits_winograd, winograd_plan
from fastcnn.backends.numba_direct.runtime.arguments import numbers_at
from fastcnn.backends.numba_direct.runtime.compile import flushing_kernel, inlined
from fastcnn.backends.numba_direct.runtime.processor import VECTOR_BYTES
from fastcnn.backends.numba_direct.simd import (
    lane_count,
    tile_fma,
    tile_load,
    tile_max_columns,
    tile_prefetch,
    tile_prefetch_to_write,
    tile_reload,
    tile_relu,
    tile_relu_winners,
    tile_spill,
    tile_splat,
    tile_store,
    tile_store_bytes,
)

_FAR = 1.25  # reading vectors from several blocks costs this many times as much as reading neighbouring pixels
_X_BYTES = 24 * 1024  # of `x` that a tile of pixels reads for a chunk of channels: half a first-level cache
_NEAR_BYTES = 256 * 1024  # of a block of x and y, which may still be in the second-level cache
_TAPS = 512  # in a list, at most, so that the list leaves room in the cache


@functools.lru_cache(1024)
def forward_plan(
    w: Windows, groups: int, weight_shape, blocks_shape, relu: bool = False, winograd: bool = False
) -> Plan | WinogradPlan:
    """The convolution, optionally with ReLU; with ``winograd``, by Winograd's algorithm where it is faster."""
    return _cheapest(_forward(w, groups, weight_shape, blocks_shape, relu), winograd)


def sums_channels_last(w: Windows, groups: int, weight_shape, blocks_shape) -> bool:
    """Whether a direct `forward_plan` sums in the order (ky, kx, c) instead of (c, ky, kx)."""
    return _cheaper(_forward(w, groups, weight_shape, blocks_shape, False)).kernel is _correlate_blocks


def _forward(w: Windows, groups: int, weight_shape, blocks_shape, relu: bool) -> dict[str, Any]:
    """The convolution, as arguments of the kernels."""
    (O, Cg, KH, KW), (NB, C, H, W, L) = weight_shape, blocks_shape
    Og = O // groups
    return (
        {"NB": NB, "G": groups, "C": Cg, "H": H, "W": W, "O": Og, "OH": w.OH, "OW": w.OW, "KH": KH, "KW": KW}
        | dict(zip(_X_STRIDES, block_strides(C, H, W, L), strict=True))
        | dict(zip(_W_STRIDES, (0, Og * Cg * KH * KW, Cg * KH * KW, KH * KW, KW, 1), strict=True))
        | dict(zip(_Y_STRIDES, (0, *block_strides(O, w.OH, w.OW, L)), strict=True))
        | {"SH": w.SH, "SW": w.SW, "iy0": -w.top, "ix0": -w.left, "DH": w.DH, "DW": w.DW, "relu": relu}
    )


# Strides, in elements. Of x and y: blocks, channels, rows and pixels. Of the filters: groups, outputs, inputs, and taps
# along a column and along a row. And w0 and y0, the offsets at which the filters and y begin.
_X_STRIDES = "xn", "xc", "xh", "xw"
_W_STRIDES = "w0", "wg", "wo", "wc", "wy", "wx"
_Y_STRIDES = "y0", "yn", "yo", "yh", "yw"


@functools.lru_cache(1024)
def input_gradient_plans(
    w: Windows, groups: int, weight_shape, blocks_shape, winograd: bool = False
) -> list[Plan | WinogradPlan]:
    """One plan for each residue of the input's row and column modulo the stride.

    Tap ``ky`` of output row ``oy = (iy + top - ky * DH) / SH`` reads the input row ``iy``, if ``oy`` is an integer. For
    the rows ``iy = start + j * SH`` these are every ``SH / gcd``-th tap from a first one on, and the t-th of them
    belongs to output row ``oy = j + offset + t * offset_step``.
    """
    (O, Cg, KH, KW), (NB, C, H, W, L) = weight_shape, blocks_shape
    Og = O // groups
    n, c, h, pixel = block_strides(C, H, W, L)
    plans: list[Plan | WinogradPlan] = []
    for row in _residues(H, w.SH, w.DH, KH, w.top):
        for column in _residues(W, w.SW, w.DW, KW, w.left):
            w_start = row.first_tap * KW + column.first_tap
            w_strides = w_start, Og * Cg * KH * KW, KH * KW, Cg * KH * KW, row.tap_step * KW, column.tap_step
            dx_strides = row.start * h + column.start * pixel, n, c, h * w.SH, pixel * w.SW
            plan = _cheapest(
                {"NB": NB, "G": groups, "C": Og, "H": w.OH, "W": w.OW, "O": Cg}
                | {"OH": row.positions, "OW": column.positions, "KH": row.taps, "KW": column.taps}
                | dict(zip(_X_STRIDES, block_strides(O, w.OH, w.OW, L), strict=True))
                | dict(zip(_W_STRIDES, w_strides, strict=True))
                | dict(zip(_Y_STRIDES, dx_strides, strict=True))
                | {"SH": 1, "SW": 1, "iy0": row.offset, "ix0": column.offset}
                | {"DH": row.offset_step, "DW": column.offset_step, "relu": False},
                winograd,
            )
            plans.append(plan)
    return plans


class _Residue(NamedTuple):
    """The input positions ``start, start + stride, ...`` of one axis and the taps that read them."""

    start: int
    positions: int
    first_tap: int
    tap_step: int
    taps: int
    offset: int
    offset_step: int


def _residues(extent: int, stride: int, dilation: int, taps: int, before: int) -> list[_Residue]:
    common = gcd(stride, dilation)
    residues = []
    for start in range(min(stride, extent)):
        positions = -(-(extent - start) // stride)
        reading = [k for k in range(taps) if (start + before - k * dilation) % stride == 0]
        first = reading[0] if reading else 0
        offset = (start + before - first * dilation) // stride
        residues.append(_Residue(start, positions, first, stride // common, len(reading), offset, -dilation // common))
    return residues


@functools.lru_cache(1024)
def matrix_plan(NB: int, C: int, O: int, L: int, weight_strides: tuple[int, int], relu: bool = False) -> Plan:
    """From C to O features, as a 1x1 convolution of one pixel; ``weight_strides`` are those of outputs and inputs."""
    return _cheaper(
        {"NB": NB, "G": 1, "C": C, "H": 1, "W": 1, "O": O, "OH": 1, "OW": 1, "KH": 1, "KW": 1}
        | dict(zip(_X_STRIDES, (C * L, L, 0, 0), strict=True))
        | dict(zip(_W_STRIDES, (0, 0, *weight_strides, 0, 0), strict=True))
        | dict(zip(_Y_STRIDES, (0, O * L, L, 0, 0), strict=True))
        | {"SH": 1, "SW": 1, "iy0": 0, "ix0": 0, "DH": 1, "DW": 1, "relu": relu}
    )


@functools.lru_cache(1024)
def pooled_plan(
    w: Windows, groups: int, weight_shape, blocks_shape, pool: tuple[int, int], relu: bool, winograd: bool = False
) -> Plan | None:
    """The forward pass with a max-pooling of windows of (PH, PW) outputs.

    It is None if no tile holds whole windows, or if it would sum in another order than `forward_plan`.
    """
    (O, Cg, KH, KW), (NB, _, H, W, L), (PH, PW) = weight_shape, blocks_shape, pool
    tile = tiles.choose_windows(O // groups, w.OW // PW, PH * PW)
    plan = forward_plan(w, groups, weight_shape, blocks_shape, relu, winograd)
    if tile is None or isinstance(plan, WinogradPlan) or plan.kernel is _correlate_blocks:
        return None
    k = _forward(w, groups, weight_shape, blocks_shape, relu)
    rows, outputs = tile
    P, filter_tiles = len(outputs), -(-k["O"] // len(rows))
    chunk = _chunk(Cg, ((PH - 1) * w.SH + KH) * ((P * PW - 1) * w.SW + KW), KH * KW)
    last_row, last_column = (w.OH - 1) * w.SH + (KH - 1) * w.DH, (w.OW - 1) * w.SW + (KW - 1) * w.DW
    border = max(w.top, w.left, last_row - w.top - H + 1, last_column - w.left - W + 1) > 0
    height, width = (PH - 1) * w.SH + (KH - 1) * w.DH + 1, last_column + 1  # of the pixels that a row of outputs reads
    seen = k | ({"xc": height * width * L, "xh": width * L, "xw": L} if border else {})  # strides seen by taps
    ky, kx, px = np.meshgrid(np.arange(PH), np.arange(PW), np.arange(P), indexing="ij")
    pixels = (ky * w.SH * seen["xh"] + (px * PW + kx) * w.SW * seen["xw"]).reshape(-1)
    x_taps, w_taps = _tap_list(seen, chunk, range(KH), range(KW))
    shares = min(filter_tiles, -(-TASKS // (NB * groups * (w.OH // PH)))) if border else filter_tiles
    given = k | {"PH": PH, "PW": PW, "rows": rows, "columns": (0,) * len(pixels), "outputs": outputs, "chunk": chunk}
    given |= {"x_taps": x_taps, "w_taps": w_taps, "pixels": pixels, "shares": shares}
    given |= {"border": (0,) * border, "height": height, "width": width}
    sums = -(-filter_tiles // shares) * -(-(w.OW // PW) // P) * len(rows) * len(pixels) if chunk < Cg else 0
    copied = chunk * height * width if border else 0
    tasks = NB, groups * shares * (w.OH // PH)
    return Plan(_correlate_pool, tasks, given, (sums + copied) * VECTOR_BYTES)


def _cheapest(k: dict[str, Any], winograd: bool) -> Plan | WinogradPlan:
    if suits_depthwise(k):
        return depthwise_plan(k)
    return winograd_plan(k) if winograd and suits_winograd(k) else _cheaper(k)


def _cheaper(k: dict[str, Any]) -> Plan:
    """The cheaper of the two direct kernels: tiles of neighbouring pixels, or of the same pixel of several blocks.

    Neighbouring pixels share data in the first-level cache, and blocks of images can go on to the next step one by one.
    But at the left and right border, where taps are outside the image, pixels are computed one by one. The kernels sum
    in different orders, so that the choice must be the same on every processor.
    """
    NB, G, O, OH, OW, W, KW = (k[name] for name in ("NB", "G", "O", "OH", "OW", "W", "KW"))
    taps = [tuple(kx for kx in range(KW) if 0 <= ox * k["SW"] + k["ix0"] + kx * k["DW"] < W) for ox in range(OW)]
    inner = [ox for ox in range(OW) if len(taps[ox]) == KW]
    edges = [ox for ox in range(OW) if len(taps[ox]) < KW]
    by_pixels = tiles.choose(O, max(1, len(inner)), vectors=tiles.ORDER)
    by_blocks = tiles.choose(O, NB, slack=1.2, vectors=tiles.ORDER)
    edge_cost = sum(len(taps[ox]) for ox in edges) * tiles.cycles((by_pixels[0], (0,)), O, 1)
    pixels_cost = NB * (tiles.cycles(by_pixels, O, len(inner)) * KW + edge_cost)
    blocks_cost = tiles.cycles(by_blocks, O, NB) * sum(map(len, taps)) * _FAR
    if blocks_cost < pixels_cost:
        rows, columns = tiles.choose(O, NB, slack=1.2)
        tasks = -(-NB // len(columns)) * G * -(-O // len(rows)) * OH
        return Plan(_correlate_blocks, tasks, k | {"rows": rows, "columns": columns})
    rows, columns = tiles.choose(O, max(1, len(inner)))
    shares = min(-(-O // len(rows)), -(-TASKS // (NB * G * OH)))
    lists = _tap_lists(k, [tuple(range(KW)), *(taps[ox] for ox in edges)], len(columns))
    given = k | {"rows": rows, "columns": columns, "shares": shares, "border": (0,) * (len(edges) > 0)}
    block_bytes = G * (k["C"] * k["H"] * W + O * OH * OW) * VECTOR_BYTES
    given |= {"fetch": (0,) * (block_bytes > _NEAR_BYTES)}
    given |= {"left": inner[0] if inner else 0, "inner": len(inner), "edges": np.array(edges, np.int64)}
    return Plan(_correlate_pixels, (NB, G * shares * OH), given | lists)


def _tap_lists(k: dict[str, Any], kxs: list[tuple[int, ...]], columns: int) -> dict[str, Any]:
    """The number of channels of a chunk, the taps of all lists (see `_tap_list`), and spans of these lists.

    There is a span for each row of outputs and each of the ``kxs``: where the list of its taps inside the image begins,
    and how many taps it has per channel. Since channels come first, a list also serves a chunk of fewer channels. For
    LeNet-5's C3, which has neither border nor chunks, one loop over a list takes as long as three nested loops.
    """
    KH, KW = k["KH"], k["KW"]
    chunk = _chunk(k["C"], KH * min(columns * KW, (columns - 1) * k["SW"] + (KW - 1) * abs(k["DW"]) + 1), KH * KW)
    begins, lists, size, spans = {}, [np.empty((2, 0), np.int64)], 0, []
    for oy in range(k["OH"]):
        kys = tuple(ky for ky in range(KH) if 0 <= oy * k["SH"] + k["iy0"] + ky * k["DH"] < k["H"])
        for inside in ((kys, kx) for kx in kxs):
            if inside not in begins:
                begins[inside] = size
                lists.append(_tap_list(k, chunk, *inside))
                size += lists[-1].shape[1]
            spans.append((begins[inside], len(inside[0]) * len(inside[1])))
    x_taps, w_taps = np.ascontiguousarray(np.concatenate(lists, axis=1))
    return {"chunk": chunk, "x_taps": x_taps, "w_taps": w_taps, "spans": np.array(spans), "lists": len(kxs)}


def _tap_list(k: dict[str, Any], channels: int, kys, kxs) -> np.ndarray:
    """Offsets of the taps in x and in the filters, in the order (c, ky, kx)."""
    c, ky, kx = np.meshgrid(np.arange(channels), np.array(kys, np.int64), np.array(kxs, np.int64), indexing="ij")
    x_taps = c * k["xc"] + ky * k["DH"] * k["xh"] + kx * k["DW"] * k["xw"]
    return np.stack([x_taps, c * k["wc"] + ky * k["wy"] + kx * k["wx"]]).reshape(2, -1)


def _chunk(C: int, pixels: int, taps: int) -> int:
    """Number of channels of a chunk, for a tile that reads ``pixels`` pixels and has ``taps`` taps per channel."""
    most = max(1, min(_X_BYTES // max(1, pixels * VECTOR_BYTES), _TAPS // max(1, taps)))
    return -(-C // -(-C // most))  # chunks of about the same size


@inlined
def _taps_inside(taps, first, dilation, extent):
    """Range of the taps at ``first + tap * dilation`` that lie in 0 ... extent - 1; `dilation` may be negative."""
    start, stop = 0, taps
    while start < stop and not 0 <= first + start * dilation < extent:
        start += 1
    while start < stop and not 0 <= first + (stop - 1) * dilation < extent:
        stop -= 1
    return start, stop


@flushing_kernel(writes="y")
def _correlate_pixels(first, last, a, scratch):
    """A task is one output row of a share of the filters of a group: tiles of several filters by neighbouring pixels.

    It sums over one chunk of the channels after another, so that the pixels that a tile reads stay in the first-level
    cache for all filters. The last tiles overlap their neighbours and store only their own rows and columns. The
    ``inner`` pixels from ``left`` on have all taps of a row inside the image. The pixels in ``edges`` do not, and are
    computed one by one.
    """
    rows, columns, one, R, COLUMNS = a.rows, a.columns, (0,), len(a.rows), len(a.columns)
    G, C, O, OH, chunk, shares, filter_tiles = a.G, a.C, a.O, a.OH, a.chunk, a.shares, (a.O + len(a.rows) - 1) // R
    left, inner, lists, spans, edges = a.left, a.inner, a.lists, a.spans, a.edges
    for task in range(first, last):
        rest, oy = divmod(task, OH)
        rest, share = divmod(rest, shares)
        n, g = divmod(rest, G)
        first_filters, last_filters = share * filter_tiles // shares, (share + 1) * filter_tiles // shares
        for c in range(0, C, chunk):
            channels, at = min(chunk, C - c), 2 * oy * lists
            for column_tile in range((inner + COLUMNS - 1) // COLUMNS):
                ox = min(column_tile * COLUMNS, inner - COLUMNS)
                first_column = column_tile * COLUMNS - ox
                for filter_tile in range(first_filters, last_filters):
                    o = min(filter_tile * R, O - R)
                    _pixels(a, rows, columns, a.fetch, n, g, c, o, oy, left + ox, spans[at], channels * spans[at + 1],
                            filter_tile * R - o, first_column, COLUMNS + filter_tile - first_filters)  # fmt: skip
            if len(a.border) > 0:
                for edge in range(edges.size):
                    at += 2
                    for filter_tile in range(first_filters, last_filters):
                        o = min(filter_tile * R, O - R)
                        _pixels(a, rows, one, (), n, g, c, o, oy, edges[edge], spans[at], channels * spans[at + 1],
                                filter_tile * R - o, 0, 0)  # fmt: skip


@inlined
def _pixels(a, rows, columns, fetch, n, g, c, o, oy, ox, start, taps, first_row, first_column, ahead):
    """Add the channels from ``c`` on, by a list of taps, to a tile of filters from ``o`` by pixels from ``ox``.

    With ``fetch``, the tile's memory in y, and pixels that are ``ahead`` of it, are prefetched meanwhile, one pixel at
    each tap. If prefetched all at once, they would delay the loads of the taps: 64 to 64 channels of 56x56 would take
    7.3 ms instead of 4.8.
    """
    x, weight, y, x_taps, w_taps, wo, step, C = a.x, a.weight, a.y, a.x_taps, a.w_taps, a.wo, a.SW * a.xw, a.C
    w_at = a.w0 + g * a.wg + o * wo + c * a.wc
    x_at = n * a.xn + (g * C + c) * a.xc + (oy * a.SH + a.iy0) * a.xh + (ox * a.SW + a.ix0) * a.xw
    y_at = a.y0 + n * a.yn + (g * a.O + o) * a.yo + oy * a.yh + ox * a.yw
    if c == 0:
        tile = tile_splat(rows, columns, a.bias, g * a.O + o, 1)
    else:
        tile = tile_load(rows, columns, y, y_at, a.yo, a.yw)
    if len(fetch) == 0:
        for q in range(start, start + taps):
            tile = tile_fma(tile, weight, w_at, wo, w_taps[q], x, x_at, step, x_taps[q])
    else:
        R, next_at = len(rows), x_at + ahead * step
        for r in range(R):
            tile_prefetch_to_write((0,), columns, y, y_at + r * a.yo, 0, a.yw)
            for q in range(start + r * taps // R, start + (r + 1) * taps // R):
                tile = tile_fma(tile, weight, w_at, wo, w_taps[q], x, x_at, step, x_taps[q])
                tile_prefetch((0,), (0,), x, next_at + x_taps[q], 0, 0)
    if a.relu and c + a.chunk >= C:
        tile = tile_relu(tile)
    tile_store(tile, y, y_at, a.yo, a.yw, first_row, first_column)


@flushing_kernel(writes="y")
def _correlate_blocks(first, last, a, scratch):
    """A task is one output row of a tile of filters of a group and of a tile of blocks, at the same pixel of each."""
    x, weight, bias, y = a.x, a.weight, a.bias, a.y
    rows, columns, R, COLUMNS = a.rows, a.columns, len(a.rows), len(a.columns)
    NB, G, C, H, W, O, OH, OW, KH, KW = a.NB, a.G, a.C, a.H, a.W, a.O, a.OH, a.OW, a.KH, a.KW
    xn, xc, xh, xw = a.xn, a.xc, a.xh, a.xw
    w0, wg, wo, wc, wy, wx = a.w0, a.wg, a.wo, a.wc, a.wy, a.wx
    y0, yn, yo, yh, yw = a.y0, a.yn, a.yo, a.yh, a.yw
    SH, SW, iy0, ix0, DH, DW, relu = a.SH, a.SW, a.iy0, a.ix0, a.DH, a.DW, a.relu
    filter_tiles = (O + R - 1) // R
    for task in range(first, last):
        rest, oy = divmod(task, OH)
        rest, filter_tile = divmod(rest, filter_tiles)
        block_tile, g = divmod(rest, G)
        o, n = min(filter_tile * R, O - R), min(block_tile * COLUMNS, NB - COLUMNS)
        first_ky, last_ky = _taps_inside(KH, oy * SH + iy0, DH, H)
        iy = oy * SH + iy0 + first_ky * DH
        for ox in range(OW):
            first_kx, last_kx = _taps_inside(KW, ox * SW + ix0, DW, W)
            x_at = n * xn + g * C * xc + iy * xh + (ox * SW + ix0 + first_kx * DW) * xw
            w_at = w0 + g * wg + o * wo + first_ky * wy + first_kx * wx
            tile = tile_splat(rows, columns, bias, g * O + o, 1)
            for ky in range(last_ky - first_ky):
                for kx in range(last_kx - first_kx):
                    w_tap, x_tap = ky * wy + kx * wx, ky * DH * xh + kx * DW * xw
                    for c in range(C):  # innermost, as it is the longest loop
                        tile = tile_fma(tile, weight, w_at, wo, w_tap + c * wc, x, x_at, xn, x_tap + c * xc)
            if relu:
                tile = tile_relu(tile)
            y_at = y0 + n * yn + (g * O + o) * yo + oy * yh + ox * yw
            tile_store(tile, y, y_at, yo, yn, filter_tile * R - o, block_tile * COLUMNS - n)


@flushing_kernel(writes="y winners")
def _correlate_pool(first, last, a, scratch):
    """A task is one pooled row of a share of the tiles of filters: tiles of filters by neighbouring windows.

    With a ``border``, they read a copy of the pixels that the row reads, with zeros outside the image. Column
    (ky, kx, px) of a tile is pixel (ky, kx) of window px, and ``outputs`` is as long as a tile has windows. The maximum
    of each window is found in the registers. ``winners`` has the number of its pixel, ky * PW + kx, or -1 for none.
    """
    x, weight, bias, y, winners = a.x, a.weight, a.bias, a.y, a.winners
    rows, columns, outputs, R, P = a.rows, a.columns, a.outputs, len(a.rows), len(a.outputs)
    G, C, O, OH, OW, taps = a.G, a.C, a.O, a.OH // a.PH, a.OW // a.PW, a.KH * a.KW
    w0, wg, wo, wc = a.w0, a.wg, a.wo, a.wc
    PW, SW, relu, chunk, shares = a.PW, a.SW, a.relu, a.chunk, a.shares
    x_taps, w_taps, pixels = a.x_taps, a.w_taps, a.pixels
    L = lane_count(x)
    plane, filter_tiles, output_tiles = OH * OW * L, (O + R - 1) // R, (OW + P - 1) // P
    most, size = (filter_tiles + shares - 1) // shares, R * len(columns) * L
    sums = numbers_at(scratch, output_tiles * most * size if chunk < C else 0, x)
    image_at = scratch + sums.size * x.itemsize
    for task in range(first, last):
        rest, oy = divmod(task, OH)
        rest, share = divmod(rest, shares)
        n, g = divmod(rest, G)
        first_filters, last_filters = share * filter_tiles // shares, (share + 1) * filter_tiles // shares
        iy = oy * a.PH * a.SH + a.iy0
        for c in range(0, C, chunk):
            channels, channel_at = min(chunk, C - c), n * a.xn + (g * C + c) * a.xc
            image, image_start, xw = x, channel_at + iy * a.xh + a.ix0 * a.xw, a.xw
            if len(a.border) > 0:
                image, image_start, xw = numbers_at(image_at, channels * a.height * a.width * L, x), 0, L
                copy_padded(
                    x, channel_at, channels, a.H, a.W, iy, a.height, a.ix0, a.width, image, a.height * a.width * L,
                    a.width * L,
                )  # fmt: skip
            for output_tile in range(output_tiles):
                ox = min(output_tile * P, OW - P)
                x_at = image_start + ox * PW * SW * xw
                for filter_tile in range(first_filters, last_filters):
                    o = min(filter_tile * R, O - R)
                    w_at = w0 + g * wg + o * wo + c * wc
                    sums_at = (output_tile * most + filter_tile - first_filters) * size
                    if c == 0:
                        tile = tile_splat(rows, columns, bias, g * O + o, 1)
                    else:
                        tile = tile_reload(rows, columns, sums, sums_at)
                    for q in range(channels * taps):
                        tile = tile_fma(tile, weight, w_at, wo, w_taps[q], image, x_at, pixels, x_taps[q])
                    if c + chunk < C:
                        tile_spill(tile, sums, sums_at)
                    else:
                        best, which = tile_max_columns(outputs, tile)
                        if relu:
                            best, which = tile_relu_winners(best, which)
                        at = ((n * G + g) * O + o) * plane + (oy * OW + ox) * L
                        first_row, first_column = filter_tile * R - o, output_tile * P - ox
                        tile_store(best, y, at, plane, L, first_row, first_column)
                        tile_store_bytes(which, winners, at, plane, L, first_row, first_column)
