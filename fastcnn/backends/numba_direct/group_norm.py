"""Normalization of each image separately and its gradients, on batch-blocked arrays.

Each image is a lane. So a group of an image's values is a sequence of vectors in its block, and lanes do not depend on
each other. Vectors are summed lane by lane in the arrays' dtype, a few hundred at a time, and these sums in float64. No
statistics are kept for the gradients: computing them again is cheap, because the gradient reads the input anyway. Lanes
that hold no image are left out of all sums. They are written as zeros, so they cannot grow from layer to layer.
"""

import math

import numpy as np

from fastcnn.backends.numba_direct.kernels.plan import zeros
from fastcnn.backends.numba_direct.layout import BlockedArray, empty
from fastcnn.backends.numba_direct.runtime.arguments import numbers_at
from fastcnn.backends.numba_direct.runtime.compile import inlined, kernel
from fastcnn.backends.numba_direct.runtime.memory import aligned
from fastcnn.backends.numba_direct.runtime.processor import VECTOR_BYTES
from fastcnn.backends.numba_direct.simd import (
    lane_count,
    tile_add,
    tile_add_columns,
    tile_load,
    tile_multiply,
    tile_multiply_add,
    tile_relu,
    tile_spill,
    tile_splat,
    tile_store,
    tile_subtract,
    tile_zeros,
)

_TOGETHER = 256  # vectors that are summed in their own dtype
_VECTORS = 512  # about as many in a task of the parameters' gradients
_COLUMNS = (0,) * 4  # with two sums for each, enough vectors that no addition waits for the one before
_PARTS = 2 * VECTOR_BYTES  # bytes of scratch memory for two vectors
_WIDE = 4 * VECTOR_BYTES  # bytes behind them, for a float64 for each of their lanes


def group_norm(x: BlockedArray, groups: int, weight, bias, pixels: int, eps: float) -> BlockedArray:
    """See `fastcnn.functional.group_norm`; the naive backend documents the arguments."""
    return _forward(x, groups, weight, bias, pixels, eps, relu=False)


def group_norm_relu(x: BlockedArray, groups: int, weight, bias, pixels: int, eps: float) -> BlockedArray:
    """See `fastcnn.nn.fusion`."""
    return _forward(x, groups, weight, bias, pixels, eps, relu=True)


def group_norm_backward(
    dy: BlockedArray, x: BlockedArray, groups: int, weight, pixels: int, eps: float, input_grad: bool, weight_grad: bool
):
    """See `fastcnn.functional.group_norm_backward`."""
    given = {"dy": dy.blocks, "x": x.blocks, "statistics": _statistics(x, groups, eps), "columns": _COLUMNS}
    dx = dweight = dbias = None
    if input_grad:
        dx, tasks = empty(x.shape, x.dtype), (len(x.blocks), groups)
        sizes = {"pixels": pixels, "wide": _wide(), **_sizes(x, groups)}
        _input_gradient(tasks, _PARTS + _WIDE, dx=dx.blocks, weight=weight, **given, **sizes)
    if weight_grad:
        dweight, dbias = aligned(weight.shape, x.dtype), aligned(weight.shape, x.dtype)
        vectors = math.prod(x.blocks.shape[:-1]) // weight.size
        chunk = max(1, _VECTORS // vectors)
        sizes = {"pixels": pixels, "chunk": chunk, **_sizes(x, groups)}
        _weight_gradient(-(-weight.size // chunk), _PARTS, dweight=dweight, dbias=dbias, **given, **sizes)
    return dx, dweight, dbias


def _forward(x: BlockedArray, groups: int, weight, bias, pixels: int, eps: float, *, relu: bool) -> BlockedArray:
    y, statistics = empty(x.shape, x.dtype), _statistics(x, groups, eps)
    given = {"x": x.blocks, "statistics": statistics, "weight": weight, "bias": bias, "pixels": pixels, "relu": relu}
    _normalize((len(x.blocks), groups), y=y.blocks, **given, **_sizes(x, groups))
    return y


def _statistics(x: BlockedArray, groups: int, eps: float) -> np.ndarray:
    """Three vectors for each group: the mean, its rounding error, and the reciprocal standard deviation.

    With the rounding error, deviations from a large mean keep all their digits.
    """
    NB, L = len(x.blocks), x.blocks.shape[-1]
    statistics = aligned((NB, groups, 3, L), x.dtype)
    given = {"x": x.blocks, "statistics": statistics, "eps": eps, "wide": _wide(), "columns": _COLUMNS}
    _take_statistics((NB, groups), _PARTS + _WIDE, **given, **_sizes(x, groups))
    return statistics


def _sizes(x: BlockedArray, groups: int) -> dict[str, int]:
    """Number of images, number of groups, and size of a group."""
    return {"N": x.shape[0], "groups": groups, "M": math.prod(x.shape[1:]) // groups}


def _wide() -> np.ndarray:
    """An array of float64, the dtype in which sums of sums are computed."""
    return zeros(1, np.dtype(np.float64))


@inlined
def _add_lanes(total, along, parts, sums):
    """Add the lanes of two vectors to the float64 ``sums``, which has those of ``total`` before those of ``along``."""
    L = lane_count(parts)
    tile_spill(total, parts, 0)
    tile_spill(along, parts, L)
    for i in range(2 * L):
        sums[i] += parts[i]


@inlined
def _moments(x, at, M, statistics, near, columns, parts, sums):
    """Sums over M vectors of deviations from the vector ``statistics[near:]``, and of their squares."""
    one, L, COLUMNS = (0,), lane_count(x), len(columns)
    for i in range(2 * L):
        sums[i] = 0
    for start in range(0, M, _TOGETHER):
        stop = min(start + _TOGETHER, M)
        whole = stop - (stop - start) % COLUMNS
        centres = tile_load(one, columns, statistics, near, 0, 0)
        total, squares = tile_zeros(one, columns, x), tile_zeros(one, columns, x)
        for p in range(start, whole, COLUMNS):
            value = tile_subtract(tile_load(one, columns, x, at + p * L, 0, L), centres)
            total, squares = tile_add(total, value), tile_multiply_add(value, value, squares)
        centre = tile_load(one, one, statistics, near, 0, 0)
        rest, rest_squares = tile_add_columns(total), tile_add_columns(squares)
        for p in range(whole, stop):
            value = tile_subtract(tile_load(one, one, x, at + p * L, 0, 0), centre)
            rest, rest_squares = tile_add(rest, value), tile_multiply_add(value, value, rest_squares)
        _add_lanes(rest, rest_squares, parts, sums)


@inlined
def _products(dy, x, at, vectors, statistics, group, columns):
    """Two vectors: the sum of dy, and the sum of dy times the deviations of x."""
    one, L, COLUMNS = (0,), lane_count(x), len(columns)
    whole = vectors - vectors % COLUMNS
    nears = tile_load(one, columns, statistics, group, 0, 0)
    rests = tile_load(one, columns, statistics, group + L, 0, 0)
    total, along = tile_zeros(one, columns, x), tile_zeros(one, columns, x)
    for p in range(0, whole, COLUMNS):
        value = tile_load(one, columns, dy, at + p * L, 0, L)
        deviation = tile_subtract(tile_subtract(tile_load(one, columns, x, at + p * L, 0, L), nears), rests)
        total, along = tile_add(total, value), tile_multiply_add(value, deviation, along)
    near, left = tile_load(one, one, statistics, group, 0, 0), tile_load(one, one, statistics, group + L, 0, 0)
    rest, rest_along = tile_add_columns(total), tile_add_columns(along)
    for p in range(whole, vectors):
        value = tile_load(one, one, dy, at + p * L, 0, 0)
        deviation = tile_subtract(tile_subtract(tile_load(one, one, x, at + p * L, 0, 0), near), left)
        rest, rest_along = tile_add(rest, value), tile_multiply_add(value, deviation, rest_along)
    return rest, rest_along


# In the next three kernels, a task is a group of a block.


@kernel(writes="statistics")
def _take_statistics(first, last, a, scratch):
    """The corrected two-pass algorithm, as in batch normalization: deviations from a first mean correct that mean."""
    x, statistics, wide, M, eps, columns = a.x, a.statistics, a.wide, a.M, a.eps, a.columns
    L = lane_count(x)
    parts, sums = numbers_at(scratch, 2 * L, x), numbers_at(scratch + _PARTS, 2 * L, wide)
    for task in range(first, last):
        at, near = task * M * L, task * 3 * L
        for i in range(near, near + L):
            statistics[i] = 0
        _moments(x, at, M, statistics, near, columns, parts, sums)
        for lane in range(L):
            statistics[near + lane] = sums[lane] / M
        _moments(x, at, M, statistics, near, columns, parts, sums)
        for lane in range(L):
            mean = sums[lane] / M
            variance = sums[L + lane] / M - mean * mean
            statistics[near + L + lane] = mean
            statistics[near + 2 * L + lane] = 1 / math.sqrt((0 if variance < 0 else variance) + eps)  # NaN stays NaN


@kernel(writes="y")
def _normalize(first, last, a, scratch):
    x, y, statistics, weight, bias, relu = a.x, a.y, a.statistics, a.weight, a.bias, a.relu
    N, groups, M, pixels = a.N, a.groups, a.M, a.pixels
    one, L = (0,), lane_count(x)
    for task in range(first, last):
        at, group = task * M * L, task * 3 * L
        near, rest = tile_load(one, one, statistics, group, 0, 0), tile_load(one, one, statistics, group + L, 0, 0)
        invstd = tile_load(one, one, statistics, group + 2 * L, 0, 0)
        i = task % groups * (M // pixels) % weight.size
        for start in range(at, at + M * L, pixels * L):
            factor = tile_multiply(invstd, tile_splat(one, one, weight, i, 0))
            level = tile_splat(one, one, bias, i, 0)
            i += 1
            for p in range(start, start + pixels * L, L):
                deviation = tile_subtract(tile_subtract(tile_load(one, one, x, p, 0, 0), near), rest)
                value = tile_multiply_add(deviation, factor, level)
                tile_store(tile_relu(value) if relu else value, y, p, 0, 0, 0, 0)
        _clear_idle_lanes(y, task, N, groups, M)


@kernel(writes="dx")
def _input_gradient(first, last, a, scratch):
    """``dx = invstd * (dz - mean(dz) - z * mean(dz * z))`` with ``z = (x - mean) * invstd`` and ``dz = weight * dy``.

    The sums come first, as two vectors: that of ``dz``, and that of ``dz`` times the deviations of x.
    """
    dy, x, dx, statistics, weight, wide = a.dy, a.x, a.dx, a.statistics, a.weight, a.wide
    N, groups, M, pixels, columns = a.N, a.groups, a.M, a.pixels, a.columns
    one, L = (0,), lane_count(x)
    parts, sums = numbers_at(scratch, 2 * L, x), numbers_at(scratch + _PARTS, 2 * L, wide)
    for task in range(first, last):
        at, group = task * M * L, task * 3 * L
        first_weight = task % groups * (M // pixels) % weight.size
        for i in range(2 * L):
            sums[i] = 0
        total, along, held, i = tile_zeros(one, one, x), tile_zeros(one, one, x), 0, first_weight
        for start in range(0, M, pixels):
            factor = tile_splat(one, one, weight, i, 0)
            i += 1
            for p in range(start, start + pixels, _TOGETHER):
                vectors = min(_TOGETHER, start + pixels - p)
                value, value_along = _products(dy, x, at + p * L, vectors, statistics, group, columns)
                total = tile_multiply_add(value, factor, total)
                along = tile_multiply_add(value_along, factor, along)
                held += vectors
                if held >= _TOGETHER:
                    _add_lanes(total, along, parts, sums)
                    total, along, held = tile_zeros(one, one, x), tile_zeros(one, one, x), 0
        _add_lanes(total, along, parts, sums)
        for lane in range(L):
            invstd = statistics[group + 2 * L + lane]
            parts[lane] = -sums[lane] / M * invstd
            parts[L + lane] = -sums[L + lane] / M * invstd * invstd * invstd
        constant, rise = tile_load(one, one, parts, 0, 0, 0), tile_load(one, one, parts, L, 0, 0)
        near, rest = tile_load(one, one, statistics, group, 0, 0), tile_load(one, one, statistics, group + L, 0, 0)
        invstds = tile_load(one, one, statistics, group + 2 * L, 0, 0)
        i = first_weight
        for start in range(at, at + M * L, pixels * L):
            factor = tile_multiply(invstds, tile_splat(one, one, weight, i, 0))
            i += 1
            for p in range(start, start + pixels * L, L):
                deviation = tile_subtract(tile_subtract(tile_load(one, one, x, p, 0, 0), near), rest)
                through = tile_multiply_add(deviation, rise, constant)
                tile_store(tile_multiply_add(tile_load(one, one, dy, p, 0, 0), factor, through), dx, p, 0, 0, 0, 0)
        _clear_idle_lanes(dx, task, N, groups, M)


@kernel(writes="dweight dbias")
def _weight_gradient(first, last, a, scratch):
    """A task is a chunk of the weights: it sums over all values with these weights, block by block."""
    dy, x, dweight, dbias, statistics, columns = a.dy, a.x, a.dweight, a.dbias, a.statistics, a.columns
    N, groups, M, pixels, chunk = a.N, a.groups, a.M, a.pixels, a.chunk
    one, L = (0,), lane_count(x)
    parts = numbers_at(scratch, 2 * L, x)
    size = dweight.size
    for i in range(first * chunk, min(last * chunk, size)):
        sum_weight, sum_bias = 0.0, 0.0
        total, along, held = tile_zeros(one, one, x), tile_zeros(one, one, x), 0
        for block in range((N + L - 1) // L):
            images = min(L, N - block * L)
            for start in range(i * pixels, groups * M, size * pixels):
                group = (block * groups + start // M) * 3 * L
                invstd = tile_load(one, one, statistics, group + 2 * L, 0, 0)
                for p in range(start, start + pixels, _TOGETHER):
                    vectors = min(_TOGETHER, start + pixels - p)
                    at = (block * groups * M + p) * L
                    value, value_along = _products(dy, x, at, vectors, statistics, group, columns)
                    total, along = tile_add(total, value), tile_multiply_add(value_along, invstd, along)
                    held += vectors
                    if held >= _TOGETHER:
                        sum_bias, sum_weight = _with_lanes(total, along, parts, images, sum_bias, sum_weight)
                        total, along, held = tile_zeros(one, one, x), tile_zeros(one, one, x), 0
            if block + 1 >= N // L:  # not all lanes of the next block hold an image
                sum_bias, sum_weight = _with_lanes(total, along, parts, images, sum_bias, sum_weight)
                total, along, held = tile_zeros(one, one, x), tile_zeros(one, one, x), 0
        dweight[i], dbias[i] = sum_weight, sum_bias


@inlined
def _with_lanes(total, along, parts, images, sum_total, sum_along):
    """Add the lanes that hold an image of two vectors to two sums; returns the sums."""
    L = lane_count(parts)
    tile_spill(total, parts, 0)
    tile_spill(along, parts, L)
    for lane in range(images):
        sum_total, sum_along = sum_total + parts[lane], sum_along + parts[L + lane]
    return sum_total, sum_along


@inlined
def _clear_idle_lanes(y, task, N, groups, M):
    """Write zeros to the lanes of a group that hold no image."""
    L = lane_count(y)
    if task // groups == N // L:
        for at in range(task * M * L, (task + 1) * M * L, L):
            for i in range(at + N % L, at + L):
                y[i] = 0
