"""A small U-Net: a class for each pixel."""

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
    """Images to logits of each pixel: (N, `in_channels`, H, W) to (N, `num_classes`, H, W).

    On each level two 3x3 convolutions; then the image goes two ways, as it is and through all levels below at half the
    height and width, and what comes back from both is joined. So what is decided from afar is placed exactly. Not the
    paper's: three levels of 16, 32 and 64 channels instead of five of 64 to 1024, padding, so that the output has the
    input's size, and batch normalization after each convolution.

    It is no classifier of images, so it has no name in `build`.

    Parameters
    ----------
    num_classes : int, default 2
    in_channels : int, default 1
        Channels of the images.
    image_size : int, default 64
        Height and width of the images, in pixels, a multiple of ``2 ** (len(widths) - 1)``; parameters do not depend
        on it, and images of other such sizes are taken, too.
    widths : sequence of int, default (16, 32, 64)
        Channels of each level, the finest first.
    rng : numpy.random.Generator, optional
        Draws the initial parameters; by default a fresh one.
    dtype : {float32, float64}
        Of the parameters, and so of the images.

    Attributes
    ----------
    input_shape : (int, int, int)
        Of an image, (C, H, W).

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Notes
    -----
    Cost: 99,287,040 multiply-adds an image of 64x64 forward.

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
            Conv2d(widths[0], num_classes, 1, **start),  # a class for each pixel
        )
        self.input_shape = (in_channels, image_size, image_size)


def _level(in_channels: int, widths: Several[int], **start) -> list[Module]:
    """From an image to one of the same size and the first of the widths, all levels below within."""
    width, *below = widths
    layers = [*_convolution(in_channels, width, **start), *_convolution(width, width, **start)]
    if below:
        around = Sequential(
            MaxPool2d(2), *_level(width, below, **start), ConvTranspose2d(below[0], width, 2, stride=2, **start)
        )
        layers.append(Concat(Identity(), around))  # the skip connection, and the way through the levels below
        layers += [*_convolution(2 * width, width, **start), *_convolution(width, width, **start)]
    return layers


def _convolution(in_channels: int, out_channels: int, rng: np.random.Generator, dtype) -> list[Module]:
    """3x3, of the image's own size."""
    return [
        Conv2d(in_channels, out_channels, 3, padding=1, bias=False, rng=rng, dtype=dtype),
        BatchNorm2d(out_channels, dtype=dtype),
        ReLU(),
    ]
