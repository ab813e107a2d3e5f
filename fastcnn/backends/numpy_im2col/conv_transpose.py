"""Transposed convolution and its gradients: those of a convolution with input and output exchanged."""

import numpy as np

from fastcnn._geometry import Windows
from fastcnn.backends.numpy_im2col.conv import conv2d, conv2d_backward, input_gradient


@np.errstate(invalid="ignore")
def conv_transpose2d(x, weight, bias, windows: Windows, groups: int):
    """See `fastcnn.functional.conv_transpose2d`."""
    y = input_gradient(x, weight, windows, groups)
    if bias is not None:
        y += bias[:, None, None]
    return y


@np.errstate(invalid="ignore")
def conv_transpose2d_backward(dy, x, weight, windows: Windows, groups: int, input_grad: bool, weight_grad: bool):
    """See `fastcnn.functional.conv_transpose2d_backward`."""
    dx = dweight = dbias = None
    if input_grad:
        dx = conv2d(dy, weight, None, windows, groups)
    if weight_grad:
        _, dweight, _ = conv2d_backward(x, dy, weight, windows, groups, False, True)
        dbias = dy.sum(axis=(0, 2, 3))
    return dx, dweight, dbias
