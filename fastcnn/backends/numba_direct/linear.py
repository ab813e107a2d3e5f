"""Fully connected layers: convolutions of images of one pixel, except for the gradient of the weights.

This gradient sums over the batch: dweight[o, c] = sum over n of dy[n, o] * x[n, c]. So x is unpacked, and its rows fill
the vectors. With images in the lanes, each element of dweight would be a sum of lanes: for one image, the gradient of
LeNet-5's 120 x 400 weights took 65 microseconds that way, and takes 8 this way.
"""

import functools

from fastcnn.backends.numba_direct.kernels.correlate import matrix_plan
from fastcnn.backends.numba_direct.kernels.plan import TASKS, Plan, zeros
from fastcnn.backends.numba_direct.kernels.tiles import choose
from fastcnn.backends.numba_direct.layout import BlockedArray, empty, unpack_into
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
    tile_reload_lanes,
    tile_spill,
    tile_store,
    tile_sums,
)


def linear(x: BlockedArray, weight, bias) -> BlockedArray:
    """See `fastcnn.functional.linear`."""
    return _linear(x, weight, bias, relu=False)


def linear_relu(x: BlockedArray, weight, bias) -> BlockedArray:
    """See `fastcnn.nn.fusion`."""
    return _linear(x, weight, bias, relu=True)


def linear_backward(dy: BlockedArray, x: BlockedArray, weight, input_grad: bool, weight_grad: bool):
    """See `fastcnn.functional.linear_backward`."""
    (N, C), O, (NB, _, L) = x.shape, len(weight), x.blocks.shape
    dx = dweight = dbias = None
    if input_grad:
        dx = empty((N, C), x.dtype)
        plan = matrix_plan(NB, O, C, L, (1, C))
        plan(x=dy.blocks, weight=weight, bias=zeros(C, x.dtype), y=dx.blocks)
    if weight_grad:
        plan = _gradient_plan(N, C, O, L)
        rows = aligned((N * C + len(plan.given["columns"]) * L,), x.dtype)  # longer, so that a tile may begin anywhere
        unpack_into(x, rows)
        dweight, dbias = aligned((O, C), x.dtype), aligned((O,), x.dtype)
        plan(dy=dy.blocks, x=rows, dweight=dweight, dbias=dbias)
    return dx, dweight, dbias


def _linear(x: BlockedArray, weight, bias, relu: bool) -> BlockedArray:
    (N, C), O, (NB, _, L) = x.shape, len(weight), x.blocks.shape
    y = empty((N, O), x.dtype)
    bias = zeros(O, x.dtype) if bias is None else bias
    matrix_plan(NB, C, O, L, (C, 1), relu)(x=x.blocks, weight=weight, bias=bias, y=y.blocks)
    return y


@functools.lru_cache(1024)
def _gradient_plan(N: int, C: int, O: int, L: int) -> Plan:
    rows, columns = choose(O, -(-C // L))
    R, COLUMNS = len(rows), len(columns)
    filter_tiles, column_tiles = -(-O // R), -(-C // (COLUMNS * L))
    shares = min(column_tiles, -(-TASKS // filter_tiles))
    given = {"N": N, "C": C, "O": O, "rows": rows, "columns": columns, "shares": shares}
    return Plan(_weight_gradient, filter_tiles * shares, given, R * COLUMNS * VECTOR_BYTES)


@flushing_kernel(writes="dweight dbias")
def _weight_gradient(first, last, a, scratch):
    """A task is a tile of rows of dweight, and a share of the tiles of its columns."""
    dy, x, dweight, rows, columns = a.dy, a.x, a.dweight, a.rows, a.columns
    N, C, O, R, width, shares = a.N, a.C, a.O, len(rows), len(columns) * lane_count(x), a.shares
    L, column_tiles = lane_count(x), (C + width - 1) // width
    end = numbers_at(scratch, R * width, x)  # a tile that reaches beyond the last column
    for task in range(first, last):
        filter_tile, share = divmod(task, shares)
        o = min(filter_tile * R, O - R)  # the last tile overlaps its neighbour and stores only its own rows
        first_row = filter_tile * R - o
        if share == 0:
            _bias_gradient(a, o, first_row, end)
        for column_tile in range(share * column_tiles // shares, (share + 1) * column_tiles // shares):
            c = column_tile * width
            tile = tile_full(rows, columns, x, 0)
            for n in range(N):
                tile = tile_fma(tile, dy, o * L, L, n // L * O * L + n % L, x, c, L, n * C)
            if c + width <= C:
                tile_store(tile, dweight, o * C + c, C, L, first_row, 0)
                continue
            tile_spill(tile, end, 0)
            for r in range(first_row, R):
                for i in range(C - c):
                    dweight[(o + r) * C + c + i] = end[r * width + i]


@inlined
def _bias_gradient(a, o, first_row, memory):
    """Sums of dy over the batch, without the lanes of the last block that hold no image."""
    dy, rows, N, O, L = a.dy, a.rows, a.N, a.O, lane_count(a.dy)
    total = tile_full(rows, (0,), dy, 0)
    for block in range((N + L - 1) // L):
        tile_spill(total, memory, 0)
        total = tile_add(total, tile_load(rows, (0,), dy, (block * O + o) * L, L, 0))
        if N - block * L < L:
            total = tile_reload_lanes(total, N - block * L, memory, 0)
    tile_sums(total, a.dbias, o, 1, first_row, 0)
