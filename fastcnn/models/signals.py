"""A small network for signals."""

import numpy as np

from fastcnn import _validate
from fastcnn.nn import AdaptiveAvgPool1d, BatchNorm1d, Conv1d, Flatten, Linear, MaxPool1d, ReLU, Sequential, init


class SignalNet(Sequential):
    """Three convolutions of signals, each with batch normalization and ReLU, then the mean of each channel.

    For signals (N, C, L), such as those of sensors and microphones: 14,517 parameters for 5 classes and one channel.
    Since the mean is over all positions, signals may have any length of at least 16.

    Parameters
    ----------
    num_classes : int, default 5
    in_channels : int, default 1
        Channels of the signals.
    length : int, default 256
        Length of the signals in `input_shape` and in summaries, at least 16.
    rng : numpy.random.Generator, optional
        Draws the initial parameters; by default a new generator.
    dtype : {float32, float64}
        Dtype of the parameters and of the signals.

    Attributes
    ----------
    input_shape : (int, int)
        Shape of a signal, (C, L).

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Notes
    -----
    Cost: 430,400 multiply-adds forward per signal of length 256.

    References
    ----------
    Z. Wang, W. Yan and T. Oates, "Time series classification from scratch with deep neural networks: a strong
    baseline", IJCNN 2017, section II.B: their fully convolutional network, but with fewer and smaller filters, and with
    max-pooling between the convolutions.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.models import SignalNet
    >>> model = SignalNet(rng=np.random.default_rng(0))
    >>> model(np.zeros((2, 1, 100), np.float32)).shape
    (2, 5)
    >>> sum(parameter.size for parameter in model.parameters())  # 144 + 32, 3,584 + 64, 10,240 + 128 and 325
    14517
    """

    def __init__(
        self,
        num_classes: int = 5,
        in_channels: int = 1,
        length: int = 256,
        *,
        rng: np.random.Generator | None = None,
        dtype=np.float32,
    ):
        num_classes = _validate.count("num_classes", num_classes)
        in_channels = _validate.count("in_channels", in_channels)
        start = {"rng": init.generator(rng), "dtype": dtype}
        super().__init__(
            Conv1d(in_channels, 16, 9, padding="same", bias=False, **start),  # 16 @ 256
            BatchNorm1d(16, dtype=dtype),
            ReLU(),
            MaxPool1d(4),  # 16 @ 64
            Conv1d(16, 32, 7, padding="same", bias=False, **start),  # 32 @ 64
            BatchNorm1d(32, dtype=dtype),
            ReLU(),
            MaxPool1d(4),  # 32 @ 16
            Conv1d(32, 64, 5, padding="same", bias=False, **start),  # 64 @ 16
            BatchNorm1d(64, dtype=dtype),
            ReLU(),
            AdaptiveAvgPool1d(1),  # 64 @ 1: one number for each channel
            Flatten(),
            Linear(64, num_classes, **start),
        )
        self.input_shape = (in_channels, _validate.count("length", length, 16))
