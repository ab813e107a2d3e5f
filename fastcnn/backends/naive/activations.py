"""Activations and dropout, one number after the other.

``x <= 0`` and ``x > 0`` are both False for a NaN: which of the two stands in a line is PyTorch's choice for NaNs.
"""

import math

import numpy as np


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
    """See `fastcnn.functional.sigmoid`; exp of a negative number only, which cannot overflow."""
    return _each(lambda v: 1 / (1 + math.exp(-v)) if v >= 0 else math.exp(v) / (1 + math.exp(v)), x)


def sigmoid_backward(dy, y):
    """See `fastcnn.functional.sigmoid_backward`."""
    return _each(lambda d, v: d * v * (1 - v), dy, y)


def dropout(x, mask):
    """See `fastcnn.functional.dropout`."""
    return _each(lambda v, m: v * m, x, mask)


def dropout_backward(dy, mask):
    """See `fastcnn.functional.dropout_backward`."""
    return _each(lambda d, m: d * m, dy, mask)


def _each(function, *arrays):
    """``function`` of each element, or of each pair of elements, as Python floats, which are float64."""
    out = np.empty_like(arrays[0])
    for i in np.ndindex(out.shape):
        out[i] = function(*(float(array[i]) for array in arrays))
    return out
