"""A small VGG."""

import numpy as np

from fastcnn.models.sizes import checked_sizes
from fastcnn.nn import BatchNorm2d, Conv2d, GlobalAvgPool2d, Linear, MaxPool2d, ReLU, Sequential, init


class VGG7(Sequential):
    """Six 3x3 convolutions and a linear layer: 288,746 parameters for 10 classes of 32x32 colour images.

    It follows VGG: pairs of 3x3 convolutions see as much as one 5x5 convolution, and the channels double after each
    pooling. It differs from the paper: seven layers with weights instead of 11 to 19, batch normalization (S. Ioffe, C.
    Szegedy, ICML 2015) after each convolution, and the mean of each channel instead of two large linear layers.

    Parameters
    ----------
    num_classes : int, default 10
    in_channels : int, default 3
        Channels of the images.
    image_size : int, default 32
        Height and width of the images, in pixels, at least 8; parameters do not depend on it.
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
    Cost: 38,634,752 multiply-adds per image forward.

    References
    ----------
    K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015.

    Examples
    --------
    >>> from fastcnn.models import VGG7
    >>> sum(parameter.size for parameter in VGG7().parameters())  # 286,560 + 896 of BatchNorm2d + 1,290
    288746
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
        num_classes, in_channels, image_size = checked_sizes(num_classes, in_channels, image_size, 8)
        start = {"rng": init.generator(rng), "dtype": dtype}
        super().__init__(
            *_convolution(in_channels, 32, **start),  # 32 @ 32x32
            *_convolution(32, 32, **start),
            MaxPool2d(2),
            *_convolution(32, 64, **start),  # 64 @ 16x16
            *_convolution(64, 64, **start),
            MaxPool2d(2),
            *_convolution(64, 128, **start),  # 128 @ 8x8
            *_convolution(128, 128, **start),
            MaxPool2d(2),  # 128 @ 4x4
            GlobalAvgPool2d(),
            Linear(128, num_classes, **start),
        )
        self.input_shape = (in_channels, image_size, image_size)


def _convolution(in_channels: int, out_channels: int, rng: np.random.Generator, dtype):
    """A 3x3 convolution that keeps the image's size, batch normalization and ReLU."""
    return (
        Conv2d(in_channels, out_channels, 3, padding=1, bias=False, rng=rng, dtype=dtype),
        BatchNorm2d(out_channels, dtype=dtype),
        ReLU(),
    )
