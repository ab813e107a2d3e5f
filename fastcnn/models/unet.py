"""A small U-Net, which classifies each pixel."""

from collections.abc import Sequence as Several

import numpy as np

from fastcnn import _validate
from fastcnn.models.sizes import checked_sizes
from fastcnn.nn import (
    BatchNorm2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Identity,
    MaxPool2d,
    Module,
    ReLU,
    Sequential,
    init,
)


class UNet(Sequential):
    """U-Net for segmentation: images (N, `in_channels`, H, W) to logits of each pixel (N, `num_classes`, H, W).

    Each level begins with two 3x3 convolutions. Their output takes two paths: a skip connection, and all levels below
    at half the height and width. Both are concatenated and pass through two more convolutions. So the wide context of
    the lower levels is combined with exact positions.

    It differs from the paper: three levels of 16, 32 and 64 channels instead of five of 64 to 1024, padding that keeps
    the size of the input, and batch normalization after each convolution.

    It does not classify whole images, so `build` does not know it.

    Parameters
    ----------
    num_classes : int, default 2
    in_channels : int, default 1
        Channels of the images.
    image_size : int, default 64
        Height and width of the images, in pixels, a multiple of ``2 ** (len(widths) - 1)``. The number of parameters
        does not depend on it, and the model takes images of other such sizes too.
    widths : sequence of int, default (16, 32, 64)
        Channels of each level, the finest first.
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
    Cost: 99,287,040 multiply-adds per image of 64x64 forward.

    References
    ----------
    O. Ronneberger, P. Fischer, T. Brox, "U-Net: Convolutional networks for biomedical image segmentation", MICCAI 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.models import UNet
    >>> model = UNet(num_classes=3)
    >>> model(np.zeros((1, 1, 64, 64), np.float32)).shape
    (1, 3, 64, 64)
    >>> sum(parameter.size for parameter in model.parameters())
    117107
    """

    def __init__(
        self,
        num_classes: int = 2,
        in_channels: int = 1,
        image_size: int = 64,
        widths: Several[int] = (16, 32, 64),
        *,
        rng: np.random.Generator | None = None,
        dtype=np.float32,
    ):
        num_classes, in_channels, image_size = checked_sizes(num_classes, in_channels, image_size)
        if not isinstance(widths, (tuple, list)) or not widths:
            raise TypeError(f"`widths` must be a sequence of whole numbers, not {widths!r}.")
        widths = [_validate.count("widths", width) for width in widths]
        if image_size % (multiple := 2 ** (len(widths) - 1)):
            raise ValueError(
                f"`image_size` is {image_size} but must be a multiple of {multiple}: all levels but the last halve it."
            )
        start = {"rng": init.generator(rng), "dtype": dtype}
        super().__init__(
            *_level(in_channels, widths, **start),
            Conv2d(widths[0], num_classes, 1, **start),  # logits of each pixel
        )
        self.input_shape = (in_channels, image_size, image_size)


def _level(in_channels: int, widths: Several[int], **start) -> list[Module]:
    """One level, with all levels below it: keeps the image's size and gives ``widths[0]`` channels."""
    width, *below = widths
    layers = [*_convolution(in_channels, width, **start), *_convolution(width, width, **start)]
    if below:
        around = Sequential(
            MaxPool2d(2), *_level(width, below, **start), ConvTranspose2d(below[0], width, 2, stride=2, **start)
        )
        layers.append(Concat(Identity(), around))  # the skip connection, and the path through the levels below
        layers += [*_convolution(2 * width, width, **start), *_convolution(width, width, **start)]
    return layers


def _convolution(in_channels: int, out_channels: int, rng: np.random.Generator, dtype) -> list[Module]:
    """A 3x3 convolution that keeps the image's size, batch normalization and ReLU."""
    return [
        Conv2d(in_channels, out_channels, 3, padding=1, bias=False, rng=rng, dtype=dtype),
        BatchNorm2d(out_channels, dtype=dtype),
        ReLU(),
    ]
