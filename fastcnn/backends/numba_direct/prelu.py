"""ReLU with learned slopes (PReLU) and its gradients, on batch-blocked arrays.

The gradient of a slope is summed as in batch normalization. The pixels of one channel in one block are summed lane by
lane in the arrays' dtype. Then the lanes that hold an image, and the blocks, are added up in float64.
"""

import math

import numpy as np

from fastcnn.backends.numba_direct.layout import BlockedArray, empty
from fastcnn.backends.numba_direct.runtime.arguments import numbers_at
from fastcnn.backends.numba_direct.runtime.compile import flushing_kernel, kernel
from fastcnn.backends.numba_direct.runtime.memory import aligned
from fastcnn.backends.numba_direct.runtime.processor import VECTOR_BYTES
from fastcnn.backends.numba_direct.runtime.step import Tasks
from fastcnn.backends.numba_direct.simd import (
    lane_count,
    tile_add_columns,
    tile_load,
    tile_multiply_add,
    tile_relu,
    tile_relu_gradient,
    tile_spill,
    tile_subtract,
    tile_zeros,
)

_COLUMNS = (0,) * 4  # enough vectors that no addition waits for the one before


def prelu(x: BlockedArray, weight) -> BlockedArray:
    """See `fastcnn.functional.prelu`."""
    y = empty(x.shape, x.dtype)
    _prelu(_planes(x), x=x.blocks, y=y.blocks, weight=weight, **_sizes(x))
    return y


def prelu_backward(dy: BlockedArray, x: BlockedArray, weight, input_grad: bool, weight_grad: bool):
    """See `fastcnn.functional.prelu_backward`."""
    given, sizes = {"dy": dy.blocks, "x": x.blocks}, _sizes(x)
    dx = dweight = None
    if input_grad:
        dx = empty(x.shape, x.dtype)
        _prelu_gradient(_planes(x), dx=dx.blocks, weight=weight, **given, **sizes)
    if weight_grad:
        planes, dweight = aligned((len(x.blocks), x.shape[1]), np.dtype(np.float64)), aligned(weight.shape, x.dtype)
        _slope_sums(_planes(x), VECTOR_BYTES, planes=planes, columns=_COLUMNS, N=x.shape[0], **given, **sizes)
        _merge_slopes(1, planes=planes, dweight=dweight)
    return dx, dweight


def _planes(x: BlockedArray) -> Tasks:
    return len(x.blocks), x.shape[1]


def _sizes(x: BlockedArray) -> dict[str, int]:
    """Number of channels, and number of pixels of a channel."""
    return {"C": x.shape[1], "P": math.prod(x.shape[2:])}


# In the next three kernels, a task is a plane: the pixels of a channel in a block.


@flushing_kernel(writes="y")
def _prelu(first, last, a, scratch):
    x, y, weight, C, P = a.x, a.y, a.weight, a.C, a.P
    for plane in range(first, last):
        slope, size = weight[plane % C % weight.size], P * lane_count(x)
        for i in range(plane * size, (plane + 1) * size):
            y[i] = x[i] if x[i] > 0 else x[i] * slope


@flushing_kernel(writes="dx")
def _prelu_gradient(first, last, a, scratch):
    dy, x, dx, weight, C, P = a.dy, a.x, a.dx, a.weight, a.C, a.P
    for plane in range(first, last):
        slope, size = weight[plane % C % weight.size], P * lane_count(x)
        for i in range(plane * size, (plane + 1) * size):
            dx[i] = dy[i] if x[i] > 0 else dy[i] * slope


@flushing_kernel(writes="planes")
def _slope_sums(first, last, a, scratch):
    """Sums of ``x * dy`` where x is not above zero, computed as sums of ``relu(-x) * dy`` with the opposite sign."""
    dy, x, planes, N, C, P, columns = a.dy, a.x, a.planes, a.N, a.C, a.P, a.columns
    one, L, COLUMNS = (0,), lane_count(x), len(columns)
    lanes = numbers_at(scratch, L, x)
    for plane in range(first, last):
        at, images = plane * P * L, min(L, N - plane // C * L)
        nothing, total = tile_zeros(one, columns, x), tile_zeros(one, columns, x)
        whole = P - P % COLUMNS
        for p in range(at, at + whole * L, COLUMNS * L):
            opposite = tile_subtract(nothing, tile_load(one, columns, x, p, 0, L))
            value = tile_relu_gradient(tile_load(one, columns, dy, p, 0, L), opposite)
            total = tile_multiply_add(tile_relu(opposite), value, total)
        zero, rest = tile_zeros(one, one, x), tile_add_columns(total)
        for p in range(at + whole * L, at + P * L, L):
            opposite = tile_subtract(zero, tile_load(one, one, x, p, 0, 0))
            value = tile_relu_gradient(tile_load(one, one, dy, p, 0, 0), opposite)
            rest = tile_multiply_add(tile_relu(opposite), value, rest)
        tile_spill(rest, lanes, 0)
        total_of_plane = 0.0
        for lane in range(images):
            total_of_plane -= lanes[lane]
        planes[plane] = total_of_plane


@kernel(writes="dweight")
def _merge_slopes(first, last, a, scratch):
    """A single task adds up the planes of each slope, block by block."""
    planes, dweight = a.planes, a.dweight
    for c in range(dweight.size):
        total = 0.0
        for plane in range(c, planes.size, dweight.size):
            total += planes[plane]
        dweight[c] = total
