"""Activations and dropout, element by element over all lanes."""

import math

from fastcnn.backends.numba_direct.kernels import exp
from fastcnn.backends.numba_direct.layout import BlockedArray, empty, pieces
from fastcnn.backends.numba_direct.runtime.compile import flushing_kernel, inlined, kernel

_BEND = 2 * math.sqrt(2 / math.pi)


def relu(x: BlockedArray) -> BlockedArray:
    """See `fastcnn.functional.relu`."""
    return _map(_relu, x=x)


def relu_backward(dy: BlockedArray, y: BlockedArray) -> BlockedArray:
    """See `fastcnn.functional.relu_backward`."""
    return _map(_relu_gradient, dy=dy, y=y)


def leaky_relu(x: BlockedArray, negative_slope: float) -> BlockedArray:
    """See `fastcnn.functional.leaky_relu`."""
    return _map(_leaky_relu, x=x, negative_slope=negative_slope)


def leaky_relu_backward(dy: BlockedArray, x: BlockedArray, negative_slope: float) -> BlockedArray:
    """See `fastcnn.functional.leaky_relu_backward`."""
    return _map(_leaky_relu_gradient, dy=dy, x=x, negative_slope=negative_slope)


def tanh(x: BlockedArray) -> BlockedArray:
    """See `fastcnn.functional.tanh`."""
    return _map(_tanh, x=x)


def tanh_backward(dy: BlockedArray, y: BlockedArray) -> BlockedArray:
    """See `fastcnn.functional.tanh_backward`."""
    return _map(_tanh_gradient, dy=dy, y=y)


def scaled_tanh(x: BlockedArray, amplitude: float, slope: float) -> BlockedArray:
    """See `fastcnn.functional.scaled_tanh`."""
    return _map(_scaled_tanh, x=x, amplitude=amplitude, slope=slope)


def scaled_tanh_backward(dy: BlockedArray, y: BlockedArray, amplitude: float, slope: float) -> BlockedArray:
    """See `fastcnn.functional.scaled_tanh_backward`."""
    return _map(_scaled_tanh_gradient, dy=dy, y=y, amplitude=amplitude, slope=slope)


def sigmoid(x: BlockedArray) -> BlockedArray:
    """See `fastcnn.functional.sigmoid`."""
    return _map(_sigmoid, x=x)


def sigmoid_backward(dy: BlockedArray, y: BlockedArray) -> BlockedArray:
    """See `fastcnn.functional.sigmoid_backward`."""
    return _map(_sigmoid_gradient, dy=dy, y=y)


def gelu(x: BlockedArray, approximate: str) -> BlockedArray:
    """See `fastcnn.functional.gelu`."""
    return _map(_gelu_tanh if approximate == "tanh" else _gelu, x=x)


def gelu_backward(dy: BlockedArray, x: BlockedArray, approximate: str) -> BlockedArray:
    """See `fastcnn.functional.gelu_backward`."""
    return _map(_gelu_tanh_gradient if approximate == "tanh" else _gelu_gradient, dy=dy, x=x)


def silu(x: BlockedArray) -> BlockedArray:
    """See `fastcnn.functional.silu`."""
    return _map(_silu, x=x)


def silu_backward(dy: BlockedArray, x: BlockedArray) -> BlockedArray:
    """See `fastcnn.functional.silu_backward`."""
    return _map(_silu_gradient, dy=dy, x=x)


def elu(x: BlockedArray, alpha: float) -> BlockedArray:
    """See `fastcnn.functional.elu`."""
    return _map(_elu, x=x, alpha=alpha)


def elu_backward(dy: BlockedArray, x: BlockedArray, alpha: float) -> BlockedArray:
    """See `fastcnn.functional.elu_backward`."""
    return _map(_elu_gradient, dy=dy, x=x, alpha=alpha)


def hardswish(x: BlockedArray) -> BlockedArray:
    """See `fastcnn.functional.hardswish`."""
    return _map(_hardswish, x=x)


def hardswish_backward(dy: BlockedArray, x: BlockedArray) -> BlockedArray:
    """See `fastcnn.functional.hardswish_backward`."""
    return _map(_hardswish_gradient, dy=dy, x=x)


def softplus(x: BlockedArray, beta: float, threshold: float) -> BlockedArray:
    """See `fastcnn.functional.softplus`."""
    return _map(_softplus, x=x, beta=beta, threshold=threshold)


def softplus_backward(dy: BlockedArray, x: BlockedArray, beta: float, threshold: float) -> BlockedArray:
    """See `fastcnn.functional.softplus_backward`."""
    return _map(_softplus_gradient, dy=dy, x=x, beta=beta, threshold=threshold)


def mish(x: BlockedArray) -> BlockedArray:
    """See `fastcnn.functional.mish`."""
    return _map(_mish, x=x)


def mish_backward(dy: BlockedArray, x: BlockedArray) -> BlockedArray:
    """See `fastcnn.functional.mish_backward`."""
    return _map(_mish_gradient, dy=dy, x=x)


def dropout(x: BlockedArray, mask: BlockedArray) -> BlockedArray:
    """See `fastcnn.functional.dropout`."""
    return _map(_multiply, x=x, mask=mask)


def dropout_backward(dy: BlockedArray, mask: BlockedArray) -> BlockedArray:
    """See `fastcnn.functional.dropout_backward`."""
    return _map(_multiply, x=dy, mask=mask)


def _map(kernel, **given) -> BlockedArray:
    """Run an elementwise kernel on batches and numbers; the result has the shape and dtype of the first batch."""
    like = next(iter(given.values()))
    out = empty(like.shape, like.dtype)
    values = {k: v.blocks if isinstance(v, BlockedArray) else like.dtype.type(v) for k, v in given.items()}
    tasks, size = pieces(out)
    kernel(tasks, out=out.blocks, piece=size, **values)
    return out


@inlined
def _elements(first, last, a):
    """The indices of the elements of tasks first ... last - 1."""
    return range(first * a.piece, min(last * a.piece, a.out.size))


@exp.for_each_dtype
def _bent(dtype):
    """Twice the argument of tanh in `fastcnn.functional.gelu`, as (1 + tanh(a)) / 2 is sigmoid(2 a); its derivative.

    Beyond 100, the derivative is that at 100: it is multiplied by zero there and must be finite.
    """
    linear, cubic, three, far = dtype(_BEND), dtype(_BEND * 0.044715), dtype(3), dtype(100)

    def bent(x):
        near = far if abs(x) > far else x
        return x * (linear + x * x * cubic), linear + three * (near * near * cubic)

    return bent


@exp.for_each_dtype
def _tanh_softplus(dtype):
    """``tanh(log(1 + exp(x)))``, by which `fastcnn.functional.mish` multiplies, and its derivative.

    The value is ``n / (n + 2)`` with ``n = exp(2 x) + 2 exp(x)``. Where ``x`` is positive, both terms of the fraction
    are multiplied by ``exp(-2 x)``, so no exponential overflows.
    """
    zero, one, two = dtype(0), dtype(1), dtype(2)

    def tanh_softplus(x):
        e = exp.exp(-abs(x))
        n, rest, part = (one + two * e, two * e * e, one) if x >= zero else (e * (e + two), two, e)
        whole = n + rest
        return n / whole, part / (one + e) * rest * (n + whole) / (whole * whole)

    return tanh_softplus


@kernel(writes="out")
def _relu(first, last, a, scratch):
    out, x = a.out, a.x
    for i in _elements(first, last, a):
        out[i] = 0 if x[i] <= 0 else x[i]  # written so that NaN stays NaN


@kernel(writes="out")
def _relu_gradient(first, last, a, scratch):
    out, dy, y = a.out, a.dy, a.y
    for i in _elements(first, last, a):
        gradient = dy[i]  # read in any case, or the loop would not be vectorized where vectors cannot be read in part
        out[i] = 0 if y[i] <= 0 else gradient


@flushing_kernel(writes="out")
def _leaky_relu(first, last, a, scratch):
    out, x, negative_slope = a.out, a.x, a.negative_slope
    for i in _elements(first, last, a):
        out[i] = x[i] if x[i] > 0 else x[i] * negative_slope


@flushing_kernel(writes="out")
def _leaky_relu_gradient(first, last, a, scratch):
    out, dy, x, negative_slope = a.out, a.dy, a.x, a.negative_slope
    for i in _elements(first, last, a):
        out[i] = dy[i] if x[i] > 0 else dy[i] * negative_slope


@flushing_kernel(writes="out")
def _tanh(first, last, a, scratch):
    out, x = a.out, a.x
    for i in _elements(first, last, a):
        out[i] = exp.tanh(x[i])


@flushing_kernel(writes="out")
def _tanh_gradient(first, last, a, scratch):
    out, dy, y = a.out, a.dy, a.y
    one = y.dtype.type(1)
    for i in _elements(first, last, a):
        out[i] = dy[i] * (one - y[i] * y[i])


@flushing_kernel(writes="out")
def _scaled_tanh(first, last, a, scratch):
    out, x, amplitude, slope = a.out, a.x, a.amplitude, a.slope
    for i in _elements(first, last, a):
        out[i] = amplitude * exp.tanh(slope * x[i])


@flushing_kernel(writes="out")
def _scaled_tanh_gradient(first, last, a, scratch):
    out, dy, y, amplitude, slope = a.out, a.dy, a.y, a.amplitude, a.slope
    for i in _elements(first, last, a):
        out[i] = dy[i] * slope * (amplitude - y[i] * y[i] / amplitude)


@flushing_kernel(writes="out")
def _sigmoid(first, last, a, scratch):
    out, x = a.out, a.x
    for i in _elements(first, last, a):
        out[i], _ = exp.sigmoid(x[i])


@flushing_kernel(writes="out")
def _sigmoid_gradient(first, last, a, scratch):
    out, dy, y = a.out, a.dy, a.y
    one = y.dtype.type(1)
    for i in _elements(first, last, a):
        out[i] = dy[i] * y[i] * (one - y[i])


@flushing_kernel(writes="out")
def _gelu(first, last, a, scratch):
    out, x = a.out, a.x
    for i in _elements(first, last, a):
        below, _ = exp.normal(x[i])
        out[i] = x[i] * below


@flushing_kernel(writes="out")
def _gelu_gradient(first, last, a, scratch):
    out, dy, x = a.out, a.dy, a.x
    for i in _elements(first, last, a):
        below, density = exp.normal(x[i])
        out[i] = dy[i] * (below + x[i] * density)


@flushing_kernel(writes="out")
def _gelu_tanh(first, last, a, scratch):
    out, x = a.out, a.x
    for i in _elements(first, last, a):
        part, _ = exp.sigmoid(_bent(x[i])[0])
        out[i] = x[i] * part


@flushing_kernel(writes="out")
def _gelu_tanh_gradient(first, last, a, scratch):
    out, dy, x = a.out, a.dy, a.x
    one = x.dtype.type(1)
    for i in _elements(first, last, a):
        bent, slope = _bent(x[i])
        part, rest = exp.sigmoid(bent)
        out[i] = dy[i] * part * (one + x[i] * rest * slope)


@flushing_kernel(writes="out")
def _silu(first, last, a, scratch):
    out, x = a.out, a.x
    for i in _elements(first, last, a):
        part, _ = exp.sigmoid(x[i])
        out[i] = x[i] * part


@flushing_kernel(writes="out")
def _silu_gradient(first, last, a, scratch):
    out, dy, x = a.out, a.dy, a.x
    one = x.dtype.type(1)
    for i in _elements(first, last, a):
        part, rest = exp.sigmoid(x[i])
        out[i] = dy[i] * part * (one + x[i] * rest)


@flushing_kernel(writes="out")
def _elu(first, last, a, scratch):
    out, x, alpha = a.out, a.x, a.alpha
    for i in _elements(first, last, a):
        out[i] = x[i] if x[i] > 0 else alpha * exp.expm1(x[i])


@flushing_kernel(writes="out")
def _elu_gradient(first, last, a, scratch):
    out, dy, x, alpha = a.out, a.dy, a.x, a.alpha
    for i in _elements(first, last, a):
        out[i] = dy[i] if x[i] > 0 else dy[i] * alpha * exp.exp(x[i])


@flushing_kernel(writes="out")
def _hardswish(first, last, a, scratch):
    out, x = a.out, a.x
    three, six = x.dtype.type(3), x.dtype.type(6)
    for i in _elements(first, last, a):
        above = 0 if x[i] + three <= 0 else x[i] + three  # written so that NaN stays NaN
        out[i] = x[i] * ((six if above >= six else above) / six)


@flushing_kernel(writes="out")
def _hardswish_gradient(first, last, a, scratch):
    out, dy, x = a.out, a.dy, a.x
    three, half = x.dtype.type(3), x.dtype.type(0.5)
    for i in _elements(first, last, a):
        above = dy[i] if x[i] >= three else dy[i] * (x[i] / three + half)  # written so that NaN stays NaN
        out[i] = 0 if x[i] <= -three else above


@flushing_kernel(writes="out")
def _softplus(first, last, a, scratch):
    out, x, beta, threshold = a.out, a.x, a.beta, a.threshold
    zero = x.dtype.type(0)
    for i in _elements(first, last, a):
        scaled = beta * x[i]
        smooth = (scaled if scaled > zero else zero) + exp.log1p(exp.exp(-abs(scaled)))
        out[i] = x[i] if scaled > threshold else smooth / beta


@flushing_kernel(writes="out")
def _softplus_gradient(first, last, a, scratch):
    out, dy, x, beta, threshold = a.out, a.dy, a.x, a.beta, a.threshold
    for i in _elements(first, last, a):
        part, _ = exp.sigmoid(beta * x[i])
        out[i] = dy[i] if beta * x[i] > threshold else dy[i] * part


@flushing_kernel(writes="out")
def _mish(first, last, a, scratch):
    out, x = a.out, a.x
    for i in _elements(first, last, a):
        part, _ = _tanh_softplus(x[i])
        out[i] = x[i] * part


@flushing_kernel(writes="out")
def _mish_gradient(first, last, a, scratch):
    out, dy, x = a.out, a.dy, a.x
    for i in _elements(first, last, a):
        part, slope = _tanh_softplus(x[i])
        out[i] = dy[i] * (part + x[i] * slope)


@flushing_kernel(writes="out")
def _multiply(first, last, a, scratch):
    out, x, mask = a.out, a.x, a.mask
    for i in _elements(first, last, a):
        out[i] = x[i] * mask[i]
