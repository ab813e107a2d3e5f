"""Products of two images, tap by tap, summed over positions and images: the gradients of filters and bias.

dweight[g, o, q] = sum over n, oy, ox of dy[n, g, o, oy, ox] * x[n, g, iy, ix] with iy = oy * SH + iy0 + ky * DH, where
that lies inside the image, and ix likewise; q counts the taps (c, ky, kx). dbias[g, o] is the same sum of dy alone.

Lanes of the last block that hold no image are ignored: their sums from before that block are restored after it.
"""

import functools
import math
from typing import Any

import numpy as np

from fastcnn._geometry import Windows
from fastcnn.backends.numba_direct.kernels import tiles
from fastcnn.backends.numba_direct.kernels.padding import copy_padded
from fastcnn.backends.numba_direct.kernels.plan import TASKS, Plan, block_strides, in_whole_blocks, tasks_of_parts
from fastcnn.backends.numba_direct.kernels.windows import pool_columns, put_windows
from fastcnn.backends.numba_direct.runtime.arguments import numbers_at
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

_CHUNK = 32  # tiles of taps that a task sums together; half as many if it also has copies of patches
_SHARE = 16  # tiles of filters that use a patch once it is in the second-level cache, or copied with its border
_PATCH_BYTES = 26 * 1024  # of `dy` that all tiles use in turn; it leaves room for `x` in the first-level cache
_NUMBERS = 4096  # elements of a task of `_add_parts`
_BLOCKS_NUMBERS = 1 << 16  # up to this many, each block has its own sums, and can go on to the next step by itself
_NO_WINNERS = np.empty(0, np.int8)


@functools.lru_cache(1024)
def weight_gradient_plan(
    w: Windows, groups: int, weight_shape, blocks_shape, images: int, pool: tuple[int, int] | tuple[()] = ()
) -> Plan | None:
    """Gradients of a convolution's filters and bias, from ``dy`` of its output or of a max-pooling (PH, PW) of it.

    The last block holds ``images`` images; 0 means that it is full. The plan is None if patches of whole windows of the
    pooling would sum in another order than without pooling.
    """
    (O, Cg, KH, KW), (NB, C, H, W, L) = weight_shape, blocks_shape
    n, c, h, pixel = block_strides(C, H, W, L)
    PH, PW = pool or (1, 1)
    yn, yo, yh, yw = block_strides(O, w.OH // PH, w.OW // PW, L)
    given: dict[str, Any] = {
        "NB": NB, "G": groups, "O": O // groups, "OH": w.OH, "OW": w.OW, "H": H, "W": W, "images": images,
        "yn": yn, "yo": yo, "yh": yh, "yw": yw, "xn": n, "xg": Cg * c, "xc": c, "xh": h, "xw": pixel,
        "SH": w.SH, "SW": w.SW, "iy0": -w.top, "ix0": -w.left, "PH": PH, "PW": PW,
    }  # fmt: skip
    rows, _ = tiles.choose(O // groups, Cg * KH * KW, slack=1.15, vectors=tiles.ORDER)
    patch = max(1, _PATCH_BYTES // (len(rows) * VECTOR_BYTES))
    if pool and (PH > 2 or patch < w.OW):
        return None
    # Pairs of rows, pooled or not, so that both sum in the same order. All patches have about the same height.
    columns, pairs = min(w.OW, patch), -(-w.OH // 2)
    height = 2 * -(-pairs // -(-pairs // max(1, patch // (2 * columns))))
    return _plan(given, (Cg, KH, KW), (w.DH, w.DW), height, columns, pool_columns(w.OW // PW) if pool else ())


def _plan(
    given: dict[str, Any], taps: tuple[int, int, int], dilation: tuple[int, int], patch_rows: int, patch_columns: int,
    pooled: tuple[int, ...],
) -> Plan:  # fmt: skip
    """The plan for patches of a few rows and columns of a block."""
    NB, O, OH, OW, images = (given[name] for name in ("NB", "O", "OH", "OW", "images"))
    (Cg, KH, KW), Q = taps, math.prod(taps)
    rows, columns = tiles.choose(O, Q, slack=1.15)
    R, COLUMNS, L = len(rows), len(columns), given["yw"]
    down, across = -(-OH // patch_rows), -(-OW // patch_columns)
    patches, full_patches = NB * down * across, (NB - (images > 0)) * down * across
    reach = (KH - 1) * dilation[0], (KW - 1) * dilation[1]
    bottom = (OH - 1) * given["SH"] + given["iy0"] + reach[0] - given["H"] + 1
    right = (OW - 1) * given["SW"] + given["ix0"] + reach[1] - given["W"] + 1
    border = max(-given["iy0"], -given["ix0"], bottom, right) > 0
    chunk, shares, tasks = _cut(rows, columns, O, Q, given["G"], patches, border)
    in_order = _cut(*tiles.choose(O, Q, slack=1.15, vectors=tiles.ORDER), O, Q, given["G"], patches, border)
    parts = min(patches, -(-TASKS // in_order[2]))
    if NB * given["G"] * O * Q <= _BLOCKS_NUMBERS:
        parts = max(parts, NB)
    parts = in_whole_blocks(parts, NB)
    height, width = (patch_rows - 1) * given["SH"] + reach[0] + 1, (patch_columns - 1) * given["SW"] + reach[1] + 1
    given = given | {
        "rows": rows, "columns": columns, "pooled": pooled, "border": (0,) * border, "shares": shares, "chunk": chunk,
        "patches": patches, "full_patches": full_patches, "parts": parts, "down_patches": down, "across": across,
        "patch_rows": patch_rows, "patch_columns": patch_columns,
        "reach_y": reach[0], "reach_x": reach[1], "taps": KH * KW, "height": height, "width": width,
    }  # fmt: skip
    c, h, pixel = (height * width * L, width * L, L) if border else (given["xc"], given["xh"], given["xw"])
    channel, ky, kx = (grid.reshape(-1) for grid in np.indices(taps))
    given["offsets"] = channel * c + ky * dilation[0] * h + kx * dilation[1] * pixel
    filter_tiles = -(-O // R)
    sums = -(-filter_tiles // shares) * R * (chunk * COLUMNS + 1) * (2 if images else 1)
    vectors = sums + (R * patch_rows * OW if pooled else 0)
    channels = min(Cg, (chunk * COLUMNS + COLUMNS - 2) // (KH * KW) + 2) if border else 0
    scratch = (vectors + channels * height * width) * VECTOR_BYTES
    return Plan(_outer, tasks_of_parts(parts, NB, tasks), given, scratch)


def _cut(rows, columns, O: int, Q: int, groups: int, patches: int, border: bool) -> tuple[int, int, int]:
    """Tiles of taps in a chunk, tasks that share the tiles of filters, and tasks for each part of the batch."""
    filter_tiles, tap_tiles = -(-O // len(rows)), -(-Q // len(columns))
    chunk = min(tap_tiles, _CHUNK // 2 if border else _CHUNK)
    fewest = -(-TASKS // (patches * groups * -(-tap_tiles // chunk)))  # if there are too few patches to share
    shares = min(filter_tiles, max(fewest, -(-filter_tiles // _SHARE)))
    return chunk, shares, groups * shares * -(-tap_tiles // chunk)


def sum_outer(
    dy: np.ndarray, x: np.ndarray, plan: Plan, winners: np.ndarray = _NO_WINNERS
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of the filters, flattened, and of the bias; ``winners`` are those of a pooled ``dy``."""
    k = plan.given
    parts, biases = k["parts"], k["G"] * k["O"]
    weights = biases * len(k["offsets"])
    dweight, dbias = aligned((parts * weights,), dy.dtype), aligned((parts * biases,), dy.dtype)
    plan(dy=dy, winners=winners, x=x, dweight=dweight, dbias=dbias)
    if parts > 1:
        _add_parts(-(-weights // _NUMBERS), dweight=dweight, dbias=dbias, parts=parts)
    return dweight[:weights], dbias[:biases]


@flushing_kernel(writes="dweight dbias")
def _outer(first, last, a, scratch):
    """A task is a chunk of tiles of taps, for a share of the tiles of filters of a group and a part of the batch.

    All tiles use one patch of outputs before the next. With a ``border``, they read a copy of the pixels that the taps
    of the patch read, with zeros outside the image. If ``pooled`` is not empty, ``dy`` and ``winners`` are those of a
    pooling (PH, PW) of the outputs, and ``pooled`` is as long as a tile of pooled outputs. Each patch of a tile of
    filters is then computed from them, and stays in the first-level cache for all taps. Each part of the batch has its
    own sums, which `_add_parts` adds up.
    """
    dy, x, dweight, dbias, rows, columns = a.dy, a.x, a.dweight, a.dbias, a.rows, a.columns
    G, O, OW, SH, SW, taps, width = a.G, a.O, a.OW, a.SH, a.SW, a.taps, a.width
    parts, patches, full_patches, images, offsets = a.parts, a.patches, a.full_patches, a.images, a.offsets
    R, COLUMNS, L, Q = len(rows), len(columns), lane_count(x), offsets.size
    tap_tiles, filter_tiles = (Q + COLUMNS - 1) // COLUMNS, (O + R - 1) // R
    shares, chunk, size = a.shares, a.chunk, R * COLUMNS * L
    chunks, most = (tap_tiles + chunk - 1) // chunk, (filter_tiles + shares - 1) // shares
    room = most * (chunk * size + R * L)
    memory = numbers_at(scratch, 2 * room if images > 0 else room, x)  # sums, and a copy from before a partial block
    patch_at = scratch + memory.size * x.itemsize
    unpooled = numbers_at(patch_at, R * a.patch_rows * OW * L if len(a.pooled) > 0 else 0, x)
    image_at = patch_at + unpooled.size * x.itemsize
    for task in range(first, last):
        rest, tap_chunk = divmod(task, chunks)
        rest, share = divmod(rest, shares)
        part, g = divmod(rest, G)
        first_filters, last_filters = share * filter_tiles // shares, (share + 1) * filter_tiles // shares
        first_taps, last_taps = tap_chunk * chunk, min(tap_chunk * chunk + chunk, tap_tiles)
        first_patch, last_patch = part * patches // parts, (part + 1) * patches // parts
        partial = images > 0 and last_patch > full_patches
        first_partial = max(first_patch, full_patches)
        for patch in range(first_patch, last_patch):
            n, y0, y1, x0, x1 = _bounds(a, patch)
            iy, ix = y0 * SH + a.iy0, x0 * SW + a.ix0
            image, image_start, xh, xw = x, n * a.xn + g * a.xg + iy * a.xh + ix * a.xw, SH * a.xh, SW * a.xw
            if len(a.border) > 0:
                c = min(first_taps * COLUMNS, Q - COLUMNS) // taps
                channels = (min(last_taps * COLUMNS, Q) - 1) // taps + 1 - c
                image = numbers_at(image_at, channels * a.height * width * L, x)
                copy_padded(
                    x, n * a.xn + g * a.xg + c * a.xc, channels, a.H, a.W, iy, (y1 - y0 - 1) * SH + a.reach_y + 1,
                    ix, (x1 - x0 - 1) * SW + a.reach_x + 1, image, a.height * width * L, width * L,
                )  # fmt: skip
                image_start, xh, xw = -c * a.height * width * L, SH * width * L, SW * L
            for filter_tile in range(first_filters, last_filters):
                o = min(filter_tile * R, O - R)  # the last tile overlaps its neighbour and stores only its own rows
                source, so, sh, sw, source_at = dy, a.yo, a.yh, a.yw, n * a.yn + (g * O + o) * a.yo
                if len(a.pooled) > 0:
                    source, so, sh, sw = unpooled, (y1 - y0) * OW * L, OW * L, L
                    _unpool(a, source, source_at, y0, y1)
                    source_at = 0
                else:
                    source_at += y0 * sh + x0 * sw
                at = (filter_tile - first_filters) * (chunk * size + R * L)
                if tap_chunk == 0:
                    bias = tile_full(rows, (0,), x, 0) if patch == first_patch else tile_reload(rows, (0,), memory, at)
                    if partial and patch == first_partial:
                        tile_spill(bias, memory, room + at)
                    for oy in range(y1 - y0):
                        for ox in range(x1 - x0):
                            bias = tile_add(bias, tile_load(rows, (0,), source, source_at + oy * sh + ox * sw, so, 0))
                    if patch + 1 < last_patch:
                        tile_spill(bias, memory, at)
                    else:
                        if partial:
                            bias = tile_reload_lanes(bias, images, memory, room + at)
                        tile_sums(bias, dbias, (part * G + g) * O + o, 1, filter_tile * R - o, 0)
                at += R * L
                for tap_tile in range(first_taps, last_taps):
                    q = min(tap_tile * COLUMNS, Q - COLUMNS)
                    if patch == first_patch:
                        tile = tile_full(rows, columns, x, 0)
                    else:
                        tile = tile_reload(rows, columns, memory, at)
                    if partial and patch == first_partial:
                        tile_spill(tile, memory, room + at)
                    for oy in range(y1 - y0):
                        for ox in range(x1 - x0):
                            to, x_from = source_at + oy * sh + ox * sw, image_start + oy * xh + ox * xw
                            tile = tile_outer(tile, source, to, so, image, x_from, offsets, q)
                    if patch + 1 < last_patch:
                        tile_spill(tile, memory, at)
                    else:
                        if partial:
                            tile = tile_reload_lanes(tile, images, memory, room + at)
                        sums_at = ((part * G + g) * O + o) * Q + q
                        tile_sums(tile, dweight, sums_at, Q, filter_tile * R - o, tap_tile * COLUMNS - q)
                    at += size


@inlined
def _bounds(a, patch):
    """The block of a patch, its rows y0 ... y1 - 1 and its columns x0 ... x1 - 1."""
    rest, column = divmod(patch, a.across)
    n, row = divmod(rest, a.down_patches)
    y0, x0 = row * a.patch_rows, column * a.patch_columns
    return n, y0, min(y0 + a.patch_rows, a.OH), x0, min(x0 + a.patch_columns, a.OW)


@inlined
def _unpool(a, source, at, y0, y1):
    """The gradient of rows y0 ... y1 - 1 of the outputs, from the gradient of their pooling at ``dy[at]``."""
    dy, rows, OW, PH, PW, yo, yh, L = a.dy, a.rows, a.OW, a.PH, a.PW, a.yo, a.yh, a.yw
    for r in range(len(rows)):
        for py in range(y0 // PH, y1 // PH):
            for px in range(0, OW // PW, len(a.pooled)):
                pooled_at = at + r * yo + py * yh + px * L
                tile = tile_load((0,), a.pooled, dy, pooled_at, 0, L)
                pixels = tile_load_bytes((0,), a.pooled, dy, a.winners, pooled_at, L)
                to = ((r * (y1 - y0) + py * PH - y0) * OW + px * PW) * L
                put_windows(tile, pixels, source, to, PH, PW, OW, L)


@kernel(writes="dweight dbias")
def _add_parts(first, last, a, scratch):
    """A task is some numbers of the first part, to which those of the other parts are added."""
    dweight, dbias, parts = a.dweight, a.dbias, a.parts
    weights, biases = dweight.size // parts, dbias.size // parts
    for i in range(first * _NUMBERS, min(last * _NUMBERS, weights)):
        for part in range(1, parts):
            dweight[i] += dweight[part * weights + i]
        if i < biases:
            for part in range(1, parts):
                dbias[i] += dbias[part * biases + i]
