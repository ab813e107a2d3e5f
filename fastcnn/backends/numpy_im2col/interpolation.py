"""Resizing of images and its gradient, one axis after the other."""

import numpy as np

from fastcnn._geometry import Sampling, Taps


@np.errstate(invalid="ignore")
def interpolate(x, sampling: Sampling):
    """See `fastcnn.functional.interpolate`."""
    for axis, taps in ((3, sampling.columns), (2, sampling.rows)):
        places, weights = _arrays(taps, x.dtype)
        if sampling.linear:
            across = (-1, *(1,) * (3 - axis))
            x = sum(weights[:, k].reshape(across) * np.take(x, places[:, k], axis) for k in range(2))
        else:
            x = np.take(x, places[:, 0], axis)
    return x


def interpolate_backward(dy, sampling: Sampling):
    """See `fastcnn.functional.interpolate_backward`; each axis is a matrix product with its weights."""
    rows, columns = _matrix(sampling.rows, sampling.H), _matrix(sampling.columns, sampling.W)
    return rows.T.astype(dy.dtype) @ dy @ columns.astype(dy.dtype)


def _arrays(taps: Taps, dtype) -> tuple[np.ndarray, np.ndarray]:
    """Pixel indices and weights, each of shape (outputs, taps)."""
    table = np.array(taps)
    return table[..., 0].astype(int), table[..., 1].astype(dtype)


def _matrix(taps: Taps, extent: int) -> np.ndarray:
    """The weights as a matrix of shape (outputs, pixels)."""
    matrix = np.zeros((len(taps), extent))
    for row, pixels in zip(matrix, taps, strict=True):
        for pixel, weight in pixels:
            row[pixel] += weight
    return matrix
