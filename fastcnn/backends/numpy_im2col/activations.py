"""Activations and dropout on whole arrays.

``x <= 0`` and ``x > 0`` are both False for a NaN: which of the two stands in a line is PyTorch's choice for NaNs.
"""

import numpy as np


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
    """See `fastcnn.functional.sigmoid`; exp of a negative number only, which cannot overflow."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


@np.errstate(invalid="ignore")
def sigmoid_backward(dy, y):
    """See `fastcnn.functional.sigmoid_backward`."""
    return dy * y * (1 - y)


@np.errstate(invalid="ignore")
def dropout(x, mask):
    """See `fastcnn.functional.dropout`."""
    return x * mask


@np.errstate(invalid="ignore")
def dropout_backward(dy, mask):
    """See `fastcnn.functional.dropout_backward`."""
    return dy * mask
