"""Small convolutional networks from public write-ups on training with NumPy, named after their convolutions."""

import numpy as np

from fastcnn.models.sizes import checked_sizes
from fastcnn.nn import AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential, init


class Conv8(Sequential):
    """One convolution of 8 filters: 13,602 parameters for 10 classes of 28x28 grey images.

    Parameters
    ----------
    num_classes : int, default 10
    in_channels : int, default 1
        Channels of the images.
    image_size : int, default 28
        Height and width of the images, in pixels, at least 4.
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
    Cost: 62,192 multiply-adds per image forward.

    References
    ----------
    V. Zhou, "CNNs, Part 1: an introduction to convolutional neural networks", 2019, code: vzhou842/cnn-from-scratch.

    Examples
    --------
    >>> from fastcnn.models import Conv8
    >>> sum(parameter.size for parameter in Conv8().parameters())  # 72 + 13,530
    13602
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        image_size: int = 28,
        *,
        rng: np.random.Generator | None = None,
        dtype=np.float32,
    ):
        num_classes, in_channels, image_size = checked_sizes(num_classes, in_channels, image_size, 4)
        side = (image_size - 2) // 2  # pixels along each side after pooling
        start = {"rng": init.generator(rng), "dtype": dtype}
        super().__init__(
            Conv2d(in_channels, 8, 3, bias=False, **start),  # 8 @ 26x26
            MaxPool2d(2),  # 8 @ 13x13
            Flatten(),
            Linear(8 * side * side, num_classes, **start),
        )
        self.input_shape = (in_channels, image_size, image_size)


class Conv4Conv8(Sequential):
    """Convolutions of 4 and 8 filters, with average-pooling: 4,842 parameters for 10 classes of 28x28 grey images.

    Parameters
    ----------
    num_classes, in_channels, rng, dtype
        As in `Conv8`.
    image_size : int, default 28
        Height and width of the images, in pixels, at least 4.

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
    Cost: 239,120 multiply-adds per image forward. A course report at Tsinghua University compares this network with
    `MLP`, and gives a test accuracy of 98.58 % on MNIST after 30 epochs.

    Examples
    --------
    >>> from fastcnn.models import Conv4Conv8
    >>> sum(parameter.size for parameter in Conv4Conv8().parameters())  # 104 + 808 + 3,930
    4842
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        image_size: int = 28,
        *,
        rng: np.random.Generator | None = None,
        dtype=np.float32,
    ):
        num_classes, in_channels, image_size = checked_sizes(num_classes, in_channels, image_size, 4)
        side = image_size // 4
        start = {"rng": init.generator(rng), "dtype": dtype}
        super().__init__(
            Conv2d(in_channels, 4, 5, padding=2, **start),  # 4 @ 28x28
            ReLU(),
            AvgPool2d(2),  # 4 @ 14x14
            Conv2d(4, 8, 5, padding=2, **start),  # 8 @ 14x14
            ReLU(),
            AvgPool2d(2),  # 8 @ 7x7
            Flatten(),
            Linear(8 * side * side, num_classes, **start),
        )
        self.input_shape = (in_channels, image_size, image_size)
