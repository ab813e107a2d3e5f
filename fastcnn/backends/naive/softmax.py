"""Softmax, log-softmax and their gradients, row by row. A row runs along the axis ``dim``."""

import math

import numpy as np


def softmax(x, dim: int):
    """See `fastcnn.functional.softmax`."""

    def probabilities(row):
        largest = max(row)
        exps = [math.exp(v - largest) for v in row]  # at most 1, so nothing overflows
        total = sum(exps)
        return [e / total for e in exps]

    return _rows(probabilities, dim, x)


def softmax_backward(dy, y, dim: int):
    """See `fastcnn.functional.softmax_backward`."""

    def gradient(ds, ps):
        mean = sum(d * p for d, p in zip(ds, ps, strict=True))
        return [p * (d - mean) for d, p in zip(ds, ps, strict=True)]

    return _rows(gradient, dim, dy, y)


def log_softmax(x, dim: int):
    """See `fastcnn.functional.log_softmax`."""
    return _rows(_logarithms, dim, x)


def log_softmax_backward(dy, y, dim: int):
    """See `fastcnn.functional.log_softmax_backward`."""

    def gradient(ds, logs):
        total = sum(ds)
        return [d - math.exp(log) * total for d, log in zip(ds, logs, strict=True)]

    return _rows(gradient, dim, dy, y)


def _logarithms(row: list[float]) -> list[float]:
    """Log-softmax of a row."""
    largest = max(row)
    log_sum = math.log(sum(math.exp(v - largest) for v in row))
    return [v - largest - log_sum for v in row]


def _rows(function, dim: int, *arrays):
    """Apply ``function`` to the rows of the arrays, one of each, as lists of Python floats (float64)."""
    out = np.empty_like(arrays[0])
    *moved, rows = (np.moveaxis(array, dim, -1) for array in (*arrays, out))
    for i in np.ndindex(rows.shape[:-1]):
        rows[i] = function(*(array[i].tolist() for array in moved))
    return out
