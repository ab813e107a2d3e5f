"""Products of two images, tap by tap, summed over positions and images: the filters' gradient, and the bias's.

dweight[g, o, q] = sum over n, oy, ox of dy[n, g, o, oy, ox] * x[n, g, iy, ix] with iy = oy * SH + iy0 + down[q], where
that lies inside the image, and ix alike; q counts the taps (c, ky, kx). dbias[g, o] is the same sum of dy alone.

Lanes of the last block that hold no image do not count, whatever is in them: their sums are as before that block.
"""

import functools
from typing import Any

import numpy as np

from fastcnn._geometry import Windows
from fastcnn.backends.numba_direct.kernels import tiles
from fastcnn.backends.numba_direct.kernels.plan import TASKS, Plan, block_strides, zeros
from fastcnn.backends.numba_direct.kernels.windows import pool_columns, put_windows
from fastcnn.backends.numba_direct.runtime.arguments import address_of, numbers_at
from fastcnn.backends.numba_direct.runtime.compile import flushing_kernel, inlined, kernel
from fastcnn.backends.numba_direct.runtime.memory import aligned
from fastcnn.backends.numba_direct.runtime.processor import VECTOR_BYTES
from fastcnn.backends.numba_direct.simd import (
    lane_count,
    tile_add,
    tile_full,
    tile_load,
    tile_load_bytes,
    tile_outer,
    tile_reload,
    tile_reload_lanes,
    tile_spill,
    tile_sums,
)

_CHUNK = 32  # tiles of taps that a task sums side by side: some 50 KB, which the second-level cache holds
_PATCH_BYTES = 26 * 1024  # of `dy` that they all go over in turn: it leaves room for `x` in the first-level cache
_NUMBERS = 4096  # that a task of `_add_parts` takes
_NO_WINNERS = np.empty(0, np.int8)


@functools.lru_cache(1024)
def weight_gradient_plan(
    w: Windows, groups: int, weight_shape, blocks_shape, images: int, pool: tuple[int, int] | tuple[()] = ()
) -> Plan | None:
    """Gradients of a convolution's filters and bias, ``dy`` that of its output or of a max-pooling (PH, PW) of it.

    The last block holds so many ``images``, 0 being all that it can. None where patches of whole windows of the pooling
    would sum in another order than without it.
    """
    (O, Cg, KH, KW), (NB, C, H, W, L) = weight_shape, blocks_shape
    n, c, h, pixel = block_strides(C, H, W, L)
    channel, ky, kx = (grid.reshape(-1) for grid in np.indices((Cg, KH, KW)))
    down, right = ky * w.DH, kx * w.DW
    PH, PW = pool or (1, 1)
    yn, yo, yh, yw = block_strides(O, w.OH // PH, w.OW // PW, L)
    given: dict[str, Any] = {
        "NB": NB,
        "G": groups,
        "O": O // groups,
        "OH": w.OH,
        "OW": w.OW,
        "H": H,
        "W": W,
        "images": images,
    }
    given |= {"yn": yn, "yo": yo, "yh": yh, "yw": yw, "xn": n, "xg": Cg * c, "xh": h, "xw": pixel}
    given |= {"SH": w.SH, "SW": w.SW, "iy0": -w.top, "ix0": -w.left, "PH": PH, "PW": PW}
    given |= {"offsets": channel * c + down * h + right * pixel, "down": down, "right": right}
    rows, _ = tiles.choose(O // groups, len(down), slack=1.15)
    patch = max(1, _PATCH_BYTES // (len(rows) * VECTOR_BYTES))
    if pool and (PH > 2 or patch < w.OW):
        return None
    # Pairs of rows, pooled or not: both sum in the same order. All patches have about the same height.
    columns, pairs = min(w.OW, patch), -(-w.OH // 2)
    height = 2 * -(-pairs // -(-pairs // max(1, patch // (2 * columns))))
    return _plan(given, height, columns, pool_columns(w.OW // PW) if pool else ())


@functools.lru_cache(1024)
def matrix_gradient_plan(NB: int, C: int, O: int, L: int, images: int) -> Plan:
    """Gradients of C x O weights: those of a 1x1 convolution of one row, whose pixels are the blocks."""
    none = np.zeros(C, np.int64)
    given: dict[str, Any] = {"NB": 1, "G": 1, "O": O, "OH": 1, "OW": NB, "H": 1, "W": NB, "images": images}
    given |= {"yn": 0, "yo": L, "yh": 0, "yw": O * L, "xn": 0, "xg": 0, "xh": 0, "xw": C * L}
    given |= {"SH": 1, "SW": 1, "iy0": 0, "ix0": 0, "PH": 1, "PW": 1}
    given |= {"offsets": np.arange(C) * L, "down": none, "right": none}
    rows, _ = tiles.choose(O, C, slack=1.15)
    return _plan(given, 1, max(1, _PATCH_BYTES // (len(rows) * VECTOR_BYTES)), (), matrix=True)


def _plan(
    given: dict[str, Any], patch_rows: int, patch_columns: int, pooled: tuple[int, ...], matrix: bool = False
) -> Plan:
    """Patches of a few rows and columns of a block; the last column of a matrix is one if that block is not full."""
    NB, OH, OW, images, taps = (given[name] for name in ("NB", "OH", "OW", "images", "down"))
    Q = len(taps)
    rows, columns = tiles.choose(given["O"], Q, slack=1.15)
    R, COLUMNS = len(rows), len(columns)
    full = NB if matrix else NB - (images > 0)  # blocks
    full_columns = OW - (images > 0) if matrix else OW
    down, across = -(-OH // patch_rows), -(-full_columns // patch_columns)
    full_patches = full * down * across
    patches = full_patches + (images > 0) * (1 if matrix else down * across)
    tap_tiles = -(-Q // COLUMNS)
    tasks = given["G"] * -(-given["O"] // R) * -(-tap_tiles // _CHUNK)
    parts = min(patches, -(-TASKS // tasks))
    last_row = (OH - 1) * given["SH"] + given["iy0"] + given["down"][-1]
    last_column = (OW - 1) * given["SW"] + given["ix0"] + given["right"][-1]
    border = min(given["iy0"], given["ix0"]) < 0 or last_row >= given["H"] or last_column >= given["W"]
    given = given | {
        "rows": rows, "columns": columns, "pooled": pooled, "border": (0,) if border else (),
        "patches": patches, "full_patches": full_patches, "parts": parts, "full": full, "full_columns": full_columns,
        "down_patches": down, "across": max(1, across), "nowhere": 0,
        "patch_rows": patch_rows, "patch_columns": patch_columns,
    }  # fmt: skip
    together = min(_CHUNK, tap_tiles)
    vectors = 2 * R * (together * COLUMNS + 1) + (R * patch_rows * OW if pooled else 0)
    return Plan(_outer, tasks * parts, given, vectors * VECTOR_BYTES + 8 * COLUMNS)


def sum_outer(
    dy: np.ndarray, x: np.ndarray, plan: Plan, winners: np.ndarray = _NO_WINNERS
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of the filters, in one dimension, and of the bias; ``winners`` are those of a pooled ``dy``."""
    k = plan.given
    parts, biases = k["parts"], k["G"] * k["O"]
    weights = biases * len(k["down"])
    dweight, dbias = aligned((parts * weights,), dy.dtype), aligned((parts * biases,), dy.dtype)
    zero = zeros(max(1, k["OW"] * k["SW"] * k["xw"], k["patch_rows"] * k["SH"] * k["xh"]), dy.dtype)
    plan(dy=dy, winners=winners, x=x, dweight=dweight, dbias=dbias, zeros=zero)
    if parts > 1:
        _add_parts(-(-weights // _NUMBERS), dweight=dweight, dbias=dbias, parts=parts)
    return dweight[:weights], dbias[:biases]


@flushing_kernel
def _outer(first, last, a, scratch):
    """A task is a chunk of tiles of taps, for a tile of filters of a group and a part of the batch.

    All taps of the chunk go over one patch of outputs, whose ``dy`` stays in the first-level cache, before the next.
    Each part of the batch has sums of its own, which `_add_parts` adds up. With ``pooled``, as long as a tile of pooled
    outputs, ``dy`` and ``winners`` are those of a pooling (PH, PW) of the outputs, and each patch is made from them.
    """
    dy, x, dweight, dbias, rows, columns = a.dy, a.x, a.dweight, a.dbias, a.rows, a.columns
    G, O, OW, xn, xg, xh, xw = a.G, a.O, a.OW, a.xn, a.xg, a.xh, a.xw
    SH, SW, iy0, ix0 = a.SH, a.SW, a.iy0, a.ix0
    parts, patches, full_patches, images, offsets = a.parts, a.patches, a.full_patches, a.images, a.offsets
    R, COLUMNS, L, Q = len(rows), len(columns), lane_count(x), offsets.size
    tap_tiles = (Q + COLUMNS - 1) // COLUMNS
    filter_tiles, chunks, size = (O + R - 1) // R, (tap_tiles + _CHUNK - 1) // _CHUNK, R * COLUMNS * L
    room = min(_CHUNK, tap_tiles) * size
    memory = numbers_at(scratch, 2 * room + 2 * R * L, x)  # sums, and what they were before a block that is not full
    before, bias_at, bias_before = room, 2 * room, 2 * room + R * L
    rest_of_scratch = scratch + memory.size * x.itemsize
    starts = numbers_at(rest_of_scratch, COLUMNS, offsets)
    for task in range(first, last):
        rest, chunk = divmod(task, chunks)
        rest, filter_tile = divmod(rest, filter_tiles)
        part, g = divmod(rest, G)
        o = min(filter_tile * R, O - R)  # the last tile overlaps its neighbour and stores only its own rows
        first_patch, last_patch = part * patches // parts, (part + 1) * patches // parts
        partial = images > 0 and last_patch > full_patches
        first_partial = max(first_patch, full_patches)
        for patch in range(first_patch, last_patch):
            n, y0, y1, x0, x1 = _bounds(a, patch)
            source, so, sh, sw, source_at = dy, a.yo, a.yh, a.yw, n * a.yn + (g * O + o) * a.yo
            if len(a.pooled) > 0:
                source = numbers_at(rest_of_scratch, R * (y1 - y0) * OW * L, x)
                _unpool(a, source, source_at, y0, y1)
                so, sh, sw, source_at = (y1 - y0) * OW * L, OW * L, L, -y0 * OW * L
            if chunk == 0:
                bias = tile_full(rows, (0,), x, 0) if patch == first_patch else tile_reload(rows, (0,), memory, bias_at)
                if partial and patch == first_partial:
                    tile_spill(bias, memory, bias_before)
                for oy in range(y0, y1):
                    for ox in range(x0, x1):
                        bias = tile_add(bias, tile_load(rows, (0,), source, source_at + oy * sh + ox * sw, so, 0))
                if patch + 1 < last_patch:
                    tile_spill(bias, memory, bias_at)
                else:
                    if partial:
                        bias = tile_reload_lanes(bias, images, memory, bias_before)
                    tile_sums(bias, dbias, (part * G + g) * O + o, 1, filter_tile * R - o, 0)
            for tap_tile in range(chunk * _CHUNK, min(chunk * _CHUNK + _CHUNK, tap_tiles)):
                q = min(tap_tile * COLUMNS, Q - COLUMNS)
                at = (tap_tile - chunk * _CHUNK) * size
                tile = (
                    tile_full(rows, columns, x, 0) if patch == first_patch else tile_reload(rows, columns, memory, at)
                )
                if partial and patch == first_partial:
                    tile_spill(tile, memory, before + at)
                x_at = n * xn + g * xg + iy0 * xh + ix0 * xw
                if len(a.border) == 0:
                    for oy in range(y0, y1):
                        for ox in range(x0, x1):
                            to = source_at + oy * sh + ox * sw
                            x_from = x_at + oy * SH * xh + ox * SW * xw
                            tile = tile_outer(tile, source, to, so, x, x_from, offsets, q)
                else:
                    # Row by row where all taps are inside along the row; the other outputs column by column.
                    xa, xb = _within(x0, x1, SW, ix0, a.W, a.right)
                    ya, yb = _within(y0, y1, SH, iy0, a.H, a.down)
                    for line in range(y1 - y0 + x1 - x0 - (xb - xa)):
                        down = line >= y1 - y0
                        side = x0 + line - (y1 - y0)
                        oy, ox = (y0, side if side < xa else side - xa + xb) if down else (y0 + line, xa)
                        position, end = (y0, y1) if down else (xa, xb)
                        while position < end:
                            count = end - position
                            if down:
                                oy, count = position, yb - ya if position == ya and yb > ya else 1
                            _starts(a, x, starts, q, x_at, oy, ox, down and count > 1, not down)
                            dy_step, x_step = (sh, SH * xh) if down else (sw, SW * xw)
                            to = source_at + oy * sh + ox * sw
                            for k in range(count):
                                tile = tile_outer(
                                    tile, source, to + k * dy_step, so, _everything(a, x), k * x_step, starts, 0
                                )  # fmt: skip
                            position += count
                if patch + 1 < last_patch:
                    tile_spill(tile, memory, at)
                else:
                    if partial:
                        tile = tile_reload_lanes(tile, images, memory, before + at)
                    sums_at = ((part * G + g) * O + o) * Q + q
                    tile_sums(tile, dweight, sums_at, Q, filter_tile * R - o, tap_tile * COLUMNS - q)


@inlined
def _bounds(a, patch):
    """The block, and the first and last rows and columns, of a patch."""
    rest, column = divmod(patch, a.across)
    n, row = divmod(rest, a.down_patches)
    y0, x0 = row * a.patch_rows, column * a.patch_columns
    x1 = min(x0 + a.patch_columns, a.full_columns)
    if patch >= a.full_patches and a.full == a.NB:  # the last column of a matrix
        n, y0, x0, x1 = 0, 0, a.full_columns, a.OW
    return n, y0, min(y0 + a.patch_rows, a.OH), x0, x1


@inlined
def _within(first, last, stride, start, extent, taps):
    """Of the outputs first ... last - 1 along an axis, those all of whose taps are in the image."""
    begin = min(max(first, (stride - 1 - start) // stride), last)
    return begin, max(begin, min(last, (extent - 1 - start - taps[taps.size - 1]) // stride + 1))


@inlined
def _starts(a, x, starts, q, x_at, oy, ox, rows_inside, columns_inside):
    """Where each tap of a tile begins to read for the outputs from (oy, ox) on; one that is outside reads zeros.

    It is known to be inside along an axis, or asked there. What starts are told from is address 0.
    """
    SH, SW, H, W, down, right = a.SH, a.SW, a.H, a.W, a.down, a.right
    iy, ix = oy * SH + a.iy0, ox * SW + a.ix0
    base = address_of(x) // x.itemsize + x_at + oy * SH * a.xh + ox * SW * a.xw
    nothing = address_of(a.zeros) // x.itemsize
    for c in range(starts.size):
        inside = (rows_inside or 0 <= iy + down[q + c] < H) and (columns_inside or 0 <= ix + right[q + c] < W)
        starts[c] = base + a.offsets[q + c] if inside else nothing


@inlined
def _everything(a, x):
    """All memory, as numbers of the type of x; of a 0 that the compiler knows it would say that nothing is there."""
    return numbers_at(a.nowhere, 1 << 60, x)


@inlined
def _unpool(a, source, at, y0, y1):
    """The gradient of rows y0 ... y1 - 1 of the outputs, from that of their pooling from ``dy[at]`` on."""
    dy, rows, OW, PH, PW, yo, yh, L = a.dy, a.rows, a.OW, a.PH, a.PW, a.yo, a.yh, a.yw
    for r in range(len(rows)):
        for py in range(y0 // PH, y1 // PH):
            for px in range(0, OW // PW, len(a.pooled)):
                pooled_at = at + r * yo + py * yh + px * L
                tile = tile_load((0,), a.pooled, dy, pooled_at, 0, L)
                pixels = tile_load_bytes((0,), a.pooled, dy, a.winners, pooled_at, L)
                to = ((r * (y1 - y0) + py * PH - y0) * OW + px * PW) * L
                put_windows(tile, pixels, source, to, PH, PW, OW, L)


@kernel
def _add_parts(first, last, a, scratch):
    """A task is some numbers of the first part, to which those of the others are added."""
    dweight, dbias, parts = a.dweight, a.dbias, a.parts
    weights, biases = dweight.size // parts, dbias.size // parts
    for i in range(first * _NUMBERS, min(last * _NUMBERS, weights)):
        for part in range(1, parts):
            dweight[i] += dweight[part * weights + i]
        if i < biases:
            for part in range(1, parts):
                dbias[i] += dbias[part * biases + i]
