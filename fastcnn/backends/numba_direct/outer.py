"""Products of two images, tap by tap, summed over positions and images: the filters' gradient, and the bias's.

dweight[g, o, q] = sum over n, oy, ox of dy[n, g, o, oy, ox] * x[n, g, iy, ix] with iy = oy * SH + top + down[q], where
that lies inside the image, and ix alike; q counts the taps (c, ky, kx). dbias[g, o] is the same sum of dy alone.

Lanes of the last block that hold no image do not count, whatever is in them: their sums are as before that block.
"""

import functools

import numba
import numpy as np

from fastcnn._geometry import Windows
from fastcnn.backends.numba_direct import tiles
from fastcnn.backends.numba_direct._jit import VECTOR_BYTES, parallel_kernel, scratch
from fastcnn.backends.numba_direct.denormals import flush_denormals, restore_denormals
from fastcnn.backends.numba_direct.layout import BlockedArray
from fastcnn.backends.numba_direct.memory import aligned
from fastcnn.backends.numba_direct.plan import TASKS, Plan, block_strides, border_flag, zeros
from fastcnn.backends.numba_direct.pooling import pool_columns, put_windows
from fastcnn.backends.numba_direct.simd import (
    lane_count,
    tile_full,
    tile_load,
    tile_load_lanes,
    tile_outer,
    tile_outer_inside,
    tile_read,
    tile_read_bytes,
    tile_save,
    tile_sums,
)

_NO_WINNERS = np.empty(0, np.int8)
_CHUNK = 32  # tiles of taps that a task sums side by side: some 50 KB, which the second-level cache holds
_PATCH_BYTES = 26 * 1024  # of `dy` that they all go over in turn: it leaves room for `x` in the first-level cache


@functools.lru_cache(1024)
def weight_gradient_plan(
    w: Windows, groups: int, weight_shape, blocks_shape, images: int, pool: tuple[int, int] | None = None
) -> Plan:
    """Gradients of a convolution's filters and bias, ``dy`` that of its output or of a max-pooling (PH, PW) of it.

    The last block holds so many ``images``, 0 being all that it can.
    """
    (O, Cg, KH, KW), (NB, C, H, W, L) = weight_shape, blocks_shape
    n, c, h, pixel = block_strides(C, H, W, L)
    channel, ky, kx = (grid.reshape(-1) for grid in np.indices((Cg, KH, KW)))
    down, right = ky * w.DH, kx * w.DW
    table = channel * c + down * h + right * pixel, down, right
    PH, PW = pool or (1, 1)
    dy_strides = block_strides(O, w.OH // PH, w.OW // PW, L)
    strides = dy_strides, (n, Cg * c, h, pixel), (w.SH, w.SW, -w.top, -w.left)
    last_row, last_column = (w.OH - 1) * w.SH + down[-1] - w.top, (w.OW - 1) * w.SW + right[-1] - w.left
    border = border_flag(-w.top, last_row, H) or border_flag(-w.left, last_column, W)
    return _outer_plan(NB, groups, (H, W), O // groups, (w.OH, w.OW), border, strides, table, images, pool)


@functools.lru_cache(1024)
def matrix_gradient_plan(NB: int, C: int, O: int, L: int, images: int) -> Plan:
    """Gradients of C x O weights: those of a 1x1 convolution of one row, whose pixels are the blocks."""
    channel, none = np.arange(C), np.zeros(C, np.int64)
    strides = (0, L, 0, O * L), (0, 0, 0, C * L), (1, 1, 0, 0)
    return _outer_plan(1, 1, (1, NB), O, (1, NB), (), strides, (channel * L, none, none), images, matrix=True)


def _outer_plan(
    NB: int, G: int, image, O: int, outputs, border, strides, table, images: int, pool=None, matrix: bool = False
) -> Plan:
    taps = len(table[0])
    rows, columns = tiles.choose(O, taps, slack=1.15)
    tasks = G * -(-O // len(rows)) * -(-taps // (_CHUNK * len(columns)))
    parts = min(NB, -(-TASKS // tasks))
    patch = max(1, _PATCH_BYTES // (len(rows) * VECTOR_BYTES))
    patch_columns = min(outputs[1], patch)
    patch_rows = min(outputs[0], max(1, patch // patch_columns))
    patch_rows = -(-outputs[0] // -(-outputs[0] // patch_rows))  # all patches of about the same height
    pooled: tuple[int, ...] = ()
    if pool:  # whole rows of windows; those of one pixel too, as ReLU may leave them without a winner
        patch_columns, pooled = outputs[1], pool_columns(outputs[1] // pool[1])
        patch_rows = max(1, patch // (patch_columns * pool[0])) * pool[0]
    sizes = parts, NB, G, *image, O, *outputs, patch_rows, patch_columns
    # Of a matrix the last pixel is the last block, which then is a patch by itself: the first one is shorter.
    shift = -(outputs[1] - 1) % patch_columns if matrix and images else 0
    last = images, 1 if matrix else -(-outputs[0] // patch_rows) * -(-outputs[1] // patch_columns), shift
    return Plan(_outer, (rows, columns, border, pooled), (sizes, *strides, pool or (1, 1), last, *table))


def sum_outer(
    dy: BlockedArray, x: BlockedArray, plan: Plan, winners: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of the filters, in one dimension, and of the bias; ``winners`` are those of a pooled ``dy``."""
    parts, _, groups, _, _, Og, *_ = plan.numbers[0]
    O, taps = groups * Og, len(plan.numbers[-1])
    dweight, dbias = aligned((parts * O * taps,), dy.dtype), aligned((parts * O,), dy.dtype)
    arrays = dy.blocks, _NO_WINNERS if winners is None else winners, x.blocks, dweight, dbias
    plan(*arrays, zeros(_longest_run(plan), dy.dtype))
    if parts > 1:
        _add_parts(dweight, dbias, parts)
    return dweight[: O * taps], dbias[:O]


def _longest_run(plan: Plan) -> int:
    """Numbers that a tap outside the image reads in a run along a row, or along a column of a patch."""
    (*_, OW, patch_rows, _), _, (_, _, xh, xw), (SH, SW, _, _), *_ = plan.numbers
    _, _, border, _ = plan.tile
    return max(OW * SW * xw, patch_rows * SH * xh) if border else 1


@parallel_kernel
def _outer(
    rows, columns, border, pooled, dy, winners, x, dweight, dbias, outside, sizes, dy_strides, x_strides, steps, pool,
    last, offsets, down, right,
):  # fmt: skip
    """Parallel over (part of the batch, group, filter tile, chunk of taps): a thread writes only those taps' sums.

    ``offsets`` says where tap q is in x. Each part of the batch has sums of its own, which `_add_parts` adds up. All
    taps of the chunk go over one patch of outputs, whose ``dy`` stays in the first-level cache, before the next.
    With a tuple ``pooled`` that is not empty, its zeros as many as the columns of a tile of pooled outputs, ``dy`` and
    ``winners`` are those of a pooling (PH, PW) of the outputs, and each patch is made from them. ``last`` says how many
    lanes of the last block hold an image, 0 for all, how many patches that block has, and how much shorter the first
    patch of a row is than the others.
    """
    R, COLUMNS = len(rows), len(columns)
    parts, NB, G, H, W, O, OH, OW, patch_rows, patch_columns = sizes
    yn, yo, yh, yw = dy_strides
    xn, xg, xh, xw = x_strides
    SH, SW, top, left = steps
    PH, PW = pool
    images, last_patches, shift = last
    L, Q = lane_count(x), len(offsets)
    tile_size = R * COLUMNS * L
    filter_tiles, chunks = (O + R - 1) // R, (Q + _CHUNK * COLUMNS - 1) // (_CHUNK * COLUMNS)
    # The outputs whose taps all lie inside the image: rows y_first ... y_last - 1, columns x_first ... x_last - 1.
    y_first, y_last = (-top + SH - 1) // SH, (H - 1 - top - down[-1]) // SH + 1
    x_first, x_last = (-left + SW - 1) // SW, (W - 1 - left - right[-1]) // SW + 1
    for task in numba.prange(parts * G * filter_tiles * chunks):
        mode = flush_denormals()
        rest, chunk = divmod(np.intp(task), chunks)
        rest, filter_tile = divmod(rest, filter_tiles)
        part, g = divmod(rest, G)
        o = min(filter_tile * R, O - R)  # the last tile overlaps its neighbour and stores only its own rows
        first_tile = chunk * _CHUNK
        last_tile = min(first_tile + _CHUNK, (Q + COLUMNS - 1) // COLUMNS)
        blocks = (part + 1) * NB // parts - part * NB // parts
        patches = -(-OH // patch_rows) * -(-(OW + shift) // patch_columns) * blocks
        sums = scratch((last_tile - first_tile) * tile_size if patches > 1 else 0, x)
        bias_sums, ones, none = scratch(R * L, x), np.ones(L, x.dtype), np.zeros(1, np.int64)
        partial = images > 0 and part == parts - 1
        last_patch = patches - last_patches + 1 if partial else 0  # the first one of the last block
        before = scratch((last_tile - first_tile) * tile_size if partial else 0, x)  # sums before that block
        bias_before = scratch(R * L if partial else 0, x)
        starts, outside_at = np.empty(COLUMNS, np.int64), (outside.ctypes.data - x.ctypes.data) // x.itemsize
        patch = 0
        source, source_o, source_h, source_w = dy, yo, yh, yw
        if len(pooled) > 0:
            source = scratch(R * patch_rows * OW * L, x)
            source_o, source_h, source_w = patch_rows * OW * L, OW * L, L
        for n in range(part * NB // parts, (part + 1) * NB // parts):
            for y_start in range(0, OH, patch_rows):
                y_stop = min(y_start + patch_rows, OH)
                source_at = n * yn + (g * O + o) * yo
                if len(pooled) > 0:
                    source_at = -y_start * OW * L
                    for r in range(R):
                        for py in range(y_start // PH, y_stop // PH):
                            for px in range(0, OW // PW, len(pooled)):
                                at = n * yn + (g * O + o + r) * yo + py * yh + px * L
                                tile = tile_read((0,), pooled, dy, at, 0, L)
                                pixels = tile_read_bytes((0,), pooled, dy, winners, at, L)
                                to = r * source_o + source_at + (py * PH * OW + px * PW) * L
                                put_windows(tile, pixels, source, to, PH, PW, OW, L)
                for patch_start in range(-shift, OW, patch_columns):
                    x_start, x_stop = max(0, patch_start), min(patch_start + patch_columns, OW)
                    patch += 1
                    if chunk == 0:
                        ones_tile = tile_full(rows, (0,), x, 0) if patch == 1 else tile_load(rows, (0,), bias_sums, 0)
                        if patch == last_patch:
                            tile_save(ones_tile, bias_before, 0)
                        for oy in range(y_start, y_stop):
                            y_at = source_at + oy * source_h
                            for ox in range(x_start, x_stop):
                                ones_tile = tile_outer(
                                    ones_tile, source, y_at + ox * source_w, source_o, ones, 0, none, 0
                                )
                        if patch < patches:
                            tile_save(ones_tile, bias_sums, 0)
                        else:
                            if partial:
                                ones_tile = tile_load_lanes(ones_tile, images, bias_before, 0)
                            tile_sums(ones_tile, dbias, (part * G + g) * O + o, 1, filter_tile * R - o, 0)
                    for tap_tile in range(first_tile, last_tile):
                        q = min(tap_tile * COLUMNS, Q - COLUMNS)
                        tile_at = (tap_tile - first_tile) * tile_size
                        if patch == 1:
                            tile = tile_full(rows, columns, x, 0)
                        else:
                            tile = tile_load(rows, columns, sums, tile_at)
                        if patch == last_patch:
                            tile_save(tile, before, tile_at)
                        image_at = n * xn + g * xg + top * xh + left * xw
                        if len(border) == 0:
                            for oy in range(y_start, y_stop):
                                for ox in range(x_start, x_stop):
                                    tile = tile_outer(
                                        tile, source, source_at + oy * source_h + ox * source_w, source_o,
                                        x, image_at + oy * SH * xh + ox * SW * xw, offsets, q,
                                    )  # fmt: skip
                        else:
                            # Outputs whose taps are inside along the row, row by row; the others column by column. Taps
                            # that are outside then read zeros, all along.
                            x0, y0 = max(x_start, min(x_first, x_stop)), max(y_start, min(y_first, y_stop))
                            x1, y1 = max(x0, min(x_last, x_stop)), max(y0, min(y_last, y_stop))
                            for oy in range(y_start, y_stop):
                                row_at = image_at + oy * SH * xh
                                for c in range(COLUMNS):
                                    inside = 0 <= oy * SH + top + down[q + c] < H
                                    starts[c] = row_at + offsets[q + c] if inside else outside_at - x0 * SW * xw
                                for ox in range(x0, x1):
                                    tile = tile_outer(
                                        tile, source, source_at + oy * source_h + ox * source_w, source_o,
                                        x, ox * SW * xw, starts, 0,
                                    )  # fmt: skip
                            for side in range(x_stop - x_start - (x1 - x0)):
                                ox = x_start + side if x_start + side < x0 else x1 + x_start + side - x0
                                column_at = image_at + ox * SW * xw
                                for c in range(COLUMNS):
                                    inside = 0 <= ox * SW + left + right[q + c] < W
                                    starts[c] = column_at + offsets[q + c] if inside else outside_at - y0 * SH * xh
                                for oy in range(y0, y1):
                                    tile = tile_outer(
                                        tile, source, source_at + oy * source_h + ox * source_w, source_o,
                                        x, oy * SH * xh, starts, 0,
                                    )  # fmt: skip
                                for corner in range(y_stop - y_start - (y1 - y0)):
                                    oy = y_start + corner if y_start + corner < y0 else y1 + y_start + corner - y0
                                    tile = tile_outer_inside(
                                        tile, source, source_at + oy * source_h + ox * source_w, source_o,
                                        x, column_at + oy * SH * xh, offsets, q, oy * SH + top, down, H,
                                        ox * SW + left, right, W,
                                    )  # fmt: skip
                        if patch < patches:
                            tile_save(tile, sums, tile_at)
                        else:
                            if partial:
                                tile = tile_load_lanes(tile, images, before, tile_at)
                            at = ((part * G + g) * O + o) * Q + q
                            tile_sums(tile, dweight, at, Q, filter_tile * R - o, tap_tile * COLUMNS - q)
        restore_denormals(mode)


@parallel_kernel
def _add_parts(dweight, dbias, parts):
    """Parallel over the numbers of a part: a thread writes only those it is given, in the first part."""
    weights, biases = dweight.size // parts, dbias.size // parts
    for i in numba.prange(weights):
        for part in range(1, parts):
            dweight[i] += dweight[part * weights + i]
        if i < biases:
            for part in range(1, parts):
                dbias[i] += dbias[part * biases + i]
