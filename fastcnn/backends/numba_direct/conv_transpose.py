"""Transposed convolution and its gradients: those of the convolution, with its input and its output exchanged."""

import numba
import numpy as np

from fastcnn._geometry import Windows
from fastcnn.backends.numba_direct._jit import parallel_kernel
from fastcnn.backends.numba_direct.conv import conv2d, conv2d_backward
from fastcnn.backends.numba_direct.correlate import input_gradient_plans
from fastcnn.backends.numba_direct.layout import BlockedArray, empty, last_images
from fastcnn.backends.numba_direct.plan import zeros


def conv_transpose2d(x: BlockedArray, weight, bias, windows: Windows, groups: int) -> BlockedArray:
    """See `fastcnn.functional.conv_transpose2d`."""
    O = weight.shape[1] * groups
    y = empty((x.shape[0], O, windows.H, windows.W), x.dtype)
    bias = zeros(O, x.dtype) if bias is None else bias
    for plan in input_gradient_plans(windows, groups, weight.shape, y.blocks.shape):
        plan(x.blocks, weight, bias, y.blocks)  # each writes its own pixels, and the bias there
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


@np.errstate(invalid="ignore")  # an inf that came in may make a NaN
def _channel_sums(dy: BlockedArray) -> np.ndarray:
    """Sum of each channel over images and pixels."""
    NB, C, H, W, L = dy.blocks.shape
    sums = np.empty((NB * C, L), dy.dtype)
    _plane_sums(dy.blocks.reshape(NB * C, H * W, L), sums)
    sums = sums.reshape(NB, C, L)
    if images := last_images(dy):
        sums[-1, :, images:] = 0
    return sums.sum(axis=(0, 2))


@parallel_kernel
def _plane_sums(planes, sums):
    """Parallel over planes: a thread writes only the sums of its plane, one for each lane."""
    for plane in numba.prange(len(planes)):
        sums[plane] = 0
        for pixel in range(planes.shape[1]):
            for lane in range(planes.shape[2]):
                sums[plane, lane] += planes[plane, pixel, lane]
