"""Resampling images between their pixels."""

import numpy as np

from .base import fill_for

CHUNK = 8  # images at a time: the temporaries stay in the L1 cache, 4 times as fast as 128 images at a time


def resample(images: np.ndarray, y: np.ndarray, x: np.ndarray, fill) -> np.ndarray:
    """Sample each image at the positions (y, x) by bilinear interpolation.

    Parameters
    ----------
    images : ndarray of float32, float64 or uint8, shape (N, C, H, W)
    y, x : ndarray of float32, shape (N, H, W)
        Positions in pixels; (0, 0) is the centre of the first pixel.
    fill : float or tuple of float
        Value of the pixels outside of the image; see `fill_for`.

    Returns
    -------
    ndarray of the same dtype and shape
    """
    N, C, H, W = images.shape
    # One pixel on each side, and another below and to the right, which positions on the border read with weight 0
    padded = np.empty((N, C, H + 3, W + 3), images.dtype)
    padded[:] = fill_for(fill, images)
    padded[:, :, 1:-2, 1:-2] = images
    out = np.empty(images.shape, images.dtype)
    for first in range(0, N, CHUNK):
        part = slice(first, first + CHUNK)
        _resample(padded[part], y[part], x[part], out[part])
    return out


def _resample(padded, y, x, out):
    dtype = np.result_type(out.dtype, np.float32)  # uint8 is computed in float32
    N, C, H, W = padded.shape
    y, x = (np.clip(place + np.float32(1), 0, extent - 2) for place, extent in ((y, H), (x, W)))  # in padded pixels
    top, left = np.floor(y), np.floor(x)
    y, x = (y - top).astype(dtype, copy=False), (x - left).astype(dtype, copy=False)
    corner = (top * W + left).astype(np.intp) + (np.arange(N) * (H * W))[:, None, None]
    for c in range(C):
        plane = padded[:, c].ravel().astype(dtype, copy=False)
        above, below = (
            _between(plane[row:].take(corner, mode="clip"), plane[row + 1 :].take(corner, mode="clip"), x)
            for row in (0, W)
        )
        value = _between(above, below, y)
        out[:, c] = np.rint(value) if out.dtype == np.uint8 else value


def _between(a, b, t):
    """Interpolate from ``a`` (t = 0) to ``b`` (t = 1), exactly where ``a`` and ``b`` are equal; overwrites ``b``."""
    b -= a
    b *= t
    b += a
    return b
