"""LeNet-5, as it is built today and as it was in 1998."""

import numpy as np

from fastcnn import _validate
from fastcnn.models.sizes import checked_sizes
from fastcnn.nn import AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, ReLU, ScaledTanh, Sequential, Tanh, init

_ACTIVATIONS = {"relu": ReLU, "tanh": Tanh, "scaled_tanh": ScaledTanh}
_POOLINGS = {"max": MaxPool2d, "avg": AvgPool2d}


class LeNet5(Sequential):
    """LeNet-5 for 32x32 images: 61,706 parameters for 10 classes of grey images.

    The layers are those of the paper, but C3 sees all maps of S2. As is usual today, the activation is ReLU, the
    pooling is max-pooling without parameters, and the output is linear, for `fastcnn.nn.CrossEntropyLoss`.
    `LeNet5Classic` is closer to the paper. MNIST's images have 28x28 pixels: ``data.pad_images(images, 2)`` makes them
    32x32.

    Parameters
    ----------
    num_classes : int, default 10
    in_channels : int, default 1
        Channels of the images.
    image_size : int, default 32
        Height and width of the images, in pixels, at least 16. The filters of C5 are as large as S4: with MNIST's 28
        pixels, not padded, there are 44,426 parameters.
    activation : {"relu", "tanh", "scaled_tanh"}, default "relu"
        Activation after C1, C3, C5 and F6.
    pooling : {"max", "avg"}, default "max"
        Pooling of S2 and S4, 2x2.
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
    Cost: 416,520 multiply-adds per image forward (0.83 MFLOP), 2.26 MFLOP per image for a training step (without the
    gradient of the image).

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition", Proceedings
    of the IEEE 86(11), 1998, section II.B.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.models import LeNet5
    >>> model = LeNet5(rng=np.random.default_rng(0))
    >>> model(np.zeros((2, 1, 32, 32), np.float32)).shape
    (2, 10)
    >>> sum(parameter.size for parameter in model.parameters())
    61706
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        image_size: int = 32,
        *,
        activation: str = "relu",
        pooling: str = "max",
        rng: np.random.Generator | None = None,
        dtype=np.float32,
    ):
        Activation = _ACTIVATIONS[_validate.choice("activation", activation, tuple(_ACTIVATIONS))]
        Pool2d = _POOLINGS[_validate.choice("pooling", pooling, tuple(_POOLINGS))]
        num_classes, in_channels, image_size = checked_sizes(num_classes, in_channels, image_size, 16)
        s4 = (image_size - 12) // 4  # pixels along each side of S4
        start = {"rng": init.generator(rng), "dtype": dtype}
        super().__init__(
            Conv2d(in_channels, 6, 5, **start),  # C1: 6 @ 28x28
            Activation(),
            Pool2d(2),  # S2: 6 @ 14x14
            Conv2d(6, 16, 5, **start),  # C3: 16 @ 10x10
            Activation(),
            Pool2d(2),  # S4: 16 @ 5x5
            Conv2d(16, 120, s4, **start),  # C5: 120 @ 1x1
            Activation(),
            Flatten(),
            Linear(120, 84, **start),  # F6: 84
            Activation(),
            Linear(84, num_classes, **start),  # OUTPUT: 10
        )
        self.input_shape = (in_channels, image_size, image_size)


class LeNet5Classic(LeNet5):
    """LeNet-5 with the activation of 1998, 1.7159 tanh(2x / 3), and average-pooling.

    It differs from the paper: C3 sees all maps of S2 (the paper's table of connections leaves out 900 weights); S2 and
    S4 have no trained coefficients and biases (44 in the paper) and no activation; the output is linear, for
    `fastcnn.nn.CrossEntropyLoss`, instead of distances to drawings of the digits; and the initial weights are those of
    `fastcnn.nn.Conv2d`. So it has 61,706 parameters; the network of the paper has 60,000 trained ones.

    Parameters
    ----------
    num_classes, in_channels, image_size, rng, dtype
        As in `LeNet5`.

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
    Cost: 416,520 multiply-adds per image forward.

    References
    ----------
    The paper of `LeNet5`; the activation is in appendix A.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.models import LeNet5Classic
    >>> model = LeNet5Classic(rng=np.random.default_rng(0))
    >>> model[1], model[2]
    (ScaledTanh(amplitude=1.7159, slope=0.666667), AvgPool2d(kernel_size=(2, 2), stride=(2, 2)))
    >>> sum(parameter.size for parameter in model.parameters())
    61706
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        image_size: int = 32,
        *,
        rng: np.random.Generator | None = None,
        dtype=np.float32,
    ):
        super().__init__(
            num_classes, in_channels, image_size, activation="scaled_tanh", pooling="avg", rng=rng, dtype=dtype
        )
