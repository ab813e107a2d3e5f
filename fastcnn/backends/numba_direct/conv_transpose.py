"""Transposed convolution and its gradients: those of a convolution with input and output exchanged."""

import math

import numpy as np

from fastcnn._geometry import Windows
from fastcnn.backends.numba_direct.conv import conv2d, conv2d_backward, may_be_winograds
from fastcnn.backends.numba_direct.kernels.correlate import input_gradient_plans
from fastcnn.backends.numba_direct.kernels.plan import zeros
from fastcnn.backends.numba_direct.layout import BlockedArray, empty, last_images
from fastcnn.backends.numba_direct.runtime.arguments import numbers_at
from fastcnn.backends.numba_direct.runtime.compile import kernel
from fastcnn.backends.numba_direct.runtime.memory import aligned
from fastcnn.backends.numba_direct.runtime.processor import VECTOR_BYTES
from fastcnn.backends.numba_direct.simd import (
    lane_count,
    tile_add,
    tile_full,
    tile_load,
    tile_reload_lanes,
    tile_spill,
    tile_sums,
)

_ONE = (0,)  # a tile of one vector is (_ONE, _ONE)


def conv_transpose2d(x: BlockedArray, weight, bias, windows: Windows, groups: int) -> BlockedArray:
    """See `fastcnn.functional.conv_transpose2d`."""
    O = weight.shape[1] * groups
    y = empty((x.shape[0], O, windows.H, windows.W), x.dtype)
    bias = zeros(O, x.dtype) if bias is None else bias
    for plan in input_gradient_plans(windows, groups, weight.shape, y.blocks.shape, may_be_winograds(x.dtype)):
        plan(x=x.blocks, weight=weight, bias=bias, y=y.blocks)  # each plan writes its own pixels, with the bias
    return y


def conv_transpose2d_backward(
    dy: BlockedArray, x: BlockedArray, weight, windows: Windows, groups: int, input_grad: bool, weight_grad: bool
):
    """See `fastcnn.functional.conv_transpose2d_backward`."""
    dx = dweight = dbias = None
    if input_grad:
        dx = conv2d(dy, weight, None, windows, groups)
    if weight_grad:
        _, dweight, _ = conv2d_backward(x, dy, weight, windows, groups, False, True)
        dbias = _channel_sums(dy)
    return dx, dweight, dbias


def _channel_sums(dy: BlockedArray) -> np.ndarray:
    """Sum of each channel over images and pixels."""
    C = dy.shape[1]
    sums = aligned((C,), dy.dtype)
    _sum_channels(
        C, VECTOR_BYTES, dy=dy.blocks, sums=sums, blocks=len(dy.blocks), pixels=math.prod(dy.shape[2:]),
        images=last_images(dy),
    )  # fmt: skip
    return sums


@kernel(writes="sums")
def _sum_channels(first, last, a, scratch):
    """A task is a channel. Lanes of the last block that hold no image are left out.

    ``images`` is the number of images in the last block, or 0 if it is full.
    """
    dy, sums, blocks, pixels, images = a.dy, a.sums, a.blocks, a.pixels, a.images
    L, before = lane_count(dy), numbers_at(scratch, lane_count(dy), dy)
    for channel in range(first, last):
        total = tile_full(_ONE, _ONE, dy, 0)
        for block in range(blocks):
            plane = tile_full(_ONE, _ONE, dy, 0)
            for pixel in range(pixels):
                at = ((block * sums.size + channel) * pixels + pixel) * L
                plane = tile_add(plane, tile_load(_ONE, _ONE, dy, at, 0, 0))
            tile_spill(total, before, 0)
            total = tile_add(total, plane)
        if images > 0:
            total = tile_reload_lanes(total, images, before, 0)
        tile_sums(total, sums, channel, 1, 0, 0)
