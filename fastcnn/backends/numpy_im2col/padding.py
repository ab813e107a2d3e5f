"""Padding by index arrays, and its gradient as sums of rows and columns."""

import numpy as np

from fastcnn._geometry import Padded


def pad(x, padded: Padded, value: float):
    """See `fastcnn.functional.pad`."""
    rows, columns = np.array(padded.rows), np.array(padded.columns)
    y = x.take(rows, axis=2).take(columns, axis=3)
    y[:, :, (rows[:, None] < 0) | (columns < 0)] = value
    return y


@np.errstate(invalid="ignore")
def pad_backward(dy, padded: Padded):
    """See `fastcnn.functional.pad_backward`."""
    H, W, rows, columns = padded
    lines = np.zeros((*dy.shape[:2], H, len(columns)), dy.dtype)
    for oy, iy in enumerate(rows):
        if iy >= 0:
            lines[:, :, iy] += dy[:, :, oy]
    dx = np.zeros((*dy.shape[:2], H, W), dy.dtype)
    for ox, ix in enumerate(columns):
        if ix >= 0:
            dx[..., ix] += lines[..., ox]
    return dx
