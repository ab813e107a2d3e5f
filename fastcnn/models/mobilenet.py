"""A small MobileNet."""

import numpy as np

from fastcnn.models.sizes import checked_sizes
from fastcnn.nn import (
    BatchNorm2d,
    Conv2d,
    DepthwiseSeparableConv2d,
    GlobalAvgPool2d,
    Linear,
    ReLU,
    Sequential,
    init,
)


class SmallMobileNet(Sequential):
    """One convolution and five depthwise-separable ones: 136,778 parameters for 10 classes of 32x32 colour images.

    The first layers of the original MobileNet, for images of 32 instead of 224 pixels: the first convolution does not
    halve the image, and the layers after those of 256 channels are left out (the original has 13 depthwise-separable
    convolutions, with up to 1024 channels).

    Parameters
    ----------
    num_classes : int, default 10
    in_channels : int, default 3
        Channels of the images.
    image_size : int, default 32
        Height and width of the images, in pixels; the number of parameters does not depend on it.
    rng : numpy.random.Generator, optional
        Draws the initial parameters; by default a new generator.
    dtype : {float32, float64}
        Dtype of the parameters and of the images.

    Attributes
    ----------
    input_shape : (int, int, int)
        Shape of an image, (C, H, W).

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Notes
    -----
    Cost: 16,525,824 multiply-adds per image forward.

    References
    ----------
    A. G. Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision applications",
    arXiv:1704.04861, 2017, table 1.

    Examples
    --------
    >>> from fastcnn.models import SmallMobileNet
    >>> sum(parameter.size for parameter in SmallMobileNet().parameters())
    136778
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        image_size: int = 32,
        *,
        rng: np.random.Generator | None = None,
        dtype=np.float32,
    ):
        num_classes, in_channels, image_size = checked_sizes(num_classes, in_channels, image_size)
        start = {"rng": init.generator(rng), "dtype": dtype}
        super().__init__(
            Conv2d(in_channels, 32, 3, padding=1, bias=False, **start),  # 32 @ 32x32
            BatchNorm2d(32, dtype=dtype),
            ReLU(),
            DepthwiseSeparableConv2d(32, 64, **start),  # 64 @ 32x32
            DepthwiseSeparableConv2d(64, 128, stride=2, **start),  # 128 @ 16x16
            DepthwiseSeparableConv2d(128, 128, **start),
            DepthwiseSeparableConv2d(128, 256, stride=2, **start),  # 256 @ 8x8
            DepthwiseSeparableConv2d(256, 256, **start),
            GlobalAvgPool2d(),
            Linear(256, num_classes, **start),
        )
        self.input_shape = (in_channels, image_size, image_size)
