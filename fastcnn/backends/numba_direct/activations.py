"""Activations and dropout, element by element over all lanes."""

import math

import numba
import numpy as np

from fastcnn.backends.numba_direct import exp
from fastcnn.backends.numba_direct._jit import parallel_kernel
from fastcnn.backends.numba_direct.denormals import flush_denormals, restore_denormals
from fastcnn.backends.numba_direct.layout import BlockedArray, empty

_CHUNK = 4096  # numbers that a task takes
_BEND = 2 * math.sqrt(2 / math.pi)


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


def gelu(x: BlockedArray, approximate: str) -> BlockedArray:
    """See `fastcnn.functional.gelu`."""
    return _map(_gelu_tanh if approximate == "tanh" else _gelu, x)


def gelu_backward(dy: BlockedArray, x: BlockedArray, approximate: str) -> BlockedArray:
    """See `fastcnn.functional.gelu_backward`."""
    return _map(_gelu_tanh_gradient if approximate == "tanh" else _gelu_gradient, dy, x)


def silu(x: BlockedArray) -> BlockedArray:
    """See `fastcnn.functional.silu`."""
    return _map(_silu, x)


def silu_backward(dy: BlockedArray, x: BlockedArray) -> BlockedArray:
    """See `fastcnn.functional.silu_backward`."""
    return _map(_silu_gradient, dy, x)


def elu(x: BlockedArray, alpha: float) -> BlockedArray:
    """See `fastcnn.functional.elu`."""
    return _map(_elu, x, alpha=x.dtype.type(alpha))


def elu_backward(dy: BlockedArray, x: BlockedArray, alpha: float) -> BlockedArray:
    """See `fastcnn.functional.elu_backward`."""
    return _map(_elu_gradient, dy, x, alpha=x.dtype.type(alpha))


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


@numba.njit(inline="always")
def _tasks(x):
    return (x.size + _CHUNK - 1) // _CHUNK


@numba.njit(inline="always")
def _share(task, x):
    """The elements that a task is about: unsigned, as Numba would ask of a signed place whether it counts from the end.

    Loops that ask are half as fast.
    """
    start = np.uintp(task) * np.uintp(_CHUNK)
    return start, min(start + np.uintp(_CHUNK), np.uintp(x.size))


@exp.for_each_dtype
def _bent(dtype):
    """What `fastcnn.functional.gelu` takes tanh of, doubled, as (1 + tanh(a)) / 2 is sigmoid(2 a); its derivative.

    Beyond 100 the derivative is that at 100: it is multiplied by zero there, and must not be infinite.
    """
    linear, cubic, three, far = dtype(_BEND), dtype(_BEND * 0.044715), dtype(3), dtype(100)

    def bent(x):
        near = far if abs(x) > far else x
        return x * (linear + x * x * cubic), linear + three * (near * near * cubic)

    return bent


# Each kernel is parallel over elements, most of them over chunks: a thread writes only those it is given.


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
    for task in numba.prange(_tasks(x)):
        mode = flush_denormals()
        start, stop = _share(task, x)
        for i in range(start, stop):
            y[i] = x[i] if x[i] > 0 else x[i] * negative_slope
        restore_denormals(mode)


@parallel_kernel
def _leaky_relu_gradient(dx, dy, x, negative_slope):
    for task in numba.prange(_tasks(x)):
        mode = flush_denormals()
        start, stop = _share(task, x)
        for i in range(start, stop):
            dx[i] = dy[i] if x[i] > 0 else dy[i] * negative_slope
        restore_denormals(mode)


@parallel_kernel
def _tanh(y, x):
    for task in numba.prange(_tasks(x)):
        mode = flush_denormals()
        start, stop = _share(task, x)
        for i in range(start, stop):
            y[i] = exp.tanh(x[i])
        restore_denormals(mode)


@parallel_kernel
def _tanh_gradient(dx, dy, y):
    for task in numba.prange(_tasks(y)):
        mode = flush_denormals()
        start, stop = _share(task, y)
        one = y.dtype.type(1)
        for i in range(start, stop):
            dx[i] = dy[i] * (one - y[i] * y[i])
        restore_denormals(mode)


@parallel_kernel
def _scaled_tanh(y, x, amplitude, slope):
    for task in numba.prange(_tasks(x)):
        mode = flush_denormals()
        start, stop = _share(task, x)
        for i in range(start, stop):
            y[i] = amplitude * exp.tanh(slope * x[i])
        restore_denormals(mode)


@parallel_kernel
def _scaled_tanh_gradient(dx, dy, y, amplitude, slope):
    for task in numba.prange(_tasks(y)):
        mode = flush_denormals()
        start, stop = _share(task, y)
        for i in range(start, stop):
            dx[i] = dy[i] * slope * (amplitude - y[i] * y[i] / amplitude)
        restore_denormals(mode)


@parallel_kernel
def _sigmoid(y, x):
    for task in numba.prange(_tasks(x)):
        mode = flush_denormals()
        start, stop = _share(task, x)
        for i in range(start, stop):
            y[i], _ = exp.sigmoid(x[i])
        restore_denormals(mode)


@parallel_kernel
def _sigmoid_gradient(dx, dy, y):
    for task in numba.prange(_tasks(y)):
        mode = flush_denormals()
        start, stop = _share(task, y)
        one = y.dtype.type(1)
        for i in range(start, stop):
            dx[i] = dy[i] * y[i] * (one - y[i])
        restore_denormals(mode)


@parallel_kernel
def _gelu(y, x):
    for task in numba.prange(_tasks(x)):
        mode = flush_denormals()
        start, stop = _share(task, x)
        for i in range(start, stop):
            below, _ = exp.normal(x[i])
            y[i] = x[i] * below
        restore_denormals(mode)


@parallel_kernel
def _gelu_gradient(dx, dy, x):
    for task in numba.prange(_tasks(x)):
        mode = flush_denormals()
        start, stop = _share(task, x)
        for i in range(start, stop):
            below, density = exp.normal(x[i])
            dx[i] = dy[i] * (below + x[i] * density)
        restore_denormals(mode)


@parallel_kernel
def _gelu_tanh(y, x):
    for task in numba.prange(_tasks(x)):
        mode = flush_denormals()
        start, stop = _share(task, x)
        for i in range(start, stop):
            part, _ = exp.sigmoid(_bent(x[i])[0])
            y[i] = x[i] * part
        restore_denormals(mode)


@parallel_kernel
def _gelu_tanh_gradient(dx, dy, x):
    for task in numba.prange(_tasks(x)):
        mode = flush_denormals()
        start, stop = _share(task, x)
        one = x.dtype.type(1)
        for i in range(start, stop):
            bent, slope = _bent(x[i])
            part, rest = exp.sigmoid(bent)
            dx[i] = dy[i] * part * (one + x[i] * rest * slope)
        restore_denormals(mode)


@parallel_kernel
def _silu(y, x):
    for task in numba.prange(_tasks(x)):
        mode = flush_denormals()
        start, stop = _share(task, x)
        for i in range(start, stop):
            part, _ = exp.sigmoid(x[i])
            y[i] = x[i] * part
        restore_denormals(mode)


@parallel_kernel
def _silu_gradient(dx, dy, x):
    for task in numba.prange(_tasks(x)):
        mode = flush_denormals()
        start, stop = _share(task, x)
        one = x.dtype.type(1)
        for i in range(start, stop):
            part, rest = exp.sigmoid(x[i])
            dx[i] = dy[i] * part * (one + x[i] * rest)
        restore_denormals(mode)


@parallel_kernel
def _elu(y, x, alpha):
    for task in numba.prange(_tasks(x)):
        mode = flush_denormals()
        start, stop = _share(task, x)
        for i in range(start, stop):
            y[i] = x[i] if x[i] > 0 else alpha * exp.expm1(x[i])
        restore_denormals(mode)


@parallel_kernel
def _elu_gradient(dx, dy, x, alpha):
    for task in numba.prange(_tasks(x)):
        mode = flush_denormals()
        start, stop = _share(task, x)
        for i in range(start, stop):
            dx[i] = dy[i] if x[i] > 0 else dy[i] * alpha * exp.exp(x[i])
        restore_denormals(mode)


@parallel_kernel
def _multiply(y, x, mask):
    for task in numba.prange(_tasks(x)):
        mode = flush_denormals()
        start, stop = _share(task, x)
        for i in range(start, stop):
            y[i] = x[i] * mask[i]
        restore_denormals(mode)
