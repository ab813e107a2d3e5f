"""Direct convolution on register tiles, and both gradients.

Two operations do everything: `correlate` slides filters over images, `outer` multiplies two images tap by tap. Their
kernels take flat arrays and the strides of every axis, in elements, so nothing is copied or rearranged. Reading the
filters in place is as fast as packing them for the tiles.
"""

from typing import Any

import numpy as np

from fastcnn._convolution import get_convolution
from fastcnn._geometry import Windows
from fastcnn.backends.numba_direct.kernels.correlate import forward_plan, input_gradient_plans, pooled_plan
from fastcnn.backends.numba_direct.kernels.outer import sum_outer, weight_gradient_plan
from fastcnn.backends.numba_direct.kernels.plan import zeros
from fastcnn.backends.numba_direct.kernels.winograd_gradient import gradient_suits_winograd, winograd_gradient_plan
from fastcnn.backends.numba_direct.layout import BlockedArray, empty, flatten, last_images, unflatten
from fastcnn.backends.numba_direct.linear import linear, linear_backward, linear_relu
from fastcnn.backends.numba_direct.pooling import max_pool2d_backward, put_back, tiled, window_maxima
from fastcnn.backends.numba_direct.runtime.memory import aligned


def conv2d(x: BlockedArray, weight, bias, windows: Windows, groups: int) -> BlockedArray:
    """See `fastcnn.functional.conv2d`."""
    return _conv2d(x, weight, bias, windows, groups, relu=False)


def conv2d_relu(x: BlockedArray, weight, bias, windows: Windows, groups: int) -> BlockedArray:
    """See `fastcnn.nn.fusion`."""
    return _conv2d(x, weight, bias, windows, groups, relu=True)


def conv2d_max_pool2d(
    x: BlockedArray, weight, bias, windows: Windows, groups: int, pool: Windows, relu: bool
) -> tuple[BlockedArray, BlockedArray | np.ndarray]:
    """See `fastcnn.nn.fusion`; fused where each pixel is in exactly one window of the pooling.

    Then the winner of a window is a byte instead of an index: the number 0, 1, ... of its pixel, or -1 for no winner.
    LeNet-5's C1 writes 150 KB of them for a batch instead of 600.
    """
    shapes, size = (weight.shape, x.blocks.shape), (pool.KH, pool.KW)
    plan = tiled(pool) and pooled_plan(windows, groups, *shapes, size, bool(relu), may_be_winograds(x.dtype))
    if not plan:
        return window_maxima(conv2d(x, weight, bias, windows, groups), pool, relu)
    y = empty((x.shape[0], len(weight), pool.OH, pool.OW), x.dtype)
    winners = aligned(y.blocks.shape, np.dtype(np.int8))
    bias = zeros(len(weight), x.dtype) if bias is None else bias
    plan(x=x.blocks, weight=weight, bias=bias, y=y.blocks, winners=winners)
    return y, winners


def conv2d_backward(
    dy: BlockedArray, x: BlockedArray, weight, windows: Windows, groups: int, input_grad: bool, weight_grad: bool
):
    """See `fastcnn.functional.conv2d_backward`."""
    if covers_image(windows, groups):
        flat = weight.reshape(len(weight), -1)
        dx, dweight, dbias = linear_backward(flatten(dy), flatten(x), flat, input_grad, weight_grad)
        return (
            None if dx is None else unflatten(dx, x.shape[1:]),
            None if dweight is None else dweight.reshape(weight.shape),
            dbias,
        )
    dx = dweight = dbias = None
    winograd = may_be_winograds(x.dtype)
    if input_grad:
        dx = empty(x.shape, x.dtype)
        bias = zeros(x.shape[1], x.dtype)
        for plan in input_gradient_plans(windows, groups, weight.shape, x.blocks.shape, winograd):
            plan(x=dy.blocks, weight=weight, bias=bias, y=dx.blocks)
    if weight_grad:
        shapes = weight.shape, x.blocks.shape, last_images(x)
        if winograd and gradient_suits_winograd(windows, groups, weight.shape):
            dweight, dbias = winograd_gradient_plan(windows, groups, *shapes)(dy.blocks, x.blocks)
        else:
            sums: Any = weight_gradient_plan(windows, groups, *shapes)
            dweight, dbias = sum_outer(dy.blocks, x.blocks, sums)
            dweight = dweight.reshape(weight.shape)
    return dx, dweight, dbias


def conv2d_max_pool2d_backward(
    dy: BlockedArray, winners: BlockedArray | np.ndarray, x: BlockedArray, weight, windows: Windows, groups: int,
    pool: Windows, input_grad: bool, weight_grad: bool,
):  # fmt: skip
    """See `fastcnn.nn.fusion`; without ``input_grad``, the convolution's own ``dy`` is never stored."""
    shape = x.shape[0], len(weight), windows.OH, windows.OW
    if isinstance(winners, BlockedArray):
        dy = max_pool2d_backward(dy, winners, shape, pool)
    else:
        plan = None
        if weight_grad and not input_grad and not covers_image(windows, groups):
            shapes = weight.shape, x.blocks.shape
            plan = weight_gradient_plan(windows, groups, *shapes, last_images(x), (pool.KH, pool.KW))
        if plan:
            dweight, dbias = sum_outer(dy.blocks, x.blocks, plan, winners)
            return None, dweight.reshape(weight.shape), dbias
        dy = put_back(dy, winners, shape, pool)
    return conv2d_backward(dy, x, weight, windows, groups, input_grad, weight_grad)


def _conv2d(x: BlockedArray, weight, bias, windows: Windows, groups: int, relu: bool) -> BlockedArray:
    O = len(weight)
    if covers_image(windows, groups):
        product = linear_relu if relu else linear
        return unflatten(product(flatten(x), weight.reshape(O, -1), bias), (O, 1, 1))
    y = empty((x.shape[0], O, windows.OH, windows.OW), x.dtype)
    bias = zeros(O, x.dtype) if bias is None else bias
    plan = forward_plan(windows, groups, weight.shape, x.blocks.shape, relu, may_be_winograds(x.dtype))
    plan(x=x.blocks, weight=weight, bias=bias, y=y.blocks)
    return y


def may_be_winograds(dtype) -> bool:
    """Whether Winograd's algorithm is allowed for this dtype; float64, chosen for its precision, is always direct."""
    return dtype == np.float32 and get_convolution() == "auto"


def covers_image(windows: Windows, groups: int) -> bool:
    """Whether the only window is the whole image, so that the convolution is a matrix product."""
    w = windows
    return groups == 1 and (w.KH, w.KW) == (w.H, w.W) and (w.OH, w.OW) == (1, 1) and w.DH == w.DW == 1 and _no_pads(w)


def _no_pads(w: Windows) -> bool:
    return w.top == w.bottom == w.left == w.right == 0
