"""Images at places between their pixels."""

import numpy as np

from .base import fill_for


def resample(images: np.ndarray, y: np.ndarray, x: np.ndarray, fill) -> np.ndarray:
    """Each image at the places (y, x), by bilinear interpolation.

    Parameters
    ----------
    images : ndarray of float32, float64 or uint8, shape (N, C, H, W)
    y, x : ndarray of float32, shape (N, OH, OW)
        In pixels; (0, 0) is the centre of the first.
    fill : float or tuple of float
        What the pixels outside of the image are, see `fill_for`.

    Returns
    -------
    ndarray of the same dtype, shape (N, C, OH, OW)
    """
    N, C, H, W = images.shape
    padded = np.empty((N, C, H + 2, W + 2), images.dtype)
    padded[:] = fill_for(fill, images)
    padded[:, :, 1:-1, 1:-1] = images

    # Places in the padded image; beyond its border all is as on the border.
    y, x = np.clip(y + np.float32(1), 0, H + 1), np.clip(x + np.float32(1), 0, W + 1)
    top, left = np.minimum(y.astype(np.intp), H), np.minimum(x.astype(np.intp), W)
    y -= top
    x -= left
    dtype = np.result_type(images.dtype, np.float32)  # uint8 is computed in float32
    y, x = y.astype(dtype, copy=False), x.astype(dtype, copy=False)
    corner = top * (W + 2) + left + (np.arange(N) * ((H + 2) * (W + 2)))[:, None, None]
    weights = ((1 - y) * (1 - x), 0), ((1 - y) * x, 1), (y * (1 - x), W + 2), (y * x, W + 3)

    out = np.empty((N, C, *y.shape[1:]), images.dtype)
    for c in range(C):
        plane = padded[:, c].ravel()
        value = sum(weight * plane.take(corner + step) for weight, step in weights)
        out[:, c] = np.rint(value) if images.dtype == np.uint8 else value
    return out
