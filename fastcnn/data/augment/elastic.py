"""Elastic distortion."""

import numpy as np

from fastcnn import _validate

from .base import Augment, checked_fill
from .resample import resample


class Elastic(Augment):
    """Distort each image as if it were drawn on rubber [1]_.

    Every pixel is displaced by ``alpha`` times a random field, uniform from -1 to 1 in height and in width, which is
    smoothed by a Gaussian of standard deviation ``sigma``. A typical displacement is 0.16 * alpha / sigma pixels: the
    field's standard deviation, 1 / sqrt(3), shrinks by 1 / (2 sqrt(pi) sigma). Towards the borders it is smaller.

    Parameters
    ----------
    alpha : float, default 34
        Strength in pixels before smoothing, at least 0; the default is the paper's value for MNIST.
    sigma : float, default 4
        Smoothness in pixels, from 0.5 to 1000; the default is the paper's value for MNIST.
    fill : float or sequence of float, default 0
        Value of pixels from outside of the image; one number, or one for each channel.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    References
    ----------
    .. [1] P. Y. Simard, D. Steinkraus, J. C. Platt, "Best practices for convolutional neural networks applied to visual
       document analysis", ICDAR 2003, section 2.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.data.augment import Elastic
    >>> Elastic()(np.ones((8, 1, 28, 28), np.float32), np.random.default_rng(0)).shape
    (8, 1, 28, 28)
    """

    def __init__(self, alpha: float = 34.0, sigma: float = 4.0, fill=0):
        self.alpha = _validate.number("alpha", alpha, 0, 1e6)
        self.sigma = _validate.number("sigma", sigma, 0.5, 1e3)
        self.fill = checked_fill(fill)

    def _apply(self, images, rng):
        N, _, H, W = images.shape
        field = 2 * rng.random((2, N, H, W), np.float32).astype(np.float64) - 1  # multiples of 2**-23
        # One small gemm for each image and axis. Up to 64x64 pixels BLAS starts no threads for it; they would take
        # processors from the kernels. Beyond the borders the field is 0. The order of BLAS's sums depends on the
        # processor, so all products have few enough bits that their sums in float64 are exact.
        down = _rounded(_gaussian(H, self.sigma) @ field, 23)
        dy, dx = (self.alpha * (down @ _gaussian(W, self.sigma))).astype(np.float32)
        return resample(
            images, dy + np.arange(H, dtype=np.float32)[:, None], dx + np.arange(W, dtype=np.float32), self.fill
        )


def _gaussian(extent: int, sigma: float) -> np.ndarray:
    """Return the symmetric matrix (extent, extent) that convolves with a Gaussian with weights that sum to 1."""
    distance = np.arange(extent)[:, None] - np.arange(extent)
    tail = np.arange(-np.ceil(5 * sigma), np.ceil(5 * sigma) + 1)
    return _rounded(np.exp(-0.5 * (distance / sigma) ** 2) / np.exp(-0.5 * (tail / sigma) ** 2).sum(), 24)


def _rounded(numbers: np.ndarray, bits: int) -> np.ndarray:
    """Round to multiples of ``2**-bits``."""
    return np.rint(numbers * 2.0**bits) / 2.0**bits
