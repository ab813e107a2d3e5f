"""Convolution as a layer."""

from functools import lru_cache

import numpy as np

from fastcnn import _geometry, _validate
from fastcnn._geometry import Padding, Pair, Windows
from fastcnn.nn import init
from fastcnn.nn.module import Module

_windows = lru_cache(_geometry.conv_windows)


class Conv2d(Module):
    """Convolution with trained filters; see `fastcnn.functional.conv2d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input, and filters.
    kernel_size : int or (int, int)
        Taps of a filter, (height, width).
    stride, padding, dilation, groups
        As in `fastcnn.functional.conv2d`.
    bias : bool, default True
        Whether a trained value is added to each output channel.
    rng : numpy.random.Generator, optional
        Draws the initial filters (see `fastcnn.nn.init.kaiming_uniform_`); by default a fresh one.
    dtype : {float32, float64}
        Of the parameters, and so of the images.

    Attributes
    ----------
    weight : Parameter of shape (out_channels, in_channels / groups, KH, KW)
    bias : Parameter of shape (out_channels,), or None

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or `groups` does not divide the channels.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> layer = nn.Conv2d(1, 6, 5, padding=2, rng=np.random.default_rng(0))
    >>> layer(np.zeros((8, 1, 28, 28), np.float32)).shape
    (8, 6, 28, 28)
    """

    replayable = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Padding = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        rng: np.random.Generator | None = None,
        dtype=np.float32,
    ):
        self.in_channels = _validate.count("in_channels", in_channels)
        self.out_channels = _validate.count("out_channels", out_channels)
        self.kernel_size = KH, KW = _geometry.pair("kernel_size", kernel_size)
        self.stride = _geometry.pair("stride", stride)
        self.padding = tuple(padding) if isinstance(padding, list) else padding
        self.dilation = DH, DW = _geometry.pair("dilation", dilation)
        self.groups = _validate.count("groups", groups)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"`groups` is {groups} but must divide `in_channels` ({in_channels}) and `out_channels` "
                f"({out_channels})."
            )
        _windows((KH * DH, KW * DW), self.kernel_size, self.stride, self.padding, self.dilation)  # checks `padding`
        self.weight = init.parameter((out_channels, in_channels // groups, KH, KW), dtype)
        self.bias = init.parameter((out_channels,), dtype) if bias else None
        init.default_(self.weight, self.bias, init.generator(rng))

    def forward_native(self, x, backend):
        """See `fastcnn.functional.conv2d`."""
        windows = self.remember(x)
        return backend.conv2d(x, self.weight.data, self.bias and self.bias.data, windows, self.groups)

    def remember(self, x) -> Windows:
        """Check the input and keep it for `backward_native`; returns where the windows lie in it."""
        shape = x.shape
        if len(shape) != 4 or shape[1] != self.in_channels or x.dtype != self.weight.dtype:
            self._explain(x)
        try:
            windows = _windows(shape[2:], self.kernel_size, self.stride, self.padding, self.dilation)
        except ValueError as error:
            raise ValueError(f"{self} cannot take an input of shape {shape}. {error}") from None
        self._x, self._at = x, windows
        return windows

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.conv2d_backward`."""
        return self.learn(*backend.conv2d_backward(dy, *self.remembered(), input_grad, True))

    def remembered(self) -> tuple:
        """What the gradients need of the last batch: its input, the filters, the windows and the groups."""
        return self._x, self.weight.data, self._at, self.groups

    def learn(self, dx, dweight: np.ndarray, dbias: np.ndarray):
        """Add the gradients of the parameters; return that of the input."""
        self.weight.accumulate(dweight)
        if self.bias:
            self.bias.accumulate(dbias)
        return dx

    def _explain(self, x) -> None:
        """Say what does not fit."""
        if len(x.shape) != 4:
            raise ValueError(f"{self} needs images (N, C, H, W) but its input has shape {x.shape}.")
        if x.shape[1] != self.in_channels:
            raise ValueError(f"{self} needs {self.in_channels} input channels but its input has shape {x.shape}.")
        raise TypeError(f"{self} has {self.weight.dtype} parameters but its input is {x.dtype}.")

    def extra_repr(self) -> str:
        """Channels, kernel, and what differs from its default."""
        options = {"stride": (1, 1), "padding": 0, "dilation": (1, 1), "groups": 1}
        changed = "".join(f", {k}={getattr(self, k)!r}" for k, v in options.items() if getattr(self, k) != v)
        bias = "" if self.bias else ", bias=False"
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}{changed}{bias}"
