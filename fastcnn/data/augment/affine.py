"""Augmentations that interpolate between pixels."""

import numpy as np

from fastcnn import _validate

from .base import Augment, checked_fill
from .resample import resample


class Rotation(Augment):
    """Rotate each image about its centre, by an angle drawn uniformly from ``-degrees`` to ``degrees``.

    Parameters
    ----------
    degrees : float
        Largest angle, from 0 to 180.
    fill : float or sequence of float, default 0
        Value of pixels from outside of the image; one number, or one for each channel.

    Raises
    ------
    TypeError, ValueError
        If ``degrees`` or ``fill`` is invalid.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.data.augment import Rotation
    >>> Rotation(15)(np.ones((8, 1, 28, 28), np.float32), np.random.default_rng(0)).shape
    (8, 1, 28, 28)
    """

    def __init__(self, degrees: float, fill=0):
        self.degrees = _validate.number("degrees", degrees, 0, 180)
        self.fill = checked_fill(fill)

    def _apply(self, images, rng):
        angle = np.deg2rad(rng.uniform(-self.degrees, self.degrees, len(images)))
        return _about_the_centre(images, np.cos(angle), np.sin(angle), self.fill)


class Scale(Augment):
    """Scale each image about its centre, by a factor drawn uniformly from ``low`` to ``high``.

    Parameters
    ----------
    low, high : float
        Factors from 0.1 to 10; 1 leaves an image unchanged, 2 makes its content twice as high and wide.
    fill : float or sequence of float, default 0
        Value of pixels from outside of the image; one number, or one for each channel.

    Raises
    ------
    TypeError, ValueError
        If ``low``, ``high`` or ``fill`` is invalid.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.data.augment import Scale
    >>> Scale(0.9, 1.1)(np.ones((8, 1, 28, 28), np.float32), np.random.default_rng(0)).shape
    (8, 1, 28, 28)
    """

    def __init__(self, low: float, high: float, fill=0):
        self.high = _validate.number("high", high, 0.1, 10)
        self.low = _validate.number("low", low, 0.1, self.high)
        self.fill = checked_fill(fill)

    def _apply(self, images, rng):
        return _about_the_centre(images, 1 / rng.uniform(self.low, self.high, len(images)), 0.0, self.fill)


def _about_the_centre(images: np.ndarray, along, across, fill) -> np.ndarray:
    """Take the pixel at (y, x), relative to the centre, from (along * y - across * x, across * y + along * x).

    ``along`` and ``across`` are scalars or of shape (N,): cosine and sine of an angle, divided by a scale.
    """
    N, _, H, W = images.shape
    along, across = (np.broadcast_to(np.float32(part), N)[:, None, None] for part in (along, across))
    cy, cx = (H - 1) / 2, (W - 1) / 2
    y = (np.arange(H, dtype=np.float32) - np.float32(cy))[:, None]
    x = np.arange(W, dtype=np.float32) - np.float32(cx)
    return resample(images, along * y - across * x + np.float32(cy), across * y + along * x + np.float32(cx), fill)
