"""Batch normalization and its gradients on batch-blocked arrays.

A plane is the pixels of one channel in one block of images. It is summed lane by lane in the arrays' dtype, in several
vectors side by side. Lanes and planes are added up in float64. Rows (N, C) have one pixel per channel, so their planes
span several blocks. Lanes that hold no image are left out of all sums. They are written as zeros, so they cannot grow
from layer to layer.
"""

import math

import numpy as np

from fastcnn.backends.numba_direct.kernels.plan import ones, zeros
from fastcnn.backends.numba_direct.layout import BlockedArray, empty
from fastcnn.backends.numba_direct.runtime.arguments import numbers_at
from fastcnn.backends.numba_direct.runtime.compile import inlined, kernel
from fastcnn.backends.numba_direct.runtime.memory import aligned
from fastcnn.backends.numba_direct.runtime.processor import VECTOR_BYTES
from fastcnn.backends.numba_direct.runtime.step import Tasks
from fastcnn.backends.numba_direct.simd import (
    lane_count,
    tile_add,
    tile_add_columns,
    tile_full,
    tile_load,
    tile_multiply_add,
    tile_relu,
    tile_relu_gradient,
    tile_spill,
    tile_store,
    tile_subtract,
)

_TOGETHER = 64  # blocks of rows in a plane: so moments of 1,024 rows by 512 take 0.05 ms instead of 1.15
_CHANNELS = 64  # of a task, in kernels with one result per channel
_COLUMNS = (0,) * 4  # with two sums for each, enough vectors that no addition waits for the one before
_DOUBLE = np.dtype(np.float64)
_LANES = 2 * VECTOR_BYTES  # bytes of scratch memory, for one vector of each sum


def batch_moments(x: BlockedArray) -> tuple[np.ndarray, np.ndarray]:
    """See `fastcnn.functional.batch_norm`: mean and biased variance of each channel, in float64."""
    C, sizes = x.shape[1], _sizes(x)
    planes, mean, var = (aligned(shape, _DOUBLE) for shape in ((_planes(x), C, 2), (C,), (C,)))
    _moments(_tasks(x), _LANES, x=x.blocks, planes=planes, columns=_COLUMNS, **sizes)
    _merge_moments(_chunks(C), x=x.blocks, planes=planes, mean=mean, var=var, **sizes)
    return mean, var


def track_moments(running_mean, running_var, batches, mean, var, count: int, momentum: float | None) -> None:
    """See `fastcnn.functional.batch_norm`; changes the first three arrays."""
    arrays = {"running_mean": running_mean, "running_var": running_var, "batches": batches, "mean": mean, "var": var}
    _track(1, **arrays, count=count, momentum=momentum or 0.0, is_average=momentum is None)


def norm_statistics(mean, var, eps: float, dtype) -> tuple[np.ndarray, np.ndarray]:
    """See `fastcnn.functional.batch_norm`: mean and reciprocal standard deviation, which `batch_norm` takes."""
    rounded, invstd = (aligned(mean.shape, np.dtype(dtype)) for _ in range(2))
    _statistics(_chunks(mean.size), mean=mean, var=var, eps=eps, rounded=rounded, invstd=invstd)
    return rounded, invstd


def batch_norm(x: BlockedArray, mean, invstd, weight, bias) -> BlockedArray:
    """See `fastcnn.functional.batch_norm`."""
    return _forward(x, mean, invstd, weight, bias, relu=False)


def batch_norm_relu(x: BlockedArray, mean, invstd, weight, bias) -> BlockedArray:
    """See `fastcnn.nn.fusion`."""
    return _forward(x, mean, invstd, weight, bias, relu=True)


def batch_norm_backward(
    dy: BlockedArray, x: BlockedArray, mean, invstd, weight, training: bool, input_grad: bool, weight_grad: bool
):
    """See `fastcnn.functional.batch_norm_backward`."""
    return _backward(dy, x, mean, invstd, weight, None, training, input_grad, weight_grad, relu=False)


def batch_norm_relu_backward(
    dy: BlockedArray, x: BlockedArray, mean, invstd, weight, bias, training: bool, input_grad: bool, weight_grad: bool
):
    """See `fastcnn.nn.fusion`."""
    return _backward(dy, x, mean, invstd, weight, bias, training, input_grad, weight_grad, relu=True)


def _forward(x: BlockedArray, mean, invstd, weight, bias, *, relu: bool) -> BlockedArray:
    y = empty(x.shape, x.dtype)
    affine = _affine(mean, invstd, weight, bias)
    _normalize((len(x.blocks), x.shape[1]), x=x.blocks, y=y.blocks, relu=relu, **affine, **_sizes(x))
    return y


def _backward(
    dy: BlockedArray, x: BlockedArray, mean, invstd, weight, bias, training, input_grad, weight_grad, *, relu: bool
):
    C, sizes, dx = x.shape[1], _sizes(x), None
    given: dict = {"dy": dy.blocks, "x": x.blocks, "relu": relu, **_affine(mean, invstd, weight, bias)}
    dweight = dbias = slope = level = zeros(C, x.dtype)
    if weight_grad or training:
        planes = aligned((_planes(x), C, 2), _DOUBLE)
        dweight, dbias, slope, level = (aligned(mean.shape, mean.dtype) for _ in range(4))
        _gradient_sums(_tasks(x), _LANES, **given, planes=planes, columns=_COLUMNS, **sizes)
        sums: dict = {"dweight": dweight, "dbias": dbias, "slope": slope, "level": level}
        _merge_gradients(_chunks(C), planes=planes, invstd=invstd, **sums, N=sizes["N"], P=sizes["P"])
    if input_grad:
        dx, tasks = empty(x.shape, x.dtype), (len(x.blocks), C)
        _input_gradient(tasks, **given, dx=dx.blocks, slope=slope, level=level, training=training, **sizes)
    return (dx, dweight, dbias) if weight_grad else (dx, None, None)


def _affine(mean, invstd, weight, bias) -> dict:
    """Arguments that normalize a batch, with ones for a missing weight and zeros for a missing bias."""
    C, dtype = mean.size, mean.dtype
    weight, bias = ones(C, dtype) if weight is None else weight, zeros(C, dtype) if bias is None else bias
    return {"mean": mean, "invstd": invstd, "weight": weight, "bias": bias}


def _sizes(x: BlockedArray) -> dict[str, int]:
    """Number of images, number of channels, and number of pixels of a channel."""
    return {"N": x.shape[0], "C": x.shape[1], "P": math.prod(x.shape[2:])}


def _planes(x: BlockedArray) -> int:
    """Number of planes of a channel."""
    whole, rest = divmod(x.shape[0], x.blocks.shape[-1])
    return (-(-whole // _TOGETHER) if math.prod(x.shape[2:]) == 1 else whole) + (rest > 0)


def _tasks(x: BlockedArray) -> Tasks:
    """One task for each plane; in batches of images, a block has one plane of each channel."""
    planes = _planes(x)
    return (planes, x.shape[1]) if planes == len(x.blocks) else planes * x.shape[1]


def _chunks(C: int) -> int:
    return -(-C // _CHANNELS)


@inlined
def _channels(first, last, C):
    """The channels of tasks first ... last - 1."""
    return range(first * _CHANNELS, min(last * _CHANNELS, C))


@inlined
def _plane(x, k, c, N, C, P):
    """Plane k of channel c: offset of its first vector, step between vectors, their number, and number of images."""
    L = lane_count(x)
    together = _TOGETHER if P == 1 else 1
    block = min(k * together, N // L)  # a last block that is not full is a plane by itself
    if block == N // L:
        blocks, images = 1, N % L
    else:
        blocks, images = min(together, N // L - block), L
    return (block * C + c) * P * L, C * L if P == 1 else L, blocks * P, images


@inlined
def _plane_sums(columns, a, b, shift_a, shift_b, relu, factor, level, plane, scratch):
    """Sums of ``a - shift_a`` and of ``(a - shift_a) * (b - shift_b)`` over a plane, in float64.

    With ``relu``, they include only values where ``(b - shift_b) * factor + level`` is above zero.
    """
    at, step, vectors, images = plane
    one, L, COLUMNS = (0,), lane_count(a), len(columns)
    zeros_a, zeros_b = tile_full(one, columns, a, shift_a), tile_full(one, columns, b, shift_b)
    factors, levels = tile_full(one, columns, a, factor), tile_full(one, columns, a, level)
    total, products = tile_full(one, columns, a, 0), tile_full(one, columns, a, 0)
    whole = vectors - vectors % COLUMNS
    for p in range(0, whole, COLUMNS):
        value = tile_subtract(tile_load(one, columns, a, at + p * step, 0, step), zeros_a)
        other = tile_subtract(tile_load(one, columns, b, at + p * step, 0, step), zeros_b)
        if relu:
            value = tile_relu_gradient(value, tile_multiply_add(other, factors, levels))
        total, products = tile_add(total, value), tile_multiply_add(value, other, products)
    zero_a, zero_b = tile_full(one, one, a, shift_a), tile_full(one, one, b, shift_b)
    factor_a, level_a = tile_full(one, one, a, factor), tile_full(one, one, a, level)
    rest, rest_products = tile_add_columns(total), tile_add_columns(products)
    for p in range(whole, vectors):
        value = tile_subtract(tile_load(one, one, a, at + p * step, 0, 0), zero_a)
        other = tile_subtract(tile_load(one, one, b, at + p * step, 0, 0), zero_b)
        if relu:
            value = tile_relu_gradient(value, tile_multiply_add(other, factor_a, level_a))
        rest, rest_products = tile_add(rest, value), tile_multiply_add(value, other, rest_products)
    lanes = numbers_at(scratch, 2 * L, a)
    tile_spill(rest, lanes, 0)
    tile_spill(rest_products, lanes, L)
    sum_a, sum_products = 0.0, 0.0
    for lane in range(images):
        sum_a, sum_products = sum_a + lanes[lane], sum_products + lanes[L + lane]
    return sum_a, sum_products


# In the next two kernels, a task is a plane. They compute its mean and its sum of squared deviations, or its sums of dy
# and of dy * (x - mean).


@kernel(writes="planes")
def _moments(first, last, a, scratch):
    """The corrected two-pass algorithm: deviations from a first mean correct that mean and the squares.

    So rounding errors of the first mean do no harm. T. F. Chan, G. H. Golub and R. J. LeVeque, "Algorithms for
    computing the sample variance: analysis and recommendations", The American Statistician 37 (1983), describe this
    algorithm, and how to merge the moments of planes.
    """
    x, planes, N, C, P, columns = a.x, a.planes, a.N, a.C, a.P, a.columns
    for task in range(first, last):
        k, c = divmod(task, C)
        plane = _plane(x, k, c, N, C, P)
        count = plane[2] * plane[3]
        near = x.dtype.type(_plane_sums(columns, x, x, 0, 0, False, 0, 0, plane, scratch)[0] / count)
        total, square = _plane_sums(columns, x, x, near, near, False, 0, 0, plane, scratch)
        planes[2 * task] = near + total / count
        square -= total * total / count
        planes[2 * task + 1] = 0 if square < 0 else square  # NaN stays NaN


@kernel(writes="planes")
def _gradient_sums(first, last, a, scratch):
    dy, x, mean, invstd, weight, bias, relu = a.dy, a.x, a.mean, a.invstd, a.weight, a.bias, a.relu
    planes, N, C, P, columns = a.planes, a.N, a.C, a.P, a.columns
    for task in range(first, last):
        k, c = divmod(task, C)
        plane = _plane(x, k, c, N, C, P)
        scale = invstd[c] * weight[c]
        sums = _plane_sums(columns, dy, x, 0, mean[c], relu, scale, bias[c], plane, scratch)
        planes[2 * task], planes[2 * task + 1] = sums


# In the next four kernels, a task is a chunk of channels.


@kernel(writes="mean var")
def _merge_moments(first, last, a, scratch):
    x, planes, mean, var, N, C, P = a.x, a.planes, a.mean, a.var, a.N, a.C, a.P
    for c in _channels(first, last, C):
        total, square = 0.0, 0.0
        for k in range(planes.size // (2 * C)):
            _, _, vectors, images = _plane(x, k, 0, N, C, P)
            total += planes[2 * (k * C + c)] * (vectors * images)
        total /= N * P
        for k in range(planes.size // (2 * C)):
            _, _, vectors, images = _plane(x, k, 0, N, C, P)
            square += planes[2 * (k * C + c) + 1] + (planes[2 * (k * C + c)] - total) ** 2 * (vectors * images)
        mean[c], var[c] = total, square / (N * P)


@kernel(writes="running_mean running_var batches")
def _track(first, last, a, scratch):
    """A single task for all channels, as they share the count of batches."""
    running_mean, running_var, batches, mean, var = a.running_mean, a.running_var, a.batches, a.mean, a.var
    count, momentum, is_average = a.count, a.momentum, a.is_average
    batches[0] += 1
    step = 1 / max(1, batches[0]) if is_average else momentum
    rest = running_mean.dtype.type(1 - step)
    for c in range(mean.size):
        running_mean[c] = rest * running_mean[c] + step * mean[c]
        running_var[c] = rest * running_var[c] + step * (var[c] * count / (count - 1))


@kernel(writes="rounded invstd")
def _statistics(first, last, a, scratch):
    mean, var, eps, rounded, invstd = a.mean, a.var, a.eps, a.rounded, a.invstd
    for c in _channels(first, last, mean.size):
        rounded[c] = mean[c]
        invstd[c] = 1 / math.sqrt(var[c] + eps)


@kernel(writes="dweight dbias slope level")
def _merge_gradients(first, last, a, scratch):
    """Add up the sums of all planes; ``level`` and ``slope`` account for the batch's mean and variance in dx."""
    planes, invstd, dweight, dbias = a.planes, a.invstd, a.dweight, a.dbias
    level, slope, count = a.level, a.slope, a.N * a.P
    C = invstd.size
    for c in _channels(first, last, C):
        total, along = 0.0, 0.0
        for at in range(2 * c, planes.size, 2 * C):
            total, along = total + planes[at], along + planes[at + 1]
        along *= invstd[c]
        dbias[c], dweight[c] = total, along
        level[c], slope[c] = total / count, along * invstd[c] / count


# In the next two kernels, a task is a plane of a block.


@kernel(writes="y")
def _normalize(first, last, a, scratch):
    x, y, mean, invstd, weight, bias, relu = a.x, a.y, a.mean, a.invstd, a.weight, a.bias, a.relu
    N, C, P = a.N, a.C, a.P
    one = (0,)
    for plane in range(first, last):
        c, L = plane % C, lane_count(x)
        center, factor = tile_full(one, one, x, mean[c]), tile_full(one, one, x, invstd[c] * weight[c])
        level = tile_full(one, one, x, bias[c])
        for at in range(plane * P * L, (plane + 1) * P * L, L):
            deviation = tile_subtract(tile_load(one, one, x, at, 0, 0), center)
            value = tile_multiply_add(deviation, factor, level)
            tile_store(tile_relu(value) if relu else value, y, at, 0, 0, 0, 0)
        _clear_idle_lanes(y, plane, N, C, P)


@kernel(writes="dx")
def _input_gradient(first, last, a, scratch):
    dy, x, dx, mean, invstd, weight, bias = a.dy, a.x, a.dx, a.mean, a.invstd, a.weight, a.bias
    level, slope, training, relu, N, C, P = a.level, a.slope, a.training, a.relu, a.N, a.C, a.P
    one = (0,)
    for plane in range(first, last):
        c, L = plane % C, lane_count(x)
        scale = invstd[c] * weight[c]
        center, factor = tile_full(one, one, x, mean[c]), tile_full(one, one, x, scale)
        constant = tile_full(one, one, x, -level[c] * scale if training else 0)
        rise, shift = tile_full(one, one, x, -slope[c] * scale), tile_full(one, one, x, bias[c])
        for at in range(plane * P * L, (plane + 1) * P * L, L):
            deviation = tile_subtract(tile_load(one, one, x, at, 0, 0), center)
            value = tile_load(one, one, dy, at, 0, 0)
            if relu:
                value = tile_relu_gradient(value, tile_multiply_add(deviation, factor, shift))
            through = tile_multiply_add(value, factor, constant)
            tile_store(tile_multiply_add(deviation, rise, through) if training else through, dx, at, 0, 0, 0, 0)
        _clear_idle_lanes(dx, plane, N, C, P)


@inlined
def _clear_idle_lanes(y, plane, N, C, P):
    """Write zeros to the lanes of a plane that hold no image."""
    L = lane_count(y)
    if plane // C == N // L:
        for at in range(plane * P * L, (plane + 1) * P * L, L):
            for i in range(at + N % L, at + L):
                y[i] = 0
