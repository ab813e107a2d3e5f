"""Convolution and transposed convolution layers for signals and images."""

import math
from typing import Any

import numpy as np

from fastcnn import _geometry, _validate
from fastcnn._geometry import AnyPadding, Extents, Padded, Padding, Pair, Sides, Single, Windows
from fastcnn.functional.padding import MODES
from fastcnn.functional.signals import as_given, as_images, filters
from fastcnn.nn import init
from fastcnn.nn.module import Module
from fastcnn.nn.parameter import Parameter

LAYOUTS = {1: "signals (N, C, L)", 2: "images (N, C, H, W)"}
"""Input of a layer by the number of axes along which its windows slide."""


class _Conv(Module):
    """Base of all convolutions; a subclass defines ``windows(image)``, which returns the positions of the windows.

    ``_axes`` is the number of axes along which the windows slide. Backends take images only: a signal is an image with
    one row.
    """

    _axes: int
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Extents,
        stride: Extents,
        padding: AnyPadding,
        dilation: Extents,
        groups: int,
        bias: bool,
        rng: np.random.Generator | None,
        dtype,
    ):
        self.in_channels = _validate.count("in_channels", in_channels)
        self.out_channels = _validate.count("out_channels", out_channels)
        self.kernel_size = _geometry.per_axis("kernel_size", kernel_size, self._axes)
        self.stride = _geometry.per_axis("stride", stride, self._axes)
        self.padding = _geometry.checked_padding(padding, self._axes)
        self.dilation = _geometry.per_axis("dilation", dilation, self._axes)
        self.groups = _validate.count("groups", groups)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"`groups` is {groups} but must divide `in_channels` ({in_channels}) and `out_channels` "
                f"({out_channels})."
            )
        self.weight = init.parameter(self.weight_shape, dtype)
        self.bias = init.parameter((self.out_channels,), dtype) if _validate.flag("bias", bias) else None
        init.default_(self.weight, self.bias, init.generator(rng))

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the filters."""
        raise NotImplementedError(f"{type(self).__name__} must define weight_shape.")

    def windows(self, image: tuple[int, ...]) -> Windows:
        """Return the positions of the windows in signals or images of this size, (L,) or (H, W)."""
        raise NotImplementedError(f"{type(self).__name__} must define windows(image).")

    def check(self, x) -> Windows:
        """Raise an error if the input or a parameter does not fit; return the positions of the windows."""
        shape = x.shape
        if len(shape) != 2 + self._axes or shape[1] != self.in_channels or x.dtype != self.weight.dtype:
            self._explain(x)
        self.check_parameters(x.dtype)
        try:
            windows = self.windows(shape[2:])
        except ValueError as error:
            raise ValueError(f"{self} cannot take an input of shape {shape}. {error}") from None
        return windows

    def check_parameters(self, dtype) -> np.ndarray:
        """Raise an error if a parameter's array does not fit; return the filters, as those of images."""
        self.check_arrays(dtype, weight=self.weight_shape, bias=(self.out_channels,))
        return filters(self.weight.data)

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Filters, as those of images, and bias."""
        return filters(self.weight.data), self.bias.data if self.bias else None

    def learn(self, backend, dx, dweight: np.ndarray | None, dbias: np.ndarray | None):
        """Add the gradients of the parameters; return that of the input, in the input's layout."""
        self.weight.accumulate(None if dweight is None else dweight.reshape(self.weight_shape))
        if self.bias:
            self.bias.accumulate(dbias)
        return None if dx is None else as_given(dx, self._axes, backend)

    def _explain(self, x) -> None:
        """Raise an error that describes what does not fit."""
        if len(x.shape) != 2 + self._axes:
            raise ValueError(f"{self} needs {LAYOUTS[self._axes]} but its input has shape {x.shape}.")
        if x.shape[1] != self.in_channels:
            raise ValueError(f"{self} needs {self.in_channels} input channels but its input has shape {x.shape}.")
        dtype = self.weight.dtype
        raise TypeError(
            f"{self} has {dtype} parameters but its input is {x.dtype}; convert it with .astype(np.{dtype})."
        )

    def extra_repr(self) -> str:
        """Return channels, kernel size and options other than the defaults for the repr."""
        defaults: dict[str, Any] = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, "groups": 1}
        defaults["padding_mode"] = "zeros"
        options = {name: getattr(self, name, default) for name, default in defaults.items()}
        changed = "".join(
            f", {k}={v!r}" for k, v in options.items() if v not in (defaults[k], (defaults[k],) * self._axes)
        )
        bias = "" if self.bias else ", bias=False"
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}{changed}{bias}"


class _Convolution(_Conv):
    """Base of convolutions: windows slide over the input."""

    def __init__(self, *options, padding_mode: str):
        super().__init__(*options)
        modes = "zeros", *MODES[1:]  # PyTorch's layers say "zeros", not "constant"
        self.padding_mode = _validate.choice("padding_mode", padding_mode, modes)

    def forward_native(self, x, backend, *, relu: bool = False):
        """See `fastcnn.functional.conv2d`; for ``relu``, see `fastcnn.nn.fusion`."""
        self._at, self._around = self.check(x), None
        self._x = as_images(x, backend)
        if self.padding_mode != "zeros":
            self._around = around = self.surroundings(self._x.shape, self._at)
            self._x = backend.pad(self._x, around, 0.0)
            w = self._at
            image, kernel = self._x.shape[2:], (w.KH, w.KW)
            self._at = _geometry.conv_windows(image, kernel, (w.SH, w.SW), 0, (w.DH, w.DW))
        operation = backend.conv2d_relu if relu else backend.conv2d
        y = operation(self._x, *self.arrays, self._at, self.groups)
        return as_given(y, self._axes, backend)

    def surroundings(self, shape: tuple[int, ...], w: Windows) -> Padded:
        """Return the geometry of the padding around images of this shape, for modes other than "zeros"."""
        try:
            return _geometry.padded(shape[2:], (w.left, w.right, w.top, w.bottom), self.padding_mode)
        except ValueError as error:
            raise ValueError(f"{self} cannot take an input of shape {shape}. {error}") from None

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """(O, C / groups, K) or (O, C / groups, KH, KW)."""
        return self.out_channels, self.in_channels // self.groups, *self.kernel_size

    def windows(self, image: tuple[int, ...]) -> Windows:
        """Return the positions of windows over the input."""
        return _geometry.conv_windows(image, self.kernel_size, self.stride, self.padding, self.dilation)

    def multiply_adds(self, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> int:
        """Return one multiply-add for each filter value and each output pixel."""
        return self.weight.size * math.prod(y_shape[1:])

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.conv2d_backward`."""
        weight = self.check_parameters(dy.dtype)
        given = as_images(dy, backend), self._x, weight, self._at, self.groups
        dx, *gradients = backend.conv2d_backward(*given, input_grad, self.learns())
        if self._around and input_grad:
            dx = backend.pad_backward(dx, self._around)
        return self.learn(backend, dx, *gradients)


class Conv1d(_Convolution):
    """Convolution of signals with learned filters; see `fastcnn.functional.conv1d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Number of input channels, and of filters.
    kernel_size : int or (int,)
        Length of a filter.
    stride, padding, dilation, groups
        As in `fastcnn.functional.conv1d`.
    bias : bool, default True
        Whether to add a learned bias to each output channel.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}, default "zeros"
        What the padding is filled with; see `fastcnn.functional.pad`.
    rng : numpy.random.Generator, optional
        Draws the initial filters (see `fastcnn.nn.init.kaiming_uniform_`); by default a new generator.
    dtype : {float32, float64}
        Dtype of the parameters, and so of the input.

    Attributes
    ----------
    weight : Parameter of shape (out_channels, in_channels / groups, K)
    bias : Parameter of shape (out_channels,), or None

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or `groups` does not divide the channels.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> layer = nn.Conv1d(3, 8, 5, padding="same", rng=np.random.default_rng(0))
    >>> layer(np.zeros((4, 3, 100), np.float32)).shape
    (4, 8, 100)
    """

    _axes = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Single,
        stride: Single = 1,
        padding: Sides = 0,
        dilation: Single = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        rng: np.random.Generator | None = None,
        dtype=np.float32,
    ):
        options = kernel_size, stride, padding, dilation, groups
        super().__init__(in_channels, out_channels, *options, bias, rng, dtype, padding_mode=padding_mode)


class Conv2d(_Convolution):
    """Convolution with learned filters; see `fastcnn.functional.conv2d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Number of input channels, and of filters.
    kernel_size : int or (int, int)
        Size of a filter, (height, width).
    stride, padding, dilation, groups
        As in `fastcnn.functional.conv2d`.
    bias : bool, default True
        Whether to add a learned bias to each output channel.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}, default "zeros"
        What the padding is filled with; see `fastcnn.functional.pad`.
    rng : numpy.random.Generator, optional
        Draws the initial filters (see `fastcnn.nn.init.kaiming_uniform_`); by default a new generator.
    dtype : {float32, float64}
        Dtype of the parameters, and so of the input.

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

    _axes = 2

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
        padding_mode: str = "zeros",
        *,
        rng: np.random.Generator | None = None,
        dtype=np.float32,
    ):
        options = kernel_size, stride, padding, dilation, groups
        super().__init__(in_channels, out_channels, *options, bias, rng, dtype, padding_mode=padding_mode)


class _TransposedConvolution(_Conv):
    """Base of transposed convolutions: windows slide over the output."""

    padding: tuple[int, ...]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Extents,
        stride: Extents,
        padding: Extents,
        output_padding: Extents,
        dilation: Extents,
        *others,
    ):
        padding = _geometry.per_axis("padding", padding, self._axes, 0)
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, *others)
        self.output_padding = _geometry.per_axis("output_padding", output_padding, self._axes, 0)
        enough = 2 * max(padding) + 1  # pixels: large enough that `padding` does not remove the whole output
        self.windows((enough,) * self._axes)  # checks `output_padding`

    def forward_native(self, x, backend):
        """See `fastcnn.functional.conv_transpose2d`."""
        self._at = self.check(x)
        self._x = as_images(x, backend)
        y = backend.conv_transpose2d(self._x, *self.arrays, self._at, self.groups)
        return as_given(y, self._axes, backend)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """(C, O / groups, K) or (C, O / groups, KH, KW)."""
        return self.in_channels, self.out_channels // self.groups, *self.kernel_size

    def windows(self, image: tuple[int, ...]) -> Windows:
        """Return the positions of windows over the output."""
        return _geometry.conv_transpose_windows(
            image, self.kernel_size, self.stride, self.padding, self.output_padding, self.dilation
        )

    def multiply_adds(self, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> int:
        """Return one multiply-add for each filter value and each input pixel."""
        return self.weight.size * math.prod(x_shape[1:])

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.conv_transpose2d_backward`."""
        weight = self.check_parameters(dy.dtype)
        given = as_images(dy, backend), self._x, weight, self._at, self.groups
        return self.learn(backend, *backend.conv_transpose2d_backward(*given, input_grad, self.learns()))


class ConvTranspose1d(_TransposedConvolution):
    """Transposed convolution of signals with learned filters; see `fastcnn.functional.conv_transpose1d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Number of input and output channels.
    kernel_size : int or (int,)
        Length of a filter.
    stride, padding, output_padding, groups, dilation
        As in `fastcnn.functional.conv_transpose1d`; `groups` must divide both numbers of channels.
    bias : bool, default True
        Whether to add a learned bias to each output channel.
    rng : numpy.random.Generator, optional
        Draws the initial filters, uniformly in ±1 / sqrt(out_channels / groups * K) as PyTorch does; by default a new
        generator.
    dtype : {float32, float64}
        Dtype of the parameters, and so of the input.

    Attributes
    ----------
    weight : Parameter of shape (in_channels, out_channels / groups, K)
    bias : Parameter of shape (out_channels,), or None

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or `groups` does not divide the channels.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> layer = nn.ConvTranspose1d(16, 8, 4, stride=2, padding=1, rng=np.random.default_rng(0))
    >>> layer(np.zeros((4, 16, 50), np.float32)).shape
    (4, 8, 100)
    """

    _axes = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Single,
        stride: Single = 1,
        padding: Single = 0,
        output_padding: Single = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Single = 1,
        *,
        rng: np.random.Generator | None = None,
        dtype=np.float32,
    ):
        options = kernel_size, stride, padding, output_padding, dilation, groups
        super().__init__(in_channels, out_channels, *options, bias, rng, dtype)


class ConvTranspose2d(_TransposedConvolution):
    """Transposed convolution with learned filters; see `fastcnn.functional.conv_transpose2d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Number of input and output channels.
    kernel_size : int or (int, int)
        Size of a filter, (height, width).
    stride, padding, output_padding, groups, dilation
        As in `fastcnn.functional.conv_transpose2d`; `groups` must divide both numbers of channels.
    bias : bool, default True
        Whether to add a learned bias to each output channel.
    rng : numpy.random.Generator, optional
        Draws the initial filters, uniformly in ±1 / sqrt(out_channels / groups * KH * KW) as PyTorch does; by default a
        new generator.
    dtype : {float32, float64}
        Dtype of the parameters, and so of the input.

    Attributes
    ----------
    weight : Parameter of shape (in_channels, out_channels / groups, KH, KW)
    bias : Parameter of shape (out_channels,), or None

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or `groups` does not divide the channels.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> layer = nn.ConvTranspose2d(16, 8, 3, stride=2, padding=1, output_padding=1, rng=np.random.default_rng(0))
    >>> layer(np.zeros((4, 16, 7, 7), np.float32)).shape
    (4, 8, 14, 14)
    """

    _axes = 2

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        output_padding: Pair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Pair = 1,
        *,
        rng: np.random.Generator | None = None,
        dtype=np.float32,
    ):
        options = kernel_size, stride, padding, output_padding, dilation, groups
        super().__init__(in_channels, out_channels, *options, bias, rng, dtype)
