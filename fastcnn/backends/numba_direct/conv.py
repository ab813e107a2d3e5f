"""Direct convolution on register tiles, and both gradients; fully connected layers are a special case.

Two operations do everything. ``correlate`` slides filters over images: it is the forward pass, and with the roles of
filters and channels exchanged and the taps running backwards it is the input's gradient, one call for each residue of
the input position modulo the stride. ``outer`` multiplies two images tap by tap and sums over positions and images: it
is the filters' gradient, and with an image of ones that of the bias. A fully connected layer is a convolution of images
of one pixel.

The kernels take flat arrays and the strides of every axis, in elements, so that nothing is copied or rearranged:
reading the filters where they lie is as fast as packing them for the tiles.
"""

import functools
from collections.abc import Callable
from math import gcd
from typing import NamedTuple

import numba
import numpy as np

from fastcnn._geometry import Windows, index_type
from fastcnn.backends.numba_direct import tiles
from fastcnn.backends.numba_direct._jit import VECTOR_BYTES, flat, kernel, parallel_kernel, taps_inside
from fastcnn.backends.numba_direct.layout import BlockedArray, empty, flatten, unflatten
from fastcnn.backends.numba_direct.pooling import max_pool2d, pool_columns, relu_winners, tiled
from fastcnn.backends.numba_direct.simd import (
    lane_count,
    tile_add_steps,
    tile_fma,
    tile_fma_inside,
    tile_full,
    tile_load,
    tile_max,
    tile_outer,
    tile_outer_inside,
    tile_read,
    tile_relu_winners,
    tile_save,
    tile_splat,
    tile_store,
    tile_sums,
)

_CHUNK = 32  # tiles of taps that a task of `_outer` sums side by side: some 50 KB, which the second-level cache holds
_PATCH_BYTES = 20 * 1024  # of `dy` that they all go over in turn: it leaves room for `x` in 32 KB of first-level cache
_FAR = 1.25  # reading vectors from several blocks costs about so much more a step than reading neighbouring pixels
_TASKS = 16  # a sum over the batch is cut into parts until there are so many tasks, whatever the number of threads


def conv2d(x: BlockedArray, weight, bias, windows: Windows, groups: int) -> BlockedArray:
    """See `fastcnn.functional.conv2d`."""
    O = len(weight)
    if _covers_image(windows, groups):
        return unflatten(linear(flatten(x), weight.reshape(O, -1), bias), (O, 1, 1))
    y = empty((x.shape[0], O, windows.OH, windows.OW), x.dtype)
    bias = _zeros(O, x.dtype) if bias is None else bias
    _forward_plan(windows, groups, weight.shape, x.blocks.shape)(x.blocks, weight, bias, y.blocks)
    return y


def conv2d_max_pool2d(
    x: BlockedArray, weight, bias, windows: Windows, groups: int, pool: Windows, relu: bool
) -> tuple[BlockedArray, BlockedArray]:
    """See `fastcnn.nn.fusion`; fused where each pixel is in exactly one window of the pooling."""
    plan = _forward_plan(windows, groups, weight.shape, x.blocks.shape)
    if plan.kernel is not _correlate_pixels or not tiled(pool):
        y, indices = max_pool2d(conv2d(x, weight, bias, windows, groups), pool)
        if relu:
            relu_winners(y, indices)
        return y, indices
    shape = (x.shape[0], len(weight), pool.OH, pool.OW)
    y, indices = empty(shape, x.dtype), empty(shape, index_type(x.dtype))
    bias = _zeros(len(weight), x.dtype) if bias is None else bias
    sizes, x_strides, w_strides, _, steps = plan.numbers
    numbers = sizes, x_strides, w_strides, steps, (0,), pool_columns(pool.OW), (pool.KH, pool.KW), relu
    _Plan(_correlate_pool, plan.tile, numbers)(x.blocks, weight, bias, y.blocks, indices.blocks)
    return y, indices


def conv2d_backward(
    dy: BlockedArray, x: BlockedArray, weight, windows: Windows, groups: int, input_grad: bool, weight_grad: bool
):
    """See `fastcnn.functional.conv2d_backward`."""
    if _covers_image(windows, groups):
        flat = weight.reshape(len(weight), -1)
        dx, dweight, dbias = linear_backward(flatten(dy), flatten(x), flat, input_grad, weight_grad)
        return (
            None if dx is None else unflatten(dx, x.shape[1:]),
            None if dweight is None else dweight.reshape(weight.shape),
            dbias,
        )
    dx = dweight = dbias = None
    if input_grad:
        dx = empty(x.shape, x.dtype)
        bias = _zeros(x.shape[1], x.dtype)
        for plan in _input_gradient_plans(windows, groups, weight.shape, x.blocks.shape):
            plan(dy.blocks, weight, bias, dx.blocks)
    if weight_grad:
        plan = _weight_gradient_plan(windows, groups, weight.shape, x.blocks.shape)
        dweight, dbias = _sum_outer(dy, x, plan)
        dweight = dweight.reshape(weight.shape)
    return dx, dweight, dbias


def linear(x: BlockedArray, weight, bias) -> BlockedArray:
    """See `fastcnn.functional.linear`."""
    (N, C), O, (NB, _, L) = x.shape, len(weight), x.blocks.shape
    y = empty((N, O), x.dtype)
    bias = _zeros(O, x.dtype) if bias is None else bias
    _matrix_plan(NB, C, O, L, (C, 1))(x.blocks, weight, bias, y.blocks)
    return y


def linear_backward(dy: BlockedArray, x: BlockedArray, weight, input_grad: bool, weight_grad: bool):
    """See `fastcnn.functional.linear_backward`."""
    (N, C), O, (NB, _, L) = x.shape, len(weight), x.blocks.shape
    dx = dweight = dbias = None
    if input_grad:
        dx = empty((N, C), x.dtype)
        _matrix_plan(NB, O, C, L, (1, C))(dy.blocks, weight, _zeros(C, x.dtype), dx.blocks)
    if weight_grad:
        dweight, dbias = _sum_outer(dy, x, _matrix_gradient_plan(NB, C, O, L))
        dweight = dweight.reshape(weight.shape)
    return dx, dweight, dbias


class _Plan(NamedTuple):
    """A kernel and what it is called with beside its arrays, worked out once for a layer."""

    kernel: Callable
    tile: tuple[tuple[int, ...], ...]
    numbers: tuple

    def __call__(self, *arrays: np.ndarray) -> None:
        self.kernel(*self.tile, *map(flat, arrays), *self.numbers)


def _covers_image(windows: Windows, groups: int) -> bool:
    """Whether the only window is the whole image, so that the convolution is a matrix product."""
    w = windows
    return groups == 1 and (w.KH, w.KW) == (w.H, w.W) and (w.OH, w.OW) == (1, 1) and w.DH == w.DW == 1 and _no_pads(w)


def _no_pads(w: Windows) -> bool:
    return w.top == w.bottom == w.left == w.right == 0


@functools.cache
def _zeros(count: int, dtype) -> np.ndarray:
    return np.zeros(count, dtype)  # not made read-only: Numba would compile every kernel again for that


def _strides(C: int, H: int, W: int, L: int) -> tuple[int, int, int, int]:
    """Elements between neighbouring blocks, channels, rows and pixels."""
    return C * H * W * L, H * W * L, W * L, L


def _border(first: int, last: int, extent: int) -> tuple[int, ...]:
    """A tuple whose length tells a kernel, when it is compiled, whether columns may lie outside the image."""
    return () if first >= 0 and last < extent else (0,)


@functools.lru_cache(1024)
def _forward_plan(w: Windows, groups: int, weight_shape, blocks_shape) -> _Plan:
    (O, Cg, KH, KW), (NB, C, H, W, L) = weight_shape, blocks_shape
    Og = O // groups
    sizes = NB, groups, Cg, H, W, Og, w.OH, w.OW, KH, KW
    x_strides, y_strides = _strides(C, H, W, L), (0, *_strides(O, w.OH, w.OW, L))
    w_strides = 0, Og * Cg * KH * KW, Cg * KH * KW, KH * KW, KW, 1
    steps = w.SH, w.SW, -w.top, -w.left, w.DH, w.DW
    return _correlate_plan(sizes, x_strides, w_strides, y_strides, steps)


@functools.lru_cache(1024)
def _input_gradient_plans(w: Windows, groups: int, weight_shape, blocks_shape) -> list[_Plan]:
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
            sizes = NB, groups, Og, w.OH, w.OW, Cg, row.count, column.count, row.taps, column.taps
            dy_strides = _strides(O, w.OH, w.OW, L)
            w_start = row.first_tap * KW + column.first_tap
            w_strides = w_start, Og * Cg * KH * KW, KH * KW, Cg * KH * KW, row.tap_step * KW, column.tap_step
            n, c, h, pixel = _strides(C, H, W, L)
            dx_strides = row.start * h + column.start * pixel, n, c, h * w.SH, pixel * w.SW
            steps = 1, 1, row.offset, column.offset, row.offset_step, column.offset_step
            plans.append(_correlate_plan(sizes, dy_strides, w_strides, dx_strides, steps))
    return plans


class _Residue(NamedTuple):
    """The input positions ``start, start + stride, ...`` of one axis and the taps that read them."""

    start: int
    count: int
    first_tap: int
    tap_step: int
    taps: int
    offset: int
    offset_step: int


def _residues(extent: int, stride: int, dilation: int, taps: int, before: int) -> list[_Residue]:
    common = gcd(stride, dilation)
    residues = []
    for start in range(min(stride, extent)):
        count = -(-(extent - start) // stride)
        reading = [k for k in range(taps) if (start + before - k * dilation) % stride == 0]
        first = reading[0] if reading else 0
        offset = (start + before - first * dilation) // stride
        residues.append(_Residue(start, count, first, stride // common, len(reading), offset, -dilation // common))
    return residues


@functools.lru_cache(1024)
def _matrix_plan(NB: int, C: int, O: int, L: int, weight_strides: tuple[int, int]) -> _Plan:
    """C features to O: a 1x1 convolution of one pixel; ``weight_strides`` are those of outputs and inputs."""
    sizes = NB, 1, C, 1, 1, O, 1, 1, 1, 1
    x_strides, y_strides = (C * L, L, 0, 0), (0, O * L, L, 0, 0)
    return _correlate_plan(sizes, x_strides, (0, 0, *weight_strides, 0, 0), y_strides, (1, 1, 0, 0, 1, 1))


def _correlate_plan(sizes, x_strides, w_strides, y_strides, steps) -> _Plan:
    """The cheaper of the two kernels: tiles of neighbouring pixels, or tiles of the same pixel of several blocks.

    Pixels share what the first-level cache holds; but next to the border they multiply zeros, where blocks take exactly
    the taps inside the image. The input gradient of LeNet's C3 runs at 220 GFLOP/s with pixels and at 404 with blocks.
    """
    NB, _, _, _, W, O, _, OW, _, KW = sizes
    _, SW, _, left, _, DW = steps
    taps = [sum(0 <= ox * SW + left + kx * DW < W for kx in range(KW)) for ox in range(OW)]
    border = () if min(taps) == KW else (0,)
    by_pixels, by_blocks = tiles.choose(O, OW), tiles.choose(O, NB)
    pixels_cost = tiles.cycles(by_pixels, O, OW) * NB * KW
    blocks_cost = tiles.cycles(by_blocks, O, NB) * sum(taps) * _FAR
    numbers = sizes, x_strides, w_strides, y_strides, steps
    if blocks_cost < pixels_cost:
        return _Plan(_correlate_blocks, by_blocks, numbers)
    return _Plan(_correlate_pixels, (*by_pixels, border), numbers)


@functools.lru_cache(1024)
def _weight_gradient_plan(w: Windows, groups: int, weight_shape, blocks_shape) -> _Plan:
    (O, Cg, KH, KW), (NB, C, H, W, L) = weight_shape, blocks_shape
    n, c, h, pixel = _strides(C, H, W, L)
    channel, ky, kx = (grid.reshape(-1) for grid in np.indices((Cg, KH, KW)))
    down, right = ky * w.DH, kx * w.DW
    table = channel * c + down * h + right * pixel, down, right
    strides = _strides(O, w.OH, w.OW, L), (n, Cg * c, h, pixel), (w.SH, w.SW, -w.top, -w.left)
    last_row, last_column = (w.OH - 1) * w.SH + down[-1] - w.top, (w.OW - 1) * w.SW + right[-1] - w.left
    border = _border(-w.top, last_row, H) or _border(-w.left, last_column, W)
    return _outer_plan(NB, groups, (H, W), O // groups, (w.OH, w.OW), border, strides, table)


@functools.lru_cache(1024)
def _matrix_gradient_plan(NB: int, C: int, O: int, L: int) -> _Plan:
    channel, none = np.arange(C), np.zeros(C, np.int64)
    strides = (0, L, 0, O * L), (0, 0, 0, C * L), (1, 1, 0, 0)
    return _outer_plan(1, 1, (1, NB), O, (1, NB), (), strides, (channel * L, none, none))


def _outer_plan(NB: int, G: int, image, O: int, outputs, border, strides, table) -> _Plan:
    taps = len(table[0])
    rows, columns = tiles.choose(O, taps)
    tasks = G * -(-O // len(rows)) * -(-taps // (_CHUNK * len(columns)))
    parts = min(NB, -(-_TASKS // tasks))
    patch = max(1, _PATCH_BYTES // (len(rows) * VECTOR_BYTES))
    patch_columns = min(outputs[1], patch)
    sizes = parts, NB, G, *image, O, *outputs, max(1, patch // patch_columns), patch_columns
    return _Plan(_outer, (rows, columns, border), (sizes, *strides, *table))


def _sum_outer(dy: BlockedArray, x: BlockedArray, plan: _Plan) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of the filters, in one dimension, and of the bias."""
    parts, _, groups, _, _, Og, *_ = plan.numbers[0]
    O, taps = groups * Og, len(plan.numbers[-1])
    dweight, dbias = np.empty(parts * O * taps, dy.dtype), np.empty(parts * O, dy.dtype)
    plan(dy.blocks, x.blocks, dweight, dbias)
    if parts > 1:
        _add_parts(dweight, parts)
        _add_parts(dbias, parts)
    return dweight[: O * taps], dbias[:O]


@parallel_kernel
def _correlate_pixels(rows, columns, border, x, weight, bias, y, sizes, x_strides, w_strides, y_strides, steps):
    """Parallel over (block, group, filter tile, output row): a thread writes only that row of those filters.

    y[n, g, o, oy, ox] = bias[g, o] + sum over c, ky, kx of weight[g, o, c, ky, kx] * x[n, g, c, iy, ix] with
    iy = oy * SH + top + ky * DH, where that lies inside the image, and ix alike.
    """
    R = len(rows)
    NB, G, C, H, W, O, OH, OW, KH, KW = sizes
    y0, yn, yo, yh, yw = y_strides
    filter_tiles = (O + R - 1) // R
    for task in numba.prange(NB * G * filter_tiles * OH):
        rest, oy = divmod(np.intp(task), OH)  # the index is unsigned: with signed numbers it would become a float
        rest, filter_tile = divmod(rest, filter_tiles)
        n, g = divmod(rest, G)
        o = min(filter_tile * R, O - R)  # the last tile overlaps its neighbour and stores only its own rows
        y_at = y0 + n * yn + (g * O + o) * yo + oy * yh
        _row(
            rows, columns, border, x, weight, bias, n, g, o, oy, sizes, x_strides, w_strides, steps,
            y, y_at, yo, yw, filter_tile * R - o,
        )  # fmt: skip


@parallel_kernel
def _correlate_pool(
    rows,
    columns,
    border,
    x,
    weight,
    bias,
    y,
    places,
    sizes,
    x_strides,
    w_strides,
    steps,
    pool_row,
    pool_columns,
    pool,
    relu,
):
    """Parallel over (block, group, filter tile, pooled row): a thread writes only that row of those filters.

    The rows of the convolution that a pooled row needs stay in the first-level cache and are never written out.
    """
    R, L = len(rows), lane_count(x)
    NB, G, C, H, W, O, OH, OW, KH, KW = sizes
    PH, PW = pool
    pooled_rows, pooled_columns = OH // PH, OW // PW
    filter_tiles = (O + R - 1) // R
    for task in numba.prange(NB * G * filter_tiles * pooled_rows):
        rest, py = divmod(np.intp(task), pooled_rows)
        rest, filter_tile = divmod(rest, filter_tiles)
        n, g = divmod(rest, G)
        o = min(filter_tile * R, O - R)
        conv_rows = np.empty(R * PH * OW * L, x.dtype)
        for ky in range(PH):
            _row(
                rows, columns, border, x, weight, bias, n, g, o, py * PH + ky, sizes, x_strides, w_strides, steps,
                conv_rows, ky * OW * L, PH * OW * L, L, 0,
            )  # fmt: skip
        for r in range(filter_tile * R - o, R):
            at = (((n * G + g) * O + o + r) * pooled_rows + py) * pooled_columns
            for px in range(0, pooled_columns, len(pool_columns)):
                from_at = (r * PH * OW + px * PW) * L
                best, taps = (
                    tile_read(pool_row, pool_columns, conv_rows, from_at, 0, PW * L),
                    tile_full(pool_row, pool_columns, places, 0),
                )
                for ky in range(PH):
                    for kx in range(PW):
                        tap = ky * OW + kx
                        best, taps = tile_max(best, taps, conv_rows, from_at + tap * L, PW * L, tap)
                winners = tile_add_steps(taps, py * PH * OW + px * PW, PW)
                if relu:
                    best, winners = tile_relu_winners(best, winners)
                tile_store(best, y, (at + px) * L, 0, L, 0)
                tile_store(winners, places, (at + px) * L, 0, L, 0)


@kernel
def _row(
    rows,
    columns,
    border,
    x,
    weight,
    bias,
    n,
    g,
    o,
    oy,
    sizes,
    x_strides,
    w_strides,
    steps,
    out,
    out_at,
    out_o,
    out_w,
    first_row,
):
    """One output row of one filter tile, stored from ``out[out_at]`` on; its rows before ``first_row`` are not."""
    COLUMNS = len(columns)
    NB, G, C, H, W, O, OH, OW, KH, KW = sizes
    xn, xc, xh, xw = x_strides
    w0, wg, wo, wc, wy, wx = w_strides
    SH, SW, top, left, DH, DW = steps
    leftmost, rightmost = left + min(0, (KW - 1) * DW), left + (COLUMNS - 1) * SW + max(0, (KW - 1) * DW)
    first, last = taps_inside(KH, oy * SH + top, DH, H)
    iy = oy * SH + top + first * DH
    w_at = w0 + g * wg + o * wo + first * wy
    for column_tile in range((OW + COLUMNS - 1) // COLUMNS):
        ox = min(column_tile * COLUMNS, OW - COLUMNS)
        ix = ox * SW + left
        x_at = n * xn + g * C * xc + iy * xh + ix * xw
        tile = tile_splat(rows, columns, bias, g * O + o, 1)
        if len(border) == 0 or (ox * SW + leftmost >= 0 and ox * SW + rightmost < W):
            for c in range(C):
                for ky in range(last - first):
                    for kx in range(KW):
                        w_tap, x_tap = w_at + c * wc + ky * wy + kx * wx, x_at + c * xc + ky * DH * xh + kx * DW * xw
                        tile = tile_fma(tile, weight, w_tap, wo, x, x_tap, SW * xw)
        else:
            for c in range(C):
                for ky in range(last - first):
                    for kx in range(KW):
                        w_tap, x_tap = w_at + c * wc + ky * wy + kx * wx, x_at + c * xc + ky * DH * xh + kx * DW * xw
                        tile = tile_fma_inside(tile, weight, w_tap, wo, x, x_tap, SW * xw, ix + kx * DW, SW, W)
        tile_store(tile, out, out_at + ox * out_w, out_o, out_w, first_row)


@parallel_kernel
def _correlate_blocks(rows, columns, x, weight, bias, y, sizes, x_strides, w_strides, y_strides, steps):
    """Parallel over (tile of blocks, group, filter tile, output row): a thread writes only that row of those filters.

    The same sums as `_correlate_pixels`, in the same order.
    """
    R, COLUMNS = len(rows), len(columns)
    NB, G, C, H, W, O, OH, OW, KH, KW = sizes
    xn, xc, xh, xw = x_strides
    w0, wg, wo, wc, wy, wx = w_strides
    y0, yn, yo, yh, yw = y_strides
    SH, SW, top, left, DH, DW = steps
    filter_tiles, block_tiles = (O + R - 1) // R, (NB + COLUMNS - 1) // COLUMNS
    for task in numba.prange(block_tiles * G * filter_tiles * OH):
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
            for c in range(C):
                for ky in range(last_ky - first_ky):
                    for kx in range(last_kx - first_kx):
                        tile = tile_fma(
                            tile,
                            weight,
                            w_at + c * wc + ky * wy + kx * wx,
                            wo,
                            x,
                            x_at + c * xc + ky * DH * xh + kx * DW * xw,
                            xn,
                        )
            y_at = y0 + n * yn + (g * O + o) * yo + oy * yh + ox * yw
            tile_store(tile, y, y_at, yo, yn, filter_tile * R - o)


@parallel_kernel
def _outer(rows, columns, border, dy, x, dweight, dbias, sizes, dy_strides, x_strides, steps, offsets, down, right):
    """Parallel over (part of the batch, group, filter tile, chunk of taps): a thread writes only those taps' sums.

    dweight[part, g, o, q] = sum over the part's blocks n, oy, ox and the lanes of dy[n, g, o, oy, ox] * x[n, g, iy, ix]
    with iy = oy * SH + top + down[q], where that lies inside the image, and ix alike; ``offsets`` says where tap q is.
    dbias[part, g, o] is the same sum of dy alone.

    All taps of the chunk go over one patch of outputs, whose ``dy`` stays in the first-level cache, before the next.
    """
    R, COLUMNS = len(rows), len(columns)
    parts, NB, G, H, W, O, OH, OW, patch_rows, patch_columns = sizes
    yn, yo, yh, yw = dy_strides
    xn, xg, xh, xw = x_strides
    SH, SW, top, left = steps
    L, Q = lane_count(x), len(offsets)
    tile_size = R * COLUMNS * L
    filter_tiles, chunks = (O + R - 1) // R, (Q + _CHUNK * COLUMNS - 1) // (_CHUNK * COLUMNS)
    # The outputs whose taps all lie inside the image: rows y_first ... y_last - 1, columns x_first ... x_last - 1.
    y_first, y_last = (-top + SH - 1) // SH, (H - 1 - top - down[-1]) // SH + 1
    x_first, x_last = (-left + SW - 1) // SW, (W - 1 - left - right[-1]) // SW + 1
    for task in numba.prange(parts * G * filter_tiles * chunks):
        rest, chunk = divmod(np.intp(task), chunks)
        rest, filter_tile = divmod(rest, filter_tiles)
        part, g = divmod(rest, G)
        o = min(filter_tile * R, O - R)  # the last tile overlaps its neighbour and stores only its own rows
        first_tile = chunk * _CHUNK
        last_tile = min(first_tile + _CHUNK, (Q + COLUMNS - 1) // COLUMNS)
        sums = np.empty((last_tile - first_tile) * tile_size, x.dtype)
        bias_sums, ones, none = np.empty(R * L, x.dtype), np.ones(L, x.dtype), np.zeros(1, np.int64)
        patches = -(-OH // patch_rows) * -(-OW // patch_columns) * ((part + 1) * NB // parts - part * NB // parts)
        patch = 0
        for n in range(part * NB // parts, (part + 1) * NB // parts):
            for y_start in range(0, OH, patch_rows):
                y_stop = min(y_start + patch_rows, OH)
                for x_start in range(0, OW, patch_columns):
                    x_stop = min(x_start + patch_columns, OW)
                    patch += 1
                    if chunk == 0:
                        ones_tile = tile_full(rows, (0,), x, 0) if patch == 1 else tile_load(rows, (0,), bias_sums, 0)
                        for oy in range(y_start, y_stop):
                            y_at = n * yn + (g * O + o) * yo + oy * yh
                            for ox in range(x_start, x_stop):
                                ones_tile = tile_outer(ones_tile, dy, y_at + ox * yw, yo, ones, 0, none, 0)
                        if patch < patches:
                            tile_save(ones_tile, bias_sums, 0)
                        else:
                            tile_sums(ones_tile, dbias, (part * G + g) * O + o, 1, filter_tile * R - o, 0)
                    for tap_tile in range(first_tile, last_tile):
                        q = min(tap_tile * COLUMNS, Q - COLUMNS)
                        tile_at = (tap_tile - first_tile) * tile_size
                        if patch == 1:
                            tile = tile_full(rows, columns, x, 0)
                        else:
                            tile = tile_load(rows, columns, sums, tile_at)
                        for oy in range(y_start, y_stop):
                            iy = oy * SH + top
                            y_at = n * yn + (g * O + o) * yo + oy * yh
                            x_at = n * xn + g * xg + iy * xh + left * xw
                            start, stop = x_start, x_stop
                            if len(border) > 0:
                                inside = y_first <= oy < y_last
                                start = max(x_start, min(x_first, x_stop)) if inside else x_stop
                                stop = max(start, min(x_last, x_stop))
                                for ox in range(x_start, start):
                                    tile = tile_outer_inside(
                                        tile, dy, y_at + ox * yw, yo, x, x_at + ox * SW * xw, offsets, q,
                                        iy, down, H, ox * SW + left, right, W,
                                    )  # fmt: skip
                            for ox in range(start, stop):
                                tile = tile_outer(tile, dy, y_at + ox * yw, yo, x, x_at + ox * SW * xw, offsets, q)
                            if len(border) > 0:
                                for ox in range(stop, x_stop):
                                    tile = tile_outer_inside(
                                        tile, dy, y_at + ox * yw, yo, x, x_at + ox * SW * xw, offsets, q,
                                        iy, down, H, ox * SW + left, right, W,
                                    )  # fmt: skip
                        if patch < patches:
                            tile_save(tile, sums, tile_at)
                        else:
                            at = ((part * G + g) * O + o) * Q + q
                            tile_sums(tile, dweight, at, Q, filter_tile * R - o, tap_tile * COLUMNS - q)


@parallel_kernel
def _add_parts(sums, parts):
    """Parallel over the numbers of a part: a thread writes only those it is given, in the first part."""
    count = sums.size // parts
    for i in numba.prange(count):
        for part in range(1, parts):
            sums[i] += sums[part * count + i]
