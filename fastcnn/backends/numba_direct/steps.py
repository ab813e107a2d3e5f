"""A net for one image: all of it in one launch, step by step from a table.

Lanes are channels here: an image of C channels is (C / LANES, H, W, LANES), as a batch of a few images would leave most
lanes of the batch-blocked layout empty. Every image has a margin of zeros, wide enough for the padding of every
convolution, so that no tap is outside. A pixel of a convolution is a sum of vectors, the filters' values of one tap,
each times one number of the image; the order of the sum is that of `correlate`, and so are the bits.

Places are elements of ``memory``, those of parameters elements of ``weights``.
"""

from typing import NamedTuple

import numba
import numpy as np

from fastcnn.backends.numba_direct._jit import kernel, one_at_a_time, parallel, taps_inside
from fastcnn.backends.numba_direct.denormals import flush_denormals, restore_denormals
from fastcnn.backends.numba_direct.simd import (
    entry,
    lane_count,
    tile_add,
    tile_divide_columns,
    tile_fma,
    tile_full,
    tile_max,
    tile_multiply_add,
    tile_read,
    tile_relu,
    tile_store,
    tile_subtract,
)

CONV, DEPTHWISE, MAX_POOL, AVG_POOL, RELU, ADD, SCALE, RESIZE = range(8)
_ONE = (0,)
_WORTH_THREADS = 20_000  # vectors times numbers: with fewer, waking a thread takes longer than half of the work


class Step(NamedTuple):
    """What is done to an image, and where everything is: a row of the table."""

    kind: int
    x: int  # place
    other: int  # the place of a second image, for ADD
    y: int  # place
    relu: int  # whether ReLU follows
    C: int
    H: int
    W: int
    O: int
    OH: int
    OW: int
    KH: int = 1
    KW: int = 1
    SH: int = 1
    SW: int = 1
    top: int = 0
    left: int = 0
    DH: int = 1
    DW: int = 1
    weight: int = 0  # filters (blocks of O, taps, LANES); windows' sizes of AVG_POOL; factors of SCALE
    bias: int = 0  # (blocks of O, LANES)
    mean: int = 0  # the same, of SCALE
    taps: int = 0  # where in the list of taps a convolution's begin
    tap_count: int = 0


TABLE = np.dtype([(name, np.int64) for name in Step._fields])


@one_at_a_time
@kernel
def run(table, margin, taps, weights, memory, x, y):
    """Images x, one after the other, to outputs y, both (N, C, H, W) in one dimension each."""
    first, last = table[0], table[len(table) - 1]
    x_size, y_size = first.C * first.H * first.W, last.O * last.OH * last.OW
    for n in range(len(x) // x_size):
        _pack(memory, margin, first, x, n * x_size)
        for i in range(len(table)):
            step = table[i]
            kind = step.kind
            _clear_margin(memory, margin, step.y, step.O, step.OH, step.OW)
            if kind == CONV:
                _convolve(table, i, margin, taps, weights, memory)
            elif kind == DEPTHWISE:
                _depthwise(
                    table, i, margin, weights, memory, (step.C + lane_count(memory) - 1) // lane_count(memory) * step.OH
                )
            elif kind == MAX_POOL:
                _max_pool(step, margin, taps, memory)
            elif kind == AVG_POOL:
                _avg_pool(step, margin, weights, memory)
            elif kind == RESIZE:
                _resize(step, margin, memory)
            else:
                _pointwise(step, margin, weights, memory)
        _unpack(memory, margin, last, y, n * y_size)


@kernel
def _pack(memory, margin, step, x, at):
    """The image of the first step, from ``x[at]`` on."""
    L, place, C, H, W = lane_count(memory), step.x, step.C, step.H, step.W
    _clear_margin(memory, margin, place, C, H, W)
    row, plane, origin = _pitches(memory, margin, H, W)
    for c in range(C):
        block, lane = divmod(c, L)
        for iy in range(H):
            to, start = place + block * plane + origin + iy * row + lane, at + (c * H + iy) * W
            for ix in range(W):
                memory[to + ix * L] = x[start + ix]


@kernel
def _unpack(memory, margin, step, y, at):
    """The output of the last step, to ``y[at]`` on."""
    L, place, O, OH, OW = lane_count(memory), step.y, step.O, step.OH, step.OW
    row, plane, origin = _pitches(memory, margin, OH, OW)
    for o in range(O):
        block, lane = divmod(o, L)
        for oy in range(OH):
            start, to = place + block * plane + origin + oy * row + lane, at + (o * OH + oy) * OW
            for ox in range(OW):
                y[to + ox] = memory[start + ox * L]


@numba.njit(inline="always")
def _blocks(memory, channels):
    """How many vectors hold so many channels."""
    return (channels + lane_count(memory) - 1) // lane_count(memory)


@numba.njit(inline="always")
def _pitches(memory, margin, H, W):
    """Elements from row to row and from block to block, and from a block's beginning to its pixel (0, 0)."""
    L = lane_count(memory)
    row = (W + 2 * margin) * L
    return row, (H + 2 * margin) * row, margin * row + margin * L


@kernel
def _clear_margin(memory, margin, place, C, H, W):
    """Zeros around an image."""
    L = lane_count(memory)
    if margin > 0:
        row, plane, _ = _pitches(memory, margin, H, W)
        for block in range(_blocks(memory, C)):
            start = place + block * plane
            memory[start : start + margin * row] = 0
            memory[start + plane - margin * row : start + plane] = 0
            for iy in range(margin, H + margin):
                memory[start + iy * row : start + iy * row + margin * L] = 0
                memory[start + (iy + 1) * row - margin * L : start + (iy + 1) * row] = 0


@kernel
def _convolve(table, i, margin, taps, weights, memory):
    """The convolution, on one thread or all.

    A tile is eight, four or one pixel of a row, for a block of filters. Sixteen pixels take as long; two blocks of
    filters a tenth less, but each tile is seconds to compile. Where there is one pixel only, four blocks of filters
    keep the multipliers busy.
    """
    step = table[i]
    blocks = _blocks(memory, step.O)
    rows, row = (0, 0, 0, 0, 0, 0, 0, 0), (0, 0, 0, 0)
    if step.OW == 1 and blocks >= 4:
        for task in range((blocks + 3) // 4 * step.OH):
            _line(_ONE, _ONE, row, table, i, margin, taps, weights, memory, task)
    elif step.tap_count * blocks * step.OH * step.OW >= _WORTH_THREADS:
        _convolve_parallel(rows, row, table, i, margin, taps, weights, memory, blocks * step.OH)
    else:
        for task in range(blocks * step.OH):
            _line(rows, row, _ONE, table, i, margin, taps, weights, memory, task)


@parallel
def _convolve_parallel(rows, few, table, i, margin, taps, weights, memory, tasks):
    """Parallel over (block of filters, output row): a thread writes only that row of those filters."""
    for task in numba.prange(tasks):
        _line(rows, few, _ONE, table, i, margin, taps, weights, memory, np.intp(task))


@kernel
def _line(rows, few, columns, table, i, margin, taps, weights, memory, task):
    """One output row of some blocks of filters, in tiles of many pixels, of few and of one."""
    mode, step = flush_denormals(), table[i]
    R, F, COLUMNS = len(rows), len(few), len(columns)
    O, OH, OW = step.O, step.OH, step.OW
    tile, oy = divmod(task, OH)
    block = min(tile * COLUMNS, _blocks(memory, O) - COLUMNS)
    ox = 0
    while OW >= R and OW - ox > F:
        start = min(ox, OW - R)
        _tile(rows, columns, step, margin, taps, weights, memory, block, oy, start)
        ox = start + R
    while OW >= F and ox < OW:
        start = min(ox, OW - F)
        _tile(few, columns, step, margin, taps, weights, memory, block, oy, start)
        ox = start + F
    while ox < OW:
        _tile(_ONE, columns, step, margin, taps, weights, memory, block, oy, ox)
        ox += 1
    restore_denormals(mode)


@kernel
def _tile(rows, columns, step, margin, taps, weights, memory, block, oy, ox):
    """The pixels ox, ox + 1, ... of row oy, for the filters of a few blocks."""
    L = lane_count(memory)
    place, y, H, W, OH, OW, SH, SW = step.x, step.y, step.H, step.W, step.OH, step.OW, step.SH, step.SW
    top, left, first, count = step.top, step.left, step.taps, step.tap_count
    x_row, _, x_origin = _pitches(memory, margin, H, W)
    y_row, y_plane, y_origin = _pitches(memory, margin, OH, OW)
    x_at = place + x_origin + (oy * SH - top) * x_row + (ox * SW - left) * L
    w_at, pitch = step.weight + block * count * L, count * L
    tile = tile_read(rows, columns, weights, step.bias + block * L, 0, L)
    for q in range(count):
        tile = tile_fma(tile, memory, x_at, SW * L, entry(taps, first + q), weights, w_at, pitch, q * L)
    if step.relu:
        tile = tile_relu(tile)
    tile_store(tile, memory, y + block * y_plane + y_origin + oy * y_row + ox * L, L, y_plane, 0, 0)


@parallel
def _depthwise(table, i, margin, weights, memory, tasks):
    """Parallel over (block, output row): a thread writes only that row of that block."""
    for task in numba.prange(tasks):
        _depthwise_line(table, i, margin, weights, memory, np.intp(task))


@kernel
def _depthwise_line(table, i, margin, weights, memory, task):
    """One output row of a convolution that has a filter for each channel."""
    mode, step, L = flush_denormals(), table[i], lane_count(memory)
    KH, KW, SW, DH, DW = step.KH, step.KW, step.SW, step.DH, step.DW
    x_row, x_plane, x_origin = _pitches(memory, margin, step.H, step.W)
    y_row, y_plane, y_origin = _pitches(memory, margin, step.OH, step.OW)
    block, oy = divmod(task, step.OH)
    x_at = step.x + block * x_plane + x_origin + (oy * step.SH - step.top) * x_row - step.left * L
    y_at = step.y + block * y_plane + y_origin + oy * y_row
    for ox in range(step.OW):
        total = tile_read(_ONE, _ONE, weights, step.bias + block * L, 0, 0)
        for ky in range(KH):
            for kx in range(KW):
                pixel = tile_read(_ONE, _ONE, memory, x_at + ky * DH * x_row + (ox * SW + kx * DW) * L, 0, 0)
                tap = tile_read(_ONE, _ONE, weights, step.weight + ((block * KH + ky) * KW + kx) * L, 0, 0)
                total = tile_multiply_add(pixel, tap, total)
        if step.relu:
            total = tile_relu(total)
        tile_store(total, memory, y_at + ox * L, 0, 0, 0, 0)
    restore_denormals(mode)


@kernel
def _max_pool(step, margin, taps, memory):
    """The greatest of each window, or NaN."""
    L = lane_count(memory)
    C, H, W, OH, OW, KH, KW, SH, SW = (
        step.C,
        step.H,
        step.W,
        step.OH,
        step.OW,
        step.KH,
        step.KW,
        step.SH,
        step.SW,
    )
    top, left, DH, DW = step.top, step.left, step.DH, step.DW
    x_row, x_plane, x_origin = _pitches(memory, margin, H, W)
    y_row, y_plane, y_origin = _pitches(memory, margin, OH, OW)
    for block in range(_blocks(memory, C)):
        for oy in range(OH):
            iy = oy * SH - top
            first_ky, last_ky = taps_inside(KH, iy, DH, H)
            for ox in range(OW):
                ix = ox * SW - left
                first_kx, last_kx = taps_inside(KW, ix, DW, W)
                best, nobody = tile_full(_ONE, _ONE, memory, -np.inf), tile_full(_ONE, _ONE, taps, 0)
                at = step.x + block * x_plane + x_origin + iy * x_row + ix * L
                for ky in range(first_ky, last_ky):
                    for kx in range(first_kx, last_kx):
                        best, nobody = tile_max(best, nobody, memory, at + ky * DH * x_row + kx * DW * L, 0, 0)
                if step.relu:
                    best = tile_relu(best)
                tile_store(best, memory, step.y + block * y_plane + y_origin + oy * y_row + ox * L, 0, 0, 0, 0)


@kernel
def _avg_pool(step, margin, weights, memory):
    """The sum of each window, divided by its number in ``weights``."""
    L = lane_count(memory)
    C, H, W, OH, OW, KH, KW, SH, SW = (
        step.C,
        step.H,
        step.W,
        step.OH,
        step.OW,
        step.KH,
        step.KW,
        step.SH,
        step.SW,
    )
    top, left = step.top, step.left
    x_row, x_plane, x_origin = _pitches(memory, margin, H, W)
    y_row, y_plane, y_origin = _pitches(memory, margin, OH, OW)
    for block in range(_blocks(memory, C)):
        for oy in range(OH):
            first_ky, last_ky = taps_inside(KH, oy * SH - top, 1, H)
            for ox in range(OW):
                first_kx, last_kx = taps_inside(KW, ox * SW - left, 1, W)
                at = step.x + block * x_plane + x_origin + (oy * SH - top) * x_row + (ox * SW - left) * L
                total = tile_full(_ONE, _ONE, memory, 0)
                for ky in range(first_ky, last_ky):
                    for kx in range(first_kx, last_kx):
                        total = tile_add(total, tile_read(_ONE, _ONE, memory, at + ky * x_row + kx * L, 0, 0))
                mean = tile_divide_columns(total, weights, step.weight + oy * OW + ox)
                if step.relu:
                    mean = tile_relu(mean)
                tile_store(mean, memory, step.y + block * y_plane + y_origin + oy * y_row + ox * L, 0, 0, 0, 0)


@kernel
def _pointwise(step, margin, weights, memory):
    """ReLU, the sum of two images, or (x - mean) * factor + bias for each channel."""
    mode = flush_denormals()
    L = lane_count(memory)
    kind, C, H, W = step.kind, step.C, step.H, step.W
    row, plane, origin = _pitches(memory, margin, H, W)
    for block in range(_blocks(memory, C)):
        for iy in range(H):
            at = block * plane + origin + iy * row
            for ix in range(W):
                value = tile_read(_ONE, _ONE, memory, step.x + at + ix * L, 0, 0)
                if kind == ADD:
                    value = tile_add(value, tile_read(_ONE, _ONE, memory, step.other + at + ix * L, 0, 0))
                elif kind == SCALE:
                    deviation = tile_subtract(value, tile_read(_ONE, _ONE, weights, step.mean + block * L, 0, 0))
                    factor = tile_read(_ONE, _ONE, weights, step.weight + block * L, 0, 0)
                    level = tile_read(_ONE, _ONE, weights, step.bias + block * L, 0, 0)
                    value = tile_multiply_add(deviation, factor, level)
                if step.relu:
                    value = tile_relu(value)
                tile_store(value, memory, step.y + at + ix * L, 0, 0, 0, 0)
    restore_denormals(mode)


@kernel
def _resize(step, margin, memory):
    """The first O channels; zeros where there are fewer."""
    L = lane_count(memory)
    C, H, W, O = step.C, step.H, step.W, step.O
    _, plane, _ = _pitches(memory, margin, H, W)
    for block in range(_blocks(memory, O)):
        x, y, kept = step.x + block * plane, step.y + block * plane, min(L, max(0, C - block * L))
        for i in range(0, plane, L):
            for lane in range(kept):
                memory[y + i + lane] = memory[x + i + lane]
            for lane in range(kept, L):
                memory[y + i + lane] = 0
