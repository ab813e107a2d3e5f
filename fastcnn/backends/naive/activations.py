"""Activations and dropout, element by element.

``x <= 0`` and ``x > 0`` are both False for NaN. Each function uses the comparison that treats NaN as PyTorch does.
"""

import math

import numpy as np

_SQRT_2_BY_PI = math.sqrt(2 / math.pi)


def relu(x):
    """See `fastcnn.functional.relu`."""
    return _each(lambda v: 0.0 if v <= 0 else v, x)


def relu_backward(dy, y):
    """See `fastcnn.functional.relu_backward`."""
    return _each(lambda d, v: 0.0 if v <= 0 else d, dy, y)


def leaky_relu(x, negative_slope: float):
    """See `fastcnn.functional.leaky_relu`."""
    return _each(lambda v: v if v > 0 else negative_slope * v, x)


def leaky_relu_backward(dy, x, negative_slope: float):
    """See `fastcnn.functional.leaky_relu_backward`."""
    return _each(lambda d, v: d if v > 0 else negative_slope * d, dy, x)


def tanh(x):
    """See `fastcnn.functional.tanh`."""
    return _each(math.tanh, x)


def tanh_backward(dy, y):
    """See `fastcnn.functional.tanh_backward`."""
    return _each(lambda d, v: d * (1 - v * v), dy, y)


def scaled_tanh(x, amplitude: float, slope: float):
    """See `fastcnn.functional.scaled_tanh`."""
    return _each(lambda v: amplitude * math.tanh(slope * v), x)


def scaled_tanh_backward(dy, y, amplitude: float, slope: float):
    """See `fastcnn.functional.scaled_tanh_backward`."""
    return _each(lambda d, v: d * slope * (amplitude - v * v / amplitude), dy, y)


def sigmoid(x):
    """See `fastcnn.functional.sigmoid`; the argument of exp is never positive, so it cannot overflow."""
    return _each(_sigmoid, x)


def sigmoid_backward(dy, y):
    """See `fastcnn.functional.sigmoid_backward`."""
    return _each(lambda d, v: d * v * (1 - v), dy, y)


def silu(x):
    """See `fastcnn.functional.silu`."""
    return _each(lambda v: v * _sigmoid(v), x)


def silu_backward(dy, x):
    """See `fastcnn.functional.silu_backward`; ``1 - sigmoid(x)`` is ``sigmoid(-x)``."""
    return _each(lambda d, v: d * _sigmoid(v) * (1 + v * _sigmoid(-v)), dy, x)


def elu(x, alpha: float):
    """See `fastcnn.functional.elu`."""
    return _each(lambda v: v if v > 0 else alpha * math.expm1(v), x)


def elu_backward(dy, x, alpha: float):
    """See `fastcnn.functional.elu_backward`."""
    return _each(lambda d, v: d if v > 0 else d * alpha * math.exp(v), dy, x)


def gelu(x, approximate: str):
    """See `fastcnn.functional.gelu`."""
    if approximate == "tanh":
        return _each(lambda v: v * _sigmoid(2 * _SQRT_2_BY_PI * (v + 0.044715 * v * v * v)), x)
    return _each(lambda v: v * _normal(v), x)


def gelu_backward(dy, x, approximate: str):
    """See `fastcnn.functional.gelu_backward`."""

    def by_tanh(d, v):
        inner = 2 * _SQRT_2_BY_PI * (v + 0.044715 * v * v * v)
        slope = 2 * _SQRT_2_BY_PI * (1 + 3 * 0.044715 * v * v)
        return d * _sigmoid(inner) * (1 + v * _sigmoid(-inner) * slope)

    def exact(d, v):
        return d * (_normal(v) + v * math.exp(-v * v / 2) / math.sqrt(2 * math.pi))

    return _each(by_tanh if approximate == "tanh" else exact, dy, x)


def hardswish(x):
    """See `fastcnn.functional.hardswish`."""
    return _each(lambda v: v * min(max(v + 3, 0.0), 6.0) / 6, x)


def hardswish_backward(dy, x):
    """See `fastcnn.functional.hardswish_backward`."""
    return _each(lambda d, v: 0.0 if v <= -3 else d if v >= 3 else d * (v / 3 + 0.5), dy, x)


def softplus(x, beta: float, threshold: float):
    """See `fastcnn.functional.softplus`."""
    return _each(lambda v: v if beta * v > threshold else _softplus(beta * v) / beta, x)


def softplus_backward(dy, x, beta: float, threshold: float):
    """See `fastcnn.functional.softplus_backward`."""
    return _each(lambda d, v: d if beta * v > threshold else d * _sigmoid(beta * v), dy, x)


def mish(x):
    """See `fastcnn.functional.mish`."""
    return _each(lambda v: v * math.tanh(_softplus(v)), x)


def mish_backward(dy, x):
    """See `fastcnn.functional.mish_backward`."""

    def gradient(d, v):
        part = math.tanh(_softplus(v))
        return d * (part + v * _sigmoid(v) * (1 - part * part))

    return _each(gradient, dy, x)


def dropout(x, mask):
    """See `fastcnn.functional.dropout`."""
    return _each(lambda v, m: v * m, x, mask)


def dropout_backward(dy, mask):
    """See `fastcnn.functional.dropout_backward`."""
    return _each(lambda d, m: d * m, dy, mask)


def _sigmoid(v: float) -> float:
    return 1 / (1 + math.exp(-v)) if v >= 0 else math.exp(v) / (1 + math.exp(v))


def _softplus(v: float) -> float:
    return max(v, 0.0) + math.log1p(math.exp(-abs(v)))


def _normal(v: float) -> float:
    """Cumulative distribution function of the standard normal distribution."""
    return math.erfc(-v / math.sqrt(2)) / 2


def _each(function, *arrays):
    """Apply ``function`` to the elements of the arrays, one of each, as Python floats (float64)."""
    out = np.empty_like(arrays[0])
    for i in np.ndindex(out.shape):
        out[i] = function(*(float(array[i]) for array in arrays))
    return out
