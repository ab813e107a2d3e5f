"""ResNet-20 for CIFAR-10."""

import numpy as np

from fastcnn import _validate
from fastcnn.models.sizes import checked_sizes
from fastcnn.nn import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    GlobalAvgPool2d,
    Identity,
    Linear,
    Module,
    ReLU,
    Residual,
    ResizeChannels,
    Sequential,
    init,
)


class ResNet20(Sequential):
    """ResNet-20: nine residual blocks, 269,722 parameters for 10 classes of 32x32 colour images.

    Parameters
    ----------
    num_classes : int, default 10
    in_channels : int, default 3
        Channels of the images.
    image_size : int, default 32
        Height and width of the images, in pixels; the number of parameters does not depend on it.
    shortcut : {"pad", "projection"}, default "pad"
        The shortcut of the two blocks that halve the image and double the channels: every second pixel, with the new
        channels zero (option A of the paper, which uses it for CIFAR-10), or a trained 1x1 convolution with batch
        normalization (option B; 272,474 parameters).
    rng : numpy.random.Generator, optional
        Draws the initial parameters, by `fastcnn.nn.init.he_`; by default a new generator.
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
    Cost: 40,551,040 multiply-adds per image forward, 40,813,184 with projections. The paper reports a test error of
    8.75 % on CIFAR-10, with SGD, momentum 0.9, weight decay 1e-4, 64,000 batches of 128, and a learning rate of 0.1,
    divided by 10 after 32,000 and 48,000 batches; images are padded by 4, cropped at random and flipped.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", CVPR 2016, section 4.2.

    Examples
    --------
    >>> from fastcnn.models import ResNet20
    >>> for shortcut in ("pad", "projection"):
    ...     sum(parameter.size for parameter in ResNet20(shortcut=shortcut).parameters())
    269722
    272474
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        image_size: int = 32,
        *,
        shortcut: str = "pad",
        rng: np.random.Generator | None = None,
        dtype=np.float32,
    ):
        num_classes, in_channels, image_size = checked_sizes(num_classes, in_channels, image_size)
        rng = init.generator(rng)
        start = {"rng": rng, "dtype": dtype}
        block = {"shortcut": shortcut, **start}
        super().__init__(
            Conv2d(in_channels, 16, 3, padding=1, bias=False, **start),  # 16 @ 32x32
            BatchNorm2d(16, dtype=dtype),
            ReLU(),
            residual_block(16, 16, **block),
            residual_block(16, 16, **block),
            residual_block(16, 16, **block),
            residual_block(16, 32, stride=2, **block),  # 32 @ 16x16
            residual_block(32, 32, **block),
            residual_block(32, 32, **block),
            residual_block(32, 64, stride=2, **block),  # 64 @ 8x8
            residual_block(64, 64, **block),
            residual_block(64, 64, **block),
            GlobalAvgPool2d(),
            Linear(64, num_classes, **start),
        )
        self.input_shape = (in_channels, image_size, image_size)
        init.he_(self, rng)


def residual_block(
    in_channels: int,
    out_channels: int,
    stride: int = 1,
    *,
    shortcut: str = "pad",
    rng: np.random.Generator | None = None,
    dtype=np.float32,
) -> Sequential:
    """Two 3x3 convolutions with a shortcut, followed by ReLU: figure 2 of the paper of `ResNet20`.

    Parameters
    ----------
    in_channels, out_channels : int
    stride : int, default 1
        Stride of the first convolution and of the shortcut.
    shortcut : {"pad", "projection"}, default "pad"
        As in `ResNet20`, if the shape changes; otherwise the shortcut is the identity.
    rng : numpy.random.Generator, optional
        Draws the initial parameters; by default a new generator.
    dtype : {float32, float64}
        Dtype of the parameters and of the images.

    Returns
    -------
    Sequential

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.models import residual_block
    >>> residual_block(4, 8, stride=2)(np.zeros((2, 4, 6, 6), np.float32)).shape
    (2, 8, 3, 3)
    """
    _validate.choice("shortcut", shortcut, ("pad", "projection"))
    start = {"bias": False, "rng": init.generator(rng), "dtype": dtype}
    in_channels = _validate.count("in_channels", in_channels)
    out_channels, stride = _validate.count("out_channels", out_channels), _validate.count("stride", stride)
    if stride == 1 and in_channels == out_channels:
        past: Module = Identity()
    elif shortcut == "pad":
        past = Sequential(AvgPool2d(1, stride), ResizeChannels(out_channels))
    else:
        past = Sequential(
            Conv2d(in_channels, out_channels, 1, stride, **start),
            BatchNorm2d(out_channels, dtype=dtype),
        )
    body = Sequential(
        Conv2d(in_channels, out_channels, 3, stride, padding=1, **start),
        BatchNorm2d(out_channels, dtype=dtype),
        ReLU(),
        Conv2d(out_channels, out_channels, 3, padding=1, **start),
        BatchNorm2d(out_channels, dtype=dtype),
    )
    return Sequential(Residual(body, past), ReLU())
