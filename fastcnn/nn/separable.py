"""Depthwise-separable convolution."""

import numpy as np

from fastcnn._geometry import Padding, Pair
from fastcnn.nn import init
from fastcnn.nn.activations import ReLU
from fastcnn.nn.containers import Sequential
from fastcnn.nn.conv import Conv2d
from fastcnn.nn.normalization import BatchNorm2d


class DepthwiseSeparableConv2d(Sequential):
    """One filter for each channel, then a 1x1 convolution across channels; each with BatchNorm2d and ReLU.

    It has ``in_channels * (KH * KW + out_channels)`` filter values, where a convolution has ``in_channels * KH * KW *
    out_channels``. It saves the same factor of multiply-adds: 8 to 9 for 3x3 filters and many channels.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, padding
        Of the depthwise convolution, as in `Conv2d`; by default 3, 1 and 1, which keep the size of the image.
    rng : numpy.random.Generator, optional
        Draws the initial filters; by default a new generator.
    dtype : {float32, float64}
        Dtype of the parameters, and so of the input.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    References
    ----------
    A. G. Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision applications",
    arXiv:1704.04861, 2017, section 3.1 and figure 3.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> layer = nn.DepthwiseSeparableConv2d(8, 16, stride=2, rng=np.random.default_rng(0))
    >>> layer(np.zeros((2, 8, 6, 6), np.float32)).shape
    (2, 16, 3, 3)
    >>> sum(parameter.size for parameter in layer.parameters())  # 8 * (9 + 16), and 2 * (8 + 16) of BatchNorm2d
    248
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair = 3,
        stride: Pair = 1,
        padding: Padding = 1,
        *,
        rng: np.random.Generator | None = None,
        dtype=np.float32,
    ):
        start = {"bias": False, "rng": init.generator(rng), "dtype": dtype}  # BatchNorm2d would cancel a bias
        super().__init__(
            Conv2d(in_channels, in_channels, kernel_size, stride, padding, groups=in_channels, **start),
            BatchNorm2d(in_channels, dtype=dtype),
            ReLU(),
            Conv2d(in_channels, out_channels, 1, **start),
            BatchNorm2d(out_channels, dtype=dtype),
            ReLU(),
        )
