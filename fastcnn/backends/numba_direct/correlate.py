"""Sliding filters over images: the convolution, its input's gradient, and matrix products.

y[n, g, o, oy, ox] = bias[g, o] + sum over c, ky, kx of weight[g, o, c, ky, kx] * x[n, g, c, iy, ix] with
iy = oy * SH + top + ky * DH, where that lies inside the image, and ix alike. With the roles of filters and channels
exchanged and the taps running backwards (a negative DH) it is the input's gradient, one call for each residue of the
input position modulo the stride.
"""

import functools
from math import gcd
from typing import NamedTuple

import numba
import numpy as np

from fastcnn._geometry import Windows
from fastcnn.backends.numba_direct import tiles
from fastcnn.backends.numba_direct._jit import VECTOR_BYTES, kernel, parallel_kernel, scratch, taps_inside
from fastcnn.backends.numba_direct.denormals import flush_denormals, restore_denormals
from fastcnn.backends.numba_direct.plan import TASKS, Plan, block_strides
from fastcnn.backends.numba_direct.simd import (
    entry,
    lane_count,
    tile_fma,
    tile_fma_inside,
    tile_load,
    tile_max_columns,
    tile_read,
    tile_relu,
    tile_relu_winners,
    tile_save,
    tile_splat,
    tile_store,
    tile_store_bytes,
)

_FAR = 1.25  # reading vectors from several blocks costs about so much more a step than reading neighbouring pixels
_X_BYTES = 24 * 1024  # of `x` that a tile of pixels reads for a chunk of channels: half a first-level cache
_TAPS = 512  # in a list: what is looked up should leave room there


@functools.lru_cache(1024)
def forward_plan(w: Windows, groups: int, weight_shape, blocks_shape, relu: bool = False) -> Plan:
    """The convolution, with ReLU if asked."""
    (O, Cg, KH, KW), (NB, C, H, W, L) = weight_shape, blocks_shape
    Og = O // groups
    sizes = NB, groups, Cg, H, W, Og, w.OH, w.OW, KH, KW
    x_strides, y_strides = block_strides(C, H, W, L), (0, *block_strides(O, w.OH, w.OW, L))
    w_strides = 0, Og * Cg * KH * KW, Cg * KH * KW, KH * KW, KW, 1
    steps = w.SH, w.SW, -w.top, -w.left, w.DH, w.DW
    return _correlate_plan(sizes, x_strides, w_strides, y_strides, steps, relu)


def sums_channels_last(w: Windows, groups: int, weight_shape, blocks_shape) -> bool:
    """Whether `forward_plan` sums in the order (ky, kx, c), and not (c, ky, kx)."""
    return forward_plan(w, groups, weight_shape, blocks_shape).kernel is _correlate_blocks


@functools.lru_cache(1024)
def input_gradient_plans(w: Windows, groups: int, weight_shape, blocks_shape) -> list[Plan]:
    """One plan for each residue of the input's row and column modulo the stride.

    An input row ``iy`` is read by tap ``ky`` of output row ``oy = (iy + top - ky * DH) / SH`` if that is whole. For
    the rows ``iy = start + j * SH`` these are every ``SH / gcd``-th tap from a first one on, and the t-th of them is of
    output row ``oy = j + offset + t * offset_step``.
    """
    (O, Cg, KH, KW), (NB, C, H, W, L) = weight_shape, blocks_shape
    Og = O // groups
    plans = []
    for row in _residues(H, w.SH, w.DH, KH, w.top):
        for column in _residues(W, w.SW, w.DW, KW, w.left):
            sizes = NB, groups, Og, w.OH, w.OW, Cg, row.positions, column.positions, row.taps, column.taps
            dy_strides = block_strides(O, w.OH, w.OW, L)
            w_start = row.first_tap * KW + column.first_tap
            w_strides = w_start, Og * Cg * KH * KW, KH * KW, Cg * KH * KW, row.tap_step * KW, column.tap_step
            n, c, h, pixel = block_strides(C, H, W, L)
            dx_strides = row.start * h + column.start * pixel, n, c, h * w.SH, pixel * w.SW
            steps = 1, 1, row.offset, column.offset, row.offset_step, column.offset_step
            plans.append(_correlate_plan(sizes, dy_strides, w_strides, dx_strides, steps))
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
    """C features to O: a 1x1 convolution of one pixel; ``weight_strides`` are those of outputs and inputs."""
    sizes = NB, 1, C, 1, 1, O, 1, 1, 1, 1
    x_strides, y_strides = (C * L, L, 0, 0), (0, O * L, L, 0, 0)
    return _correlate_plan(sizes, x_strides, (0, 0, *weight_strides, 0, 0), y_strides, (1, 1, 0, 0, 1, 1), relu)


@functools.lru_cache(1024)
def pooled_plan(w: Windows, groups: int, weight_shape, blocks_shape, pool: tuple[int, int], relu: bool) -> Plan | None:
    """The forward pass with a max-pooling of every (PH, PW) outputs.

    None where a window reaches over the border, which would take another kernel, and where no tile holds whole windows
    of the pooling.
    """
    (O, Cg, KH, KW), (H, W), (PH, PW) = weight_shape, blocks_shape[2:4], pool
    tile = tiles.choose_windows(O // groups, w.OW // PW, PH * PW)
    last_row, last_column = (w.OH - 1) * w.SH + (KH - 1) * w.DH, (w.OW - 1) * w.SW + (KW - 1) * w.DW
    if tile is None or max(w.top, w.left, last_row - w.top - H + 1, last_column - w.left - W + 1) > 0:
        return None
    sizes, x_strides, w_strides, _, steps, *_ = forward_plan(w, groups, weight_shape, blocks_shape).numbers
    rows, outputs = tile
    columns = tuple(
        ky * w.SH * x_strides[2] + (px * PW + kx) * w.SW * x_strides[3]
        for ky in range(PH)
        for kx in range(PW)
        for px in range(len(outputs))
    )
    pixels = ((PH - 1) * w.SH + KH) * ((len(outputs) * PW - 1) * w.SW + KW)
    channels = _chunk(Cg, pixels, KH * KW)
    x_taps, w_taps, _ = _tap_list(channels, range(KH), KW, x_strides, w_strides, steps)
    numbers = sizes, x_strides, w_strides, steps, pool, relu, channels, x_taps, w_taps
    return Plan(_correlate_pool, (rows, columns, outputs), numbers)


def _correlate_plan(sizes, x_strides, w_strides, y_strides, steps, relu=False) -> Plan:
    """The cheaper of the two kernels: tiles of neighbouring pixels, or tiles of the same pixel of several blocks.

    Pixels share what the first-level cache holds; but next to the border they multiply zeros, where blocks take exactly
    the taps inside the image. The input gradient of LeNet's C3 runs at 220 GFLOP/s with pixels and at 404 with blocks.
    """
    NB, G, _, _, W, O, OH, OW, _, KW = sizes
    _, SW, _, left, _, DW = steps
    taps = [sum(0 <= ox * SW + left + kx * DW < W for kx in range(KW)) for ox in range(OW)]
    border = () if min(taps) == KW else (0,)
    whole = [n == KW for n in taps]
    sides = (whole.index(True), whole[::-1].index(True)) if any(whole) else (OW, 0)
    by_pixels, by_blocks = tiles.choose(O, OW, sides), tiles.choose(O, NB, slack=1.2)
    pixels_cost = tiles.cycles(by_pixels, O, OW, sides) * NB * KW
    blocks_cost = tiles.cycles(by_blocks, O, NB) * sum(taps) * _FAR
    if blocks_cost < pixels_cost:
        return Plan(_correlate_blocks, by_blocks, (sizes, x_strides, w_strides, y_strides, steps, relu))
    shares = min(-(-O // len(by_pixels[0])), -(-TASKS // (NB * G * OH)))
    lists = _tap_lists(sizes, x_strides, w_strides, steps, len(by_pixels[1]))
    return Plan(
        _correlate_pixels, (*by_pixels, border), (sizes, x_strides, w_strides, y_strides, steps, relu, shares, *lists)
    )


def _tap_lists(sizes, x_strides, w_strides, steps, columns: int):
    """The channels of a chunk; the taps of all lists (see `_tap_list`); then where an output row's list begins and how
    many taps of a channel it has.

    Rows at the border have lists of their own, without the taps outside the image. Since channels come first, a list
    serves a chunk of fewer channels too. For LeNet-5's C3, which has neither border nor chunks, one loop over a list
    takes as long as three nested ones.
    """
    _, _, C, H, _, _, OH, _, KH, KW = sizes
    SH, SW, top, _, DH, DW = steps
    pixels = KH * min(columns * KW, (columns - 1) * SW + (KW - 1) * abs(DW) + 1)
    channels = _chunk(C, pixels, KH * KW)
    begins, lists, first, count = {}, [np.empty((3, 0), np.int64)], [], []
    for oy in range(OH):
        inside = tuple(ky for ky in range(KH) if 0 <= oy * SH + top + ky * DH < H)
        if inside not in begins:
            begins[inside] = sum(taps.shape[1] for taps in lists)
            lists.append(_tap_list(channels, inside, KW, x_strides, w_strides, steps))
        first.append(begins[inside])
        count.append(len(inside) * KW)
    x_taps, w_taps, along = np.ascontiguousarray(np.concatenate(lists, axis=1))
    return channels, x_taps, w_taps, along, np.array(first), np.array(count)


def _tap_list(channels: int, kys, KW: int, x_strides, w_strides, steps) -> np.ndarray:
    """For the taps in the order (c, ky, kx) where they are in x, in the filters, and along the row."""
    *_, xc, xh, xw = x_strides
    *_, wc, wy, wx = w_strides
    *_, DH, DW = steps
    c, ky, kx = np.meshgrid(np.arange(channels), np.array(kys, np.int64), np.arange(KW), indexing="ij")
    places = c * xc + ky * DH * xh + kx * DW * xw, c * wc + ky * wy + kx * wx, kx * DW
    return np.stack(places).reshape(3, -1)


def _chunk(C: int, pixels: int, taps: int) -> int:
    """How many channels a tile goes over at once, that reads so many pixels and has so many taps of each."""
    most = max(1, min(_X_BYTES // max(1, pixels * VECTOR_BYTES), _TAPS // max(1, taps)))
    return -(-C // -(-C // most))  # all chunks about the same


@parallel_kernel
def _correlate_pixels(
    rows, columns, border, x, weight, bias, y, sizes, x_strides, w_strides, y_strides, steps, relu, shares,
    channels, x_taps, w_taps, along, first, count,
):  # fmt: skip
    """Parallel over (block, group, share of the filters, output row): a thread writes only that row of those filters.

    A tile is some filters by neighbouring pixels of the row.
    """
    R = len(rows)
    NB, G, C, H, W, O, OH, OW, KH, KW = sizes
    y0, yn, yo, yh, yw = y_strides
    filter_tiles = (O + R - 1) // R
    for task in numba.prange(NB * G * shares * OH):
        mode = flush_denormals()
        rest, oy = divmod(np.intp(task), OH)  # the index is unsigned: with signed numbers it would become a float
        rest, share = divmod(rest, shares)
        n, g = divmod(rest, G)
        _row(
            rows, columns, border, x, weight, bias, n, g, share * filter_tiles // shares,
            (share + 1) * filter_tiles // shares, oy, sizes, x_strides, w_strides, steps,
            relu, channels, x_taps, w_taps, along, first, count, y, y0 + n * yn + g * O * yo + oy * yh, yo, yw,
        )  # fmt: skip
        restore_denormals(mode)


@parallel_kernel
def _correlate_pool(
    rows, columns, outputs, x, weight, bias, y, winners, sizes, x_strides, w_strides, steps,
    pool, relu, channels, x_taps, w_taps,
):  # fmt: skip
    """Parallel over (block, group, filter tile, pooled row): a thread writes only that row of those filters.

    A tile is some filters by the windows of some neighbouring ``outputs`` of the pooling: its column (ky, kx, px) is
    pixel (ky, kx) of window px, ``columns`` from the first pixel in x. The greatest of each window is found in the
    registers, and that it is pixel ky * PW + kx is kept as ``winners``, -1 for nobody.
    """
    R, P = len(rows), len(outputs)
    L = lane_count(x)
    NB, G, C, H, W, O, OH, OW, KH, KW = sizes
    xn, xc, xh, xw = x_strides
    w0, wg, wo, wc, wy, wx = w_strides
    SH, SW, top, left, DH, DW = steps
    PH, PW = pool
    pooled_rows, pooled_columns = OH // PH, OW // PW
    filter_tiles, output_tiles, size = (O + R - 1) // R, (pooled_columns + P - 1) // P, R * len(columns) * L
    for task in numba.prange(NB * G * filter_tiles * pooled_rows):
        mode = flush_denormals()
        rest, py = divmod(np.intp(task), pooled_rows)
        rest, filter_tile = divmod(rest, filter_tiles)
        n, g = divmod(rest, G)
        o = min(filter_tile * R, O - R)
        sums = scratch(output_tiles * size if channels < C else 0, x)
        for c in range(0, C, channels):
            for output_tile in range(output_tiles):
                px = min(output_tile * P, pooled_columns - P)
                x_at = n * xn + (g * C + c) * xc + (py * PH * SH + top) * xh + (px * PW * SW + left) * xw
                w_at = w0 + g * wg + o * wo + c * wc
                if c == 0:
                    tile = tile_splat(rows, columns, bias, g * O + o, 1)
                else:
                    tile = tile_load(rows, columns, sums, output_tile * size)
                for q in range(min(channels, C - c) * KH * KW):
                    tile = tile_fma(tile, weight, w_at, wo, entry(w_taps, q), x, x_at, columns, entry(x_taps, q))
                if c + channels < C:
                    tile_save(tile, sums, output_tile * size)
                else:
                    best, pixels = tile_max_columns(outputs, tile)
                    if relu:
                        best, pixels = tile_relu_winners(best, pixels)
                    plane = pooled_rows * pooled_columns * L
                    at = ((n * G + g) * O + o) * plane + (py * pooled_columns + px) * L
                    first_row, first_column = filter_tile * R - o, output_tile * P - px
                    tile_store(best, y, at, plane, L, first_row, first_column)
                    tile_store_bytes(pixels, winners, at, plane, L, first_row, first_column)
        restore_denormals(mode)


@kernel
def _row(
    rows, columns, border, x, weight, bias, n, g, first_tile, last_tile, oy, sizes, x_strides, w_strides, steps,
    relu, channels, x_taps, w_taps, along, first, count, out, out_at, out_o, out_w,
):  # fmt: skip
    """One output row of some filter tiles, that of the filter o from ``out[out_at + o * out_o]`` on.

    It is summed up chunk by chunk of the channels, so that what a tile reads of x stays in the first-level cache for
    all filters. The last tiles overlap their neighbours and store only their own rows and columns.
    """
    R, COLUMNS = len(rows), len(columns)
    NB, G, C, H, W, O, OH, OW, KH, KW = sizes
    xn, xc, xh, xw = x_strides
    w0, wg, wo, wc, wy, wx = w_strides
    SH, SW, top, left, DH, DW = steps
    leftmost, rightmost = left + min(0, (KW - 1) * DW), left + (COLUMNS - 1) * SW + max(0, (KW - 1) * DW)
    for c in range(0, C, channels):
        taps = range(first[oy], first[oy] + min(channels, C - c) * count[oy])
        for column_tile in range((OW + COLUMNS - 1) // COLUMNS):
            ox = min(column_tile * COLUMNS, OW - COLUMNS)
            ix = ox * SW + left
            x_at = n * xn + (g * C + c) * xc + (oy * SH + top) * xh + ix * xw
            for filter_tile in range(first_tile, last_tile):
                o = min(filter_tile * R, O - R)
                w_at, at = w0 + g * wg + o * wo + c * wc, out_at + o * out_o + ox * out_w
                if c == 0:
                    tile = tile_splat(rows, columns, bias, g * O + o, 1)
                else:
                    tile = tile_read(rows, columns, out, at, out_o, out_w)
                if len(border) == 0 or (ox * SW + leftmost >= 0 and ox * SW + rightmost < W):
                    for q in taps:
                        tile = tile_fma(tile, weight, w_at, wo, entry(w_taps, q), x, x_at, SW * xw, entry(x_taps, q))
                else:
                    for q in taps:
                        tile = tile_fma_inside(
                            tile, weight, w_at, wo, entry(w_taps, q), x, x_at, SW * xw, entry(x_taps, q),
                            ix + entry(along, q), SW, W,
                        )  # fmt: skip
                if relu and c + channels >= C:
                    tile = tile_relu(tile)
                tile_store(tile, out, at, out_o, out_w, filter_tile * R - o, column_tile * COLUMNS - ox)


@parallel_kernel
def _correlate_blocks(rows, columns, x, weight, bias, y, sizes, x_strides, w_strides, y_strides, steps, relu):
    """Parallel over (tile of blocks, group, filter tile, output row): a thread writes only that row of those filters.

    A tile is some filters by the same pixel of several blocks.
    """
    R, COLUMNS = len(rows), len(columns)
    NB, G, C, H, W, O, OH, OW, KH, KW = sizes
    xn, xc, xh, xw = x_strides
    w0, wg, wo, wc, wy, wx = w_strides
    y0, yn, yo, yh, yw = y_strides
    SH, SW, top, left, DH, DW = steps
    filter_tiles, block_tiles = (O + R - 1) // R, (NB + COLUMNS - 1) // COLUMNS
    for task in numba.prange(block_tiles * G * filter_tiles * OH):
        mode = flush_denormals()
        rest, oy = divmod(np.intp(task), OH)
        rest, filter_tile = divmod(rest, filter_tiles)
        block_tile, g = divmod(rest, G)
        o, n = min(filter_tile * R, O - R), min(block_tile * COLUMNS, NB - COLUMNS)
        first_ky, last_ky = taps_inside(KH, oy * SH + top, DH, H)
        iy = oy * SH + top + first_ky * DH
        for ox in range(OW):
            first_kx, last_kx = taps_inside(KW, ox * SW + left, DW, W)
            x_at = n * xn + g * C * xc + iy * xh + (ox * SW + left + first_kx * DW) * xw
            w_at = w0 + g * wg + o * wo + first_ky * wy + first_kx * wx
            tile = tile_splat(rows, columns, bias, g * O + o, 1)
            for ky in range(last_ky - first_ky):
                for kx in range(last_kx - first_kx):
                    for c in range(C):  # the innermost: it is the longest
                        w_tap, x_tap = c * wc + ky * wy + kx * wx, c * xc + ky * DH * xh + kx * DW * xw
                        tile = tile_fma(tile, weight, w_at, wo, w_tap, x, x_at, xn, x_tap)
            if relu:
                tile = tile_relu(tile)
            y_at = y0 + n * yn + (g * O + o) * yo + oy * yh + ox * yw
            tile_store(tile, y, y_at, yo, yn, filter_tile * R - o, block_tile * COLUMNS - n)
        restore_denormals(mode)
