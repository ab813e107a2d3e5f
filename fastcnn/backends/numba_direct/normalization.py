"""Batch normalization and its gradients on batch-blocked arrays.

A plane, the pixels of one channel in one block of images, is summed lane by lane in the numbers' own type, in several
vectors side by side; lanes and planes are added up in float64. Rows have one pixel; their planes are several blocks.
What is in lanes that hold no image is never added, and they are written as zeros: no chain of layers can make them
grow.
"""

import math

import numba
import numpy as np

from fastcnn.backends.numba_direct._jit import flat, kernel, parallel_kernel
from fastcnn.backends.numba_direct.layout import BlockedArray, empty
from fastcnn.backends.numba_direct.simd import (
    lane_count,
    tile_add,
    tile_add_columns,
    tile_full,
    tile_multiply_add,
    tile_read,
    tile_save,
    tile_store,
    tile_subtract,
)

_TOGETHER = 64  # blocks of rows that make a plane: moments of 1,024 rows by 512 take 0.05 ms instead of 1.15
_ROW, _COLUMNS = (0,), (0,) * 4  # with two sums of each, enough vectors that no addition waits for the one before


def batch_moments(x: BlockedArray) -> tuple[np.ndarray, np.ndarray]:
    """See `fastcnn.functional.batch_norm`: mean and biased variance of each channel, in float64."""
    N, C, P = _sizes(x)
    means, squares = np.empty((2, _planes(x), C))
    mean, var = np.empty((2, C))
    _moments(_ROW, _COLUMNS, x.blocks.reshape(-1), means, squares, mean, var, N, P)
    return mean, var


def batch_norm(x: BlockedArray, mean, invstd, weight, bias) -> BlockedArray:
    """See `fastcnn.functional.batch_norm`."""
    y = empty(x.shape, x.dtype)
    bias = np.zeros_like(mean) if bias is None else flat(bias)
    _normalize(_ROW, x.blocks.reshape(-1), y.blocks.reshape(-1), flat(mean), _scale(invstd, weight), bias, *_sizes(x))
    return y


@np.errstate(invalid="ignore")  # an inf or NaN that came in may make a NaN
def batch_norm_backward(dy: BlockedArray, x: BlockedArray, mean, invstd, weight, training: bool, input_grad: bool):
    """See `fastcnn.functional.batch_norm_backward`."""
    N, C, P = _sizes(x)
    parts = np.empty((2, _planes(x), C))
    dbias, along = np.empty((2, C))
    flat_dy, flat_x, mean = dy.blocks.reshape(-1), x.blocks.reshape(-1), flat(mean)
    _gradient_sums(_ROW, _COLUMNS, flat_dy, flat_x, mean, parts[0], parts[1], dbias, along, N, P)
    dx, dweight = None, along * invstd
    if input_grad and training:
        dx = empty(x.shape, x.dtype)
        level, slope = (dbias / (N * P)).astype(x.dtype), (dweight * invstd / (N * P)).astype(x.dtype)
        flat_dx = dx.blocks.reshape(-1)
        _input_gradient(_ROW, flat_dy, flat_x, flat_dx, mean, _scale(invstd, weight), level, slope, N, C, P)
    elif input_grad:
        dx = batch_norm(dy, np.zeros_like(mean), invstd, weight, None)
    return dx, dweight.astype(x.dtype), dbias.astype(x.dtype)


def _sizes(x: BlockedArray) -> tuple[int, int, int]:
    """Images, channels, and pixels of a channel."""
    return x.shape[0], x.shape[1], math.prod(x.shape[2:])


def _planes(x: BlockedArray) -> int:
    """How many planes a channel has."""
    N, _, P = _sizes(x)
    whole, rest = divmod(N, x.blocks.shape[-1])
    return (-(-whole // _TOGETHER) if P == 1 else whole) + (rest > 0)


def _scale(invstd: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    return flat(invstd) if weight is None else invstd * weight


@numba.njit(inline="always")
def _plane(x, k, c, N, C, P):
    """Plane k of channel c: where its first vector is, how far apart they are, how many, and how many lanes count."""
    L = lane_count(x)
    together = _TOGETHER if P == 1 else 1
    block = min(k * together, N // L)  # with fewer images, the last block is a plane by itself
    if block == N // L:
        blocks, images = 1, N % L
    else:
        blocks, images = min(together, N // L - block), L
    return (block * C + c) * P * L, C * L if P == 1 else L, blocks * P, images


@numba.njit(inline="always")
def _plane_sums(row, columns, a, b, shift_a, shift_b, at, step, P, images):
    """Sums of ``a - shift_a`` and of ``(a - shift_a) * (b - shift_b)`` over a plane, in float64."""
    L, COLUMNS = lane_count(a), len(columns)
    zeros_a, zeros_b = tile_full(row, columns, a, shift_a), tile_full(row, columns, b, shift_b)
    total, products = tile_full(row, columns, a, 0), tile_full(row, columns, a, 0)
    whole = P - P % COLUMNS
    for p in range(0, whole, COLUMNS):
        value = tile_subtract(tile_read(row, columns, a, at + p * step, 0, step), zeros_a)
        other = tile_subtract(tile_read(row, columns, b, at + p * step, 0, step), zeros_b)
        total, products = tile_add(total, value), tile_multiply_add(value, other, products)
    zero_a, zero_b = tile_full(row, row, a, shift_a), tile_full(row, row, b, shift_b)
    rest, rest_products = tile_add_columns(total), tile_add_columns(products)
    for p in range(whole, P):
        value = tile_subtract(tile_read(row, row, a, at + p * step, 0, 0), zero_a)
        other = tile_subtract(tile_read(row, row, b, at + p * step, 0, 0), zero_b)
        rest, rest_products = tile_add(rest, value), tile_multiply_add(value, other, rest_products)
    lanes = np.empty(2 * L, a.dtype)
    tile_save(rest, lanes, 0)
    tile_save(rest_products, lanes, L)
    sum_a, sum_products = 0.0, 0.0
    for lane in range(images):
        sum_a, sum_products = sum_a + lanes[lane], sum_products + lanes[L + lane]
    return sum_a, sum_products


@parallel_kernel
def _moments(row, columns, x, means, squares, mean, var, N, P):
    """Parallel over planes and channels: a thread writes only its plane's mean and sum of squared deviations.

    The corrected two-pass algorithm: deviations from a first mean correct that mean and the squares, so that rounding
    in the first does no harm. T. F. Chan, G. H. Golub and R. J. LeVeque, "Algorithms for computing the sample variance:
    analysis and recommendations", The American Statistician 37 (1983), have it, and how planes are put together.
    """
    planes, C = means.shape
    for task in numba.prange(planes * C):
        k, c = divmod(np.intp(task), C)
        at, step, vectors, images = _plane(x, k, c, N, C, P)
        count = vectors * images
        first = x.dtype.type(_plane_sums(row, columns, x, x, 0, 0, at, step, vectors, images)[0] / count)
        total, square = _plane_sums(row, columns, x, x, first, first, at, step, vectors, images)
        means[k, c] = first + total / count
        square -= total * total / count
        squares[k, c] = 0 if square < 0 else square  # NaN stays
    _merge_moments(x, means, squares, mean, var, N, P)


@kernel
def _merge_moments(x, means, squares, mean, var, N, P):
    """Mean and variance of each channel from those of its planes."""
    planes, C = means.shape
    mean[:], var[:] = 0, 0
    for k in range(planes):
        _, _, vectors, images = _plane(x, k, 0, N, C, P)
        for c in range(C):
            mean[c] += means[k, c] * (vectors * images)
    mean /= N * P
    for k in range(planes):
        _, _, vectors, images = _plane(x, k, 0, N, C, P)
        for c in range(C):
            var[c] += squares[k, c] + (means[k, c] - mean[c]) ** 2 * (vectors * images)
    var /= N * P


@parallel_kernel
def _normalize(one, x, y, mean, scale, shift, N, C, P):
    """Parallel over planes (block, channel): a thread writes only its plane."""
    L = lane_count(x)
    for task in numba.prange((N + L - 1) // L * C):
        plane = np.intp(task)
        block, c = divmod(plane, C)
        center, factor = tile_full(one, one, x, mean[c]), tile_full(one, one, x, scale[c])
        level = tile_full(one, one, x, shift[c])
        for p in range(plane * P, (plane + 1) * P):
            deviation = tile_subtract(tile_read(one, one, x, p * L, 0, 0), center)
            tile_store(tile_multiply_add(deviation, factor, level), y, p * L, 0, 0, 0, 0)
        if block == N // L:  # some lanes hold no image
            for i in range(plane * P * L, (plane + 1) * P * L, L):
                y[i + N % L : i + L] = 0


@parallel_kernel
def _gradient_sums(row, columns, dy, x, mean, totals, products, dbias, along, N, P):
    """Parallel over planes and channels: a thread writes only its plane's sums of dy and of dy * (x - mean)."""
    planes, C = totals.shape
    for task in numba.prange(planes * C):
        k, c = divmod(np.intp(task), C)
        at, step, vectors, images = _plane(x, k, c, N, C, P)
        totals[k, c], products[k, c] = _plane_sums(row, columns, dy, x, 0, mean[c], at, step, vectors, images)
    _add_planes(totals, dbias)
    _add_planes(products, along)


@kernel
def _add_planes(parts, sums):
    """Sums of each channel from those of its planes."""
    sums[:] = 0
    for k in range(len(parts)):
        for c in range(len(sums)):
            sums[c] += parts[k, c]


@parallel_kernel
def _input_gradient(one, dy, x, dx, mean, scale, level, slope, N, C, P):
    """Parallel over planes (block, channel): a thread writes only its plane."""
    L = lane_count(x)
    for task in numba.prange((N + L - 1) // L * C):
        plane = np.intp(task)
        block, c = divmod(plane, C)
        center, factor = tile_full(one, one, x, mean[c]), tile_full(one, one, x, scale[c])
        constant, rise = tile_full(one, one, x, -level[c] * scale[c]), tile_full(one, one, x, -slope[c] * scale[c])
        for p in range(plane * P, (plane + 1) * P):
            deviation = tile_subtract(tile_read(one, one, x, p * L, 0, 0), center)
            through = tile_multiply_add(tile_read(one, one, dy, p * L, 0, 0), factor, constant)
            tile_store(tile_multiply_add(deviation, rise, through), dx, p * L, 0, 0, 0, 0)
        if block == N // L:  # some lanes hold no image
            for i in range(plane * P * L, (plane + 1) * P * L, L):
                dx[i + N % L : i + L] = 0
