"""Convolution and its gradients: one matrix product each, over all pixels of the batch.

The columns of a batch are (C*KH*KW, N*OH*OW), so each group takes one BLAS call for the whole batch. One product per
image would leave its result in NCHW, but it took 1.2 times as long for LeNet's C3, forward and backward, and 2 times
for C5, where it multiplies a matrix by a vector.
"""

import numpy as np

from fastcnn._geometry import Windows
from fastcnn.backends.numpy_im2col import activations
from fastcnn.backends.numpy_im2col.patches import inside, padded, padded_extent, patches, taps
from fastcnn.backends.numpy_im2col.pooling import max_pool2d, max_pool2d_backward


@np.errstate(invalid="ignore")
def conv2d(x, weight, bias, windows: Windows, groups: int):
    """See `fastcnn.functional.conv2d`."""
    rows = weight.reshape(groups, len(weight) // groups, -1)  # (groups, O/groups, C/groups*KH*KW)
    y = rows @ _columns(x, windows, groups)  # (groups, O/groups, N*OH*OW)
    y = y.reshape(len(weight), len(x), windows.OH, windows.OW)  # (O, N, OH, OW)
    if bias is not None:
        y += bias[:, None, None, None]
    return np.ascontiguousarray(y.swapaxes(0, 1))  # (N, O, OH, OW)


def conv2d_relu(x, weight, bias, windows: Windows, groups: int):
    """See `fastcnn.nn.fusion`."""
    return activations.relu(conv2d(x, weight, bias, windows, groups))


def conv2d_max_pool2d(x, weight, bias, windows: Windows, groups: int, pool: Windows, relu: bool):
    """See `fastcnn.nn.fusion`."""
    y, indices = max_pool2d(conv2d(x, weight, bias, windows, groups), pool)
    if relu:
        y = activations.relu(y)
        indices = np.where(y == 0, -1, indices)  # no winner
    return y, indices


def conv2d_max_pool2d_backward(
    dy, winners, x, weight, windows: Windows, groups: int, pool: Windows, input_grad: bool, weight_grad: bool
):
    """See `fastcnn.nn.fusion`."""
    dy = max_pool2d_backward(dy, winners, (len(x), len(weight), windows.OH, windows.OW), pool)
    return conv2d_backward(dy, x, weight, windows, groups, input_grad, weight_grad)


@np.errstate(invalid="ignore")
def conv2d_backward(dy, x, weight, windows: Windows, groups: int, input_grad: bool, weight_grad: bool):
    """See `fastcnn.functional.conv2d_backward`."""
    dx = dweight = dbias = None
    if weight_grad:
        dy_rows = dy.swapaxes(0, 1).reshape(groups, len(weight) // groups, -1)  # (groups, O/groups, N*OH*OW)
        # The transposed product is 1.4 times faster than dy_rows @ columns.T, as the long matrix comes first.
        dweight = _columns(x, windows, groups) @ dy_rows.swapaxes(1, 2)  # (groups, C/groups*KH*KW, O/groups)
        dweight = np.ascontiguousarray(dweight.swapaxes(1, 2)).reshape(weight.shape)  # (O, C/groups, KH, KW)
        dbias = dy_rows.sum(axis=2).reshape(-1)  # (O,)
    if input_grad:
        dx = input_gradient(dy, weight, windows, groups)
    return dx, dweight, dbias


@np.errstate(invalid="ignore")
def input_gradient(dy, weight, windows: Windows, groups: int):
    """Gradient of `conv2d` by its input; `conv_transpose2d` is the same operation."""
    dy_rows = dy.swapaxes(0, 1).reshape(groups, len(weight) // groups, -1)  # (groups, O/groups, N*OH*OW)
    rows = weight.reshape(groups, len(weight) // groups, -1)  # (groups, O/groups, C/groups*KH*KW)
    dcolumns = rows.swapaxes(1, 2) @ dy_rows  # (groups, C/groups*KH*KW, N*OH*OW)
    return _add_columns(dcolumns, (len(dy), weight.shape[1] * groups, windows.H, windows.W), windows)


def _columns(x: np.ndarray, windows: Windows, groups: int) -> np.ndarray:
    """im2col: a copy of all patches, (groups, C/groups*KH*KW, N*OH*OW)."""
    return patches(padded(x, windows), windows).reshape(
        groups, x.shape[1] // groups * windows.KH * windows.KW, len(x) * windows.OH * windows.OW
    )  # (groups, C/groups*KH*KW, N*OH*OW)


def _add_columns(dcolumns: np.ndarray, x_shape: tuple[int, ...], windows: Windows) -> np.ndarray:
    """col2im, the transpose of `_columns`: each pixel of (N, C, H, W) is the sum of its copies in the columns."""
    N, C = x_shape[:2]
    # (C, KH, KW, N, OH, OW)
    dpatches = dcolumns.reshape(C, windows.KH, windows.KW, N, windows.OH, windows.OW)
    dx = np.zeros((C, N, *padded_extent(windows)), dcolumns.dtype)
    for ky, kx, pixels in taps(windows):
        dx[pixels] += dpatches[:, ky, kx]
    return np.ascontiguousarray(inside(dx, windows).swapaxes(0, 1))
