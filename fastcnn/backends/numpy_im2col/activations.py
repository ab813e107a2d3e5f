"""Activations and dropout on whole arrays.

``x <= 0`` and ``x > 0`` are both False for NaN. Each function uses the comparison that treats NaN as PyTorch does.
"""

import math

import numpy as np

_SQRT_2_BY_PI = math.sqrt(2 / math.pi)


def relu(x):
    """See `fastcnn.functional.relu`."""
    return np.maximum(x, 0)


def relu_backward(dy, y):
    """See `fastcnn.functional.relu_backward`."""
    return np.where(y <= 0, 0, dy)


def leaky_relu(x, negative_slope: float):
    """See `fastcnn.functional.leaky_relu`."""
    return np.where(x > 0, x, negative_slope * x)


def leaky_relu_backward(dy, x, negative_slope: float):
    """See `fastcnn.functional.leaky_relu_backward`."""
    return np.where(x > 0, dy, negative_slope * dy)


def tanh(x):
    """See `fastcnn.functional.tanh`."""
    return np.tanh(x)


@np.errstate(invalid="ignore")
def tanh_backward(dy, y):
    """See `fastcnn.functional.tanh_backward`."""
    return dy * (1 - y * y)


def scaled_tanh(x, amplitude: float, slope: float):
    """See `fastcnn.functional.scaled_tanh`."""
    return amplitude * np.tanh(slope * x)


@np.errstate(invalid="ignore")
def scaled_tanh_backward(dy, y, amplitude: float, slope: float):
    """See `fastcnn.functional.scaled_tanh_backward`."""
    return dy * slope * (amplitude - y * y / amplitude)


def sigmoid(x):
    """See `fastcnn.functional.sigmoid`; the argument of exp is never positive, so it cannot overflow."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


@np.errstate(invalid="ignore")
def sigmoid_backward(dy, y):
    """See `fastcnn.functional.sigmoid_backward`."""
    return dy * y * (1 - y)


@np.errstate(invalid="ignore")
def silu(x):
    """See `fastcnn.functional.silu`."""
    return x * sigmoid(x)


@np.errstate(invalid="ignore")
def silu_backward(dy, x):
    """See `fastcnn.functional.silu_backward`; ``1 - sigmoid(x)`` is ``sigmoid(-x)``."""
    return dy * sigmoid(x) * (1 + x * sigmoid(-x))


def elu(x, alpha: float):
    """See `fastcnn.functional.elu`; the argument of expm1 is never positive, so it cannot overflow."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


@np.errstate(invalid="ignore")
def elu_backward(dy, x, alpha: float):
    """See `fastcnn.functional.elu_backward`."""
    return np.where(x > 0, dy, dy * alpha * np.exp(np.minimum(x, 0)))


@np.errstate(invalid="ignore", over="ignore")  # a power of x may overflow where the result is finite
def gelu(x, approximate: str):
    """See `fastcnn.functional.gelu`."""
    if approximate == "tanh":
        return x * sigmoid(2 * _SQRT_2_BY_PI * (x + 0.044715 * x * x * x))
    return x * _normal(x)


@np.errstate(invalid="ignore", over="ignore")
def gelu_backward(dy, x, approximate: str):
    """See `fastcnn.functional.gelu_backward`."""
    if approximate == "tanh":
        inner = 2 * _SQRT_2_BY_PI * (x + 0.044715 * x * x * x)
        near = np.clip(x, -100, 100)  # beyond 100, the slope is multiplied by zero and must be finite
        slope = 2 * _SQRT_2_BY_PI * (1 + 3 * 0.044715 * near * near)
        return dy * sigmoid(inner) * (1 + x * sigmoid(-inner) * slope)
    return dy * (_normal(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi))


@np.errstate(invalid="ignore")
def hardswish(x):
    """See `fastcnn.functional.hardswish`."""
    return x * (np.clip(x + 3, 0, 6) / 6)


@np.errstate(invalid="ignore", over="ignore")  # a product may overflow where `np.where` discards it
def hardswish_backward(dy, x):
    """See `fastcnn.functional.hardswish_backward`."""
    return np.where(x <= -3, 0, np.where(x >= 3, dy, dy * (x / 3 + 0.5)))


@np.errstate(over="ignore")  # beta * x may overflow where the result is x
def softplus(x, beta: float, threshold: float):
    """See `fastcnn.functional.softplus`; the argument of exp is never positive, so it cannot overflow."""
    scaled = beta * x
    return np.where(scaled > threshold, x, (np.maximum(scaled, 0) + np.log1p(np.exp(-np.abs(scaled)))) / beta)


@np.errstate(invalid="ignore", over="ignore")
def softplus_backward(dy, x, beta: float, threshold: float):
    """See `fastcnn.functional.softplus_backward`."""
    scaled = beta * x
    return np.where(scaled > threshold, dy, dy * sigmoid(scaled))


@np.errstate(invalid="ignore")
def mish(x):
    """See `fastcnn.functional.mish`."""
    return x * _tanh_softplus(x)[0]


@np.errstate(invalid="ignore")
def mish_backward(dy, x):
    """See `fastcnn.functional.mish_backward`."""
    part, slope = _tanh_softplus(x)
    return dy * (part + x * slope)


@np.errstate(invalid="ignore")
def dropout(x, mask):
    """See `fastcnn.functional.dropout`."""
    return x * mask


@np.errstate(invalid="ignore")
def dropout_backward(dy, mask):
    """See `fastcnn.functional.dropout_backward`."""
    return dy * mask


def _tanh_softplus(x):
    """``tanh(log(1 + exp(x)))`` and its derivative.

    The value is ``n / (n + 2)`` with ``n = exp(2 x) + 2 exp(x)``. Where ``x`` is positive, both terms of the fraction
    are multiplied by ``exp(-2 x)``, so no exponential overflows.
    """
    e = np.exp(-np.abs(x))
    n, two = np.where(x >= 0, (1 + 2 * e, 2 * e * e), (e * (e + 2), np.full_like(e, 2)))
    whole = n + two
    return n / whole, sigmoid(x) * two * (n + whole) / (whole * whole)


def _normal(x):
    """Cumulative distribution function of the standard normal distribution; NumPy has no error function."""
    return np.vectorize(lambda v: math.erfc(-v / math.sqrt(2)) / 2, otypes=[x.dtype])(x)
