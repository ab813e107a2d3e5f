"""Augmentations that move or replace whole pixels."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from fastcnn import _validate

from .base import Augment, checked_fill, fill_for


class Shift(Augment):
    """Shift each image by up to ``pixels`` whole pixels in height and in width, with equal probabilities.

    Parameters
    ----------
    pixels : int
        Largest shift, at least 0.
    fill : float or sequence of float, default 0
        Value of pixels from outside of the image; one number, or one for each channel.

    Raises
    ------
    TypeError, ValueError
        If ``pixels`` or ``fill`` is invalid.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.data.augment import Shift
    >>> image = np.zeros((1, 1, 3, 3), np.uint8)
    >>> image[0, 0, 1, 1] = 9
    >>> Shift(1)(image, np.random.default_rng(3))[0, 0]
    array([[0, 0, 9],
           [0, 0, 0],
           [0, 0, 0]], dtype=uint8)
    """

    def __init__(self, pixels: int, fill=0):
        self.pixels = _validate.count("pixels", pixels, least=0)
        self.fill = checked_fill(fill)

    def _apply(self, images, rng):
        return _random_crops(images, self.pixels, images.shape[2:], self.fill, rng)


class PadAndCrop(Augment):
    """Pad each image on all sides, then crop a window at a random position [1]_.

    Parameters
    ----------
    padding : int
        Pixels on each of the four sides, at least 0.
    size : int or (int, int)
        Height and width of the window in pixels.
    fill : float or sequence of float, default 0
        Value of the padding; one number, or one for each channel.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid, or, in a call, if the window is larger than the padded image.

    References
    ----------
    .. [1] K. He et al., "Deep residual learning for image recognition", CVPR 2016, section 4.2: 4 pixels and a window
       of 32x32 for CIFAR-10.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.data.augment import PadAndCrop
    >>> PadAndCrop(4, 32)(np.zeros((8, 3, 32, 32), np.float32), np.random.default_rng(0)).shape
    (8, 3, 32, 32)
    """

    def __init__(self, padding: int, size, fill=0):
        self.padding = _validate.count("padding", padding, least=0)
        height, width = size if isinstance(size, tuple | list) and len(size) == 2 else (size, size)
        self.size = _validate.count("size", height, least=1), _validate.count("size", width, least=1)
        self.fill = checked_fill(fill)

    def _apply(self, images, rng):
        H, W = (extent + 2 * self.padding for extent in images.shape[2:])
        if self.size[0] > H or self.size[1] > W:
            raise ValueError(f"`size` is {self.size} but must be at most {(H, W)}, the size of the padded `images`.")
        return _random_crops(images, self.padding, self.size, self.fill, rng)


class HorizontalFlip(Augment):
    """Flip each image from left to right with probability ``p``; not suitable for digits and letters.

    Parameters
    ----------
    p : float, default 0.5
        Probability, from 0 to 1.

    Raises
    ------
    TypeError, ValueError
        If ``p`` is invalid.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.data.augment import HorizontalFlip
    >>> HorizontalFlip(p=1)(np.arange(3.0).reshape(1, 1, 1, 3), np.random.default_rng(0))
    array([[[[2., 1., 0.]]]])
    """

    def __init__(self, p: float = 0.5):
        self.p = _validate.number("p", p, 0, 1)

    def _apply(self, images, rng):
        out = np.array(images, order="C")
        flipped = rng.random(len(images)) < self.p
        out[flipped] = images[flipped, :, :, ::-1]
        return out


class Cutout(Augment):
    """Replace a square of each image [1]_; its centre is anywhere in the image, so a part of it may lie outside.

    Parameters
    ----------
    size : int
        Height and width of the square in pixels, at least 1.
    fill : float or sequence of float, default 0
        Value of the square; one number, or one for each channel.

    Raises
    ------
    TypeError, ValueError
        If ``size`` or ``fill`` is invalid.

    References
    ----------
    .. [1] T. DeVries, G. W. Taylor, "Improved regularization of convolutional neural networks with cutout", 2017,
       https://arxiv.org/abs/1708.04552.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.data.augment import Cutout
    >>> Cutout(2)(np.ones((1, 1, 3, 4), np.uint8), np.random.default_rng(0))[0, 0]
    array([[1, 1, 1, 1],
           [1, 0, 0, 1],
           [1, 0, 0, 1]], dtype=uint8)
    """

    def __init__(self, size: int, fill=0):
        self.size = _validate.count("size", size, least=1)
        self.fill = checked_fill(fill)

    def _apply(self, images, rng):
        N, C, H, W = images.shape
        rows, columns = (
            (offset >= 0) & (offset < self.size)  # (N, H) and (N, W): within the square
            for extent in (H, W)
            for offset in [np.arange(extent) - rng.integers(extent, size=(N, 1)) + self.size // 2]
        )
        return np.where((rows[:, :, None] & columns[:, None, :])[:, None], fill_for(self.fill, images), images)


def _random_crops(images, padding, size, fill, rng):
    """Crop a window of ``size`` (height, width) from each padded image, each at its own random position."""
    N, C, H, W = images.shape
    padded = np.empty((N, C, H + 2 * padding, W + 2 * padding), images.dtype)
    padded[:] = fill_for(fill, images)
    padded[:, :, padding : padding + H, padding : padding + W] = images
    windows = sliding_window_view(padded, size, axis=(2, 3))  # (N, C, places, places, height, width), a view
    y, x = (rng.integers(places, size=N) for places in windows.shape[2:4])
    return np.ascontiguousarray(windows[np.arange(N), :, y, x])
