"""Fully connected layers: convolutions of images of one pixel."""

from fastcnn.backends.numba_direct.kernels.correlate import matrix_plan
from fastcnn.backends.numba_direct.kernels.outer import matrix_gradient_plan, sum_outer
from fastcnn.backends.numba_direct.kernels.plan import zeros
from fastcnn.backends.numba_direct.layout import BlockedArray, empty, last_images


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
        dweight, dbias = sum_outer(dy.blocks, x.blocks, matrix_gradient_plan(NB, C, O, L, last_images(x)))
        dweight = dweight.reshape(weight.shape)
    return dx, dweight, dbias


def _linear(x: BlockedArray, weight, bias, relu: bool) -> BlockedArray:
    (N, C), O, (NB, _, L) = x.shape, len(weight), x.blocks.shape
    y = empty((N, O), x.dtype)
    bias = zeros(O, x.dtype) if bias is None else bias
    matrix_plan(NB, C, O, L, (C, 1), relu)(x=x.blocks, weight=weight, bias=bias, y=y.blocks)
    return y
