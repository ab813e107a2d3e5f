"""LeNet-5."""

import numpy as np

from fastcnn import _validate
from fastcnn.nn import AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential, Tanh


class LeNet5(Sequential):
    """LeNet-5 for 32x32 images: 61,706 parameters for 10 classes of grey images.

    The layers are those of the paper, but C3 sees all maps of S2, and as is usual today the activation is ReLU, the
    pooling takes the maximum and has no parameters, and the output is linear, for `fastcnn.nn.CrossEntropyLoss`.

    Parameters
    ----------
    num_classes : int, default 10
    in_channels : int, default 1
        Channels of the images.
    activation : {"relu", "tanh"}, default "relu"
        After C1, C3, C5 and F6.
    pooling : {"max", "avg"}, default "max"
        S2 and S4, 2x2.
    rng : numpy.random.Generator, optional
        Draws the initial parameters; by default a fresh one for each layer.
    dtype : {float32, float64}
        Of the parameters, and so of the images.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Notes
    -----
    Cost: 0.83 MFLOP an image forward, 2.26 MFLOP for a training step (the gradient of the image is not computed).

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
        *,
        activation: str = "relu",
        pooling: str = "max",
        rng: np.random.Generator | None = None,
        dtype=np.float32,
    ):
        Activation = {"relu": ReLU, "tanh": Tanh}[_validate.choice("activation", activation, ("relu", "tanh"))]
        Pool2d = {"max": MaxPool2d, "avg": AvgPool2d}[_validate.choice("pooling", pooling, ("max", "avg"))]
        start = {"rng": rng, "dtype": dtype}
        super().__init__(
            Conv2d(in_channels, 6, 5, **start),  # C1: 6 @ 28x28
            Activation(),
            Pool2d(2),  # S2: 6 @ 14x14
            Conv2d(6, 16, 5, **start),  # C3: 16 @ 10x10
            Activation(),
            Pool2d(2),  # S4: 16 @ 5x5
            Conv2d(16, 120, 5, **start),  # C5: 120 @ 1x1
            Activation(),
            Flatten(),
            Linear(120, 84, **start),  # F6: 84
            Activation(),
            Linear(84, num_classes, **start),  # OUTPUT: 10
        )
