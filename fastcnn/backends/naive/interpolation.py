"""Resizing of images and its gradient, pixel by pixel."""

import numpy as np

from fastcnn._geometry import Sampling


@np.errstate(invalid="ignore")  # inf - inf
def interpolate(x, sampling: Sampling):
    """See `fastcnn.functional.interpolate`."""
    N, C = x.shape[:2]
    y = np.zeros((N, C, sampling.OH, sampling.OW), x.dtype)
    for n in range(N):
        for c in range(C):
            for oy, above in enumerate(sampling.rows):
                for ox, beside in enumerate(sampling.columns):
                    total = 0.0
                    for iy, down in above:
                        for ix, right in beside:
                            total += down * right * np.float64(x[n, c, iy, ix])
                    y[n, c, oy, ox] = total
    return y


def interpolate_backward(dy, sampling: Sampling):
    """See `fastcnn.functional.interpolate_backward`."""
    N, C = dy.shape[:2]
    dx = np.zeros((N, C, sampling.H, sampling.W))
    for n in range(N):
        for c in range(C):
            for oy, above in enumerate(sampling.rows):
                for ox, beside in enumerate(sampling.columns):
                    for iy, down in above:
                        for ix, right in beside:
                            dx[n, c, iy, ix] += down * right * np.float64(dy[n, c, oy, ox])
    return dx.astype(dy.dtype)
