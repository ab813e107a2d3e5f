"""Activations and dropout, element by element over all lanes."""

import math

import numba

from fastcnn.backends.numba_direct._jit import parallel_kernel
from fastcnn.backends.numba_direct.layout import BlockedArray, empty


def relu(x: BlockedArray) -> BlockedArray:
    """See `fastcnn.functional.relu`."""
    return _map(_relu, x)


def relu_backward(dy: BlockedArray, y: BlockedArray) -> BlockedArray:
    """See `fastcnn.functional.relu_backward`."""
    return _map(_relu_gradient, dy, y)


def leaky_relu(x: BlockedArray, negative_slope: float) -> BlockedArray:
    """See `fastcnn.functional.leaky_relu`."""
    return _map(_leaky_relu, x, negative_slope=x.dtype.type(negative_slope))


def leaky_relu_backward(dy: BlockedArray, x: BlockedArray, negative_slope: float) -> BlockedArray:
    """See `fastcnn.functional.leaky_relu_backward`."""
    return _map(_leaky_relu_gradient, dy, x, negative_slope=x.dtype.type(negative_slope))


def tanh(x: BlockedArray) -> BlockedArray:
    """See `fastcnn.functional.tanh`."""
    return _map(_tanh, x)


def tanh_backward(dy: BlockedArray, y: BlockedArray) -> BlockedArray:
    """See `fastcnn.functional.tanh_backward`."""
    return _map(_tanh_gradient, dy, y)


def scaled_tanh(x: BlockedArray, amplitude: float, slope: float) -> BlockedArray:
    """See `fastcnn.functional.scaled_tanh`."""
    number = x.dtype.type
    return _map(_scaled_tanh, x, amplitude=number(amplitude), slope=number(slope))


def scaled_tanh_backward(dy: BlockedArray, y: BlockedArray, amplitude: float, slope: float) -> BlockedArray:
    """See `fastcnn.functional.scaled_tanh_backward`."""
    number = y.dtype.type
    return _map(_scaled_tanh_gradient, dy, y, amplitude=number(amplitude), slope=number(slope))


def sigmoid(x: BlockedArray) -> BlockedArray:
    """See `fastcnn.functional.sigmoid`."""
    return _map(_sigmoid, x)


def sigmoid_backward(dy: BlockedArray, y: BlockedArray) -> BlockedArray:
    """See `fastcnn.functional.sigmoid_backward`."""
    return _map(_sigmoid_gradient, dy, y)


def dropout(x: BlockedArray, mask: BlockedArray) -> BlockedArray:
    """See `fastcnn.functional.dropout`."""
    return _map(_multiply, x, mask)


def dropout_backward(dy: BlockedArray, mask: BlockedArray) -> BlockedArray:
    """See `fastcnn.functional.dropout_backward`."""
    return _map(_multiply, dy, mask)


def _map(kernel, first: BlockedArray, *others: BlockedArray, **options) -> BlockedArray:
    out = empty(first.shape, first.dtype)
    kernel(out.blocks.reshape(-1), *(array.blocks.reshape(-1) for array in (first, *others)), *options.values())
    return out


# Each kernel is parallel over elements: a thread writes only those it is given.


@parallel_kernel
def _relu(y, x):
    for i in numba.prange(x.size):
        y[i] = 0 if x[i] <= 0 else x[i]  # so written, NaN stays NaN


@parallel_kernel
def _relu_gradient(dx, dy, y):
    for i in numba.prange(dy.size):
        dx[i] = 0 if y[i] <= 0 else dy[i]


@parallel_kernel
def _leaky_relu(y, x, negative_slope):
    for i in numba.prange(x.size):
        y[i] = x[i] if x[i] > 0 else x[i] * negative_slope


@parallel_kernel
def _leaky_relu_gradient(dx, dy, x, negative_slope):
    for i in numba.prange(dy.size):
        dx[i] = dy[i] if x[i] > 0 else dy[i] * negative_slope


@parallel_kernel
def _tanh(y, x):
    for i in numba.prange(x.size):
        y[i] = math.tanh(x[i])


@parallel_kernel
def _tanh_gradient(dx, dy, y):
    for i in numba.prange(dy.size):
        dx[i] = dy[i] * (1 - y[i] * y[i])


@parallel_kernel
def _scaled_tanh(y, x, amplitude, slope):
    for i in numba.prange(x.size):
        y[i] = amplitude * math.tanh(slope * x[i])


@parallel_kernel
def _scaled_tanh_gradient(dx, dy, y, amplitude, slope):
    for i in numba.prange(dy.size):
        dx[i] = dy[i] * slope * (amplitude - y[i] * y[i] / amplitude)


@parallel_kernel
def _sigmoid(y, x):
    for i in numba.prange(x.size):
        small = math.exp(-abs(x[i]))
        y[i] = (1 if x[i] >= 0 else small) / (1 + small)


@parallel_kernel
def _sigmoid_gradient(dx, dy, y):
    for i in numba.prange(dy.size):
        dx[i] = dy[i] * y[i] * (1 - y[i])


@parallel_kernel
def _multiply(y, x, mask):
    for i in numba.prange(x.size):
        y[i] = x[i] * mask[i]
