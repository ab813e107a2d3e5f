"""Max- and average-pooling layers for signals and images, with windows of a given size or a given number of windows."""

from fastcnn import _geometry, _validate
from fastcnn._geometry import (
    AdaptiveWindows,
    AnyPadding,
    Extents,
    OutputExtents,
    OutputLength,
    OutputSize,
    Padding,
    Pair,
    Sides,
    Single,
    Windows,
)
from fastcnn.functional.signals import as_given, as_images, images_shape
from fastcnn.nn.conv import LAYOUTS
from fastcnn.nn.module import Module


class _Pool(Module):
    """Base of poolings with windows of a given size. ``_axes`` is the number of axes along which they slide."""

    _axes: int

    def __init__(
        self, kernel_size: Extents, stride: Extents | None, padding: AnyPadding, dilation: Extents, ceil_mode: bool
    ):
        self.kernel_size = _geometry.per_axis("kernel_size", kernel_size, self._axes)
        self.stride = self.kernel_size if stride is None else _geometry.per_axis("stride", stride, self._axes)
        self.padding = _geometry.checked_padding(padding, self._axes)
        self.dilation = _geometry.per_axis("dilation", dilation, self._axes)
        self.ceil_mode = _validate.flag("ceil_mode", ceil_mode)
        covered = tuple(map(int.__mul__, self.kernel_size, self.dilation))
        _geometry.pool_windows(covered, self.kernel_size, self.stride, self.padding, self.dilation)  # checks `padding`

    def windows(self, shape: tuple[int, ...]) -> Windows:
        """Return the windows over signals or images of this shape, (N, C, L) or (N, C, H, W)."""
        if len(shape) != 2 + self._axes:
            raise ValueError(f"{self} needs {LAYOUTS[self._axes]} but its input has shape {shape}.")
        try:
            return _geometry.pool_windows(
                shape[2:], self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode
            )
        except ValueError as error:
            raise ValueError(f"{self} cannot take an input of shape {shape}. {error}") from None

    def extra_repr(self) -> str:
        """Return kernel size, stride and options other than the defaults for the repr."""
        options = {
            "padding": 0,
            "dilation": (1,) * self._axes,
            "ceil_mode": False,
            "count_include_pad": True,
            "divisor_override": None,
        }
        changed = "".join(f", {k}={getattr(self, k)!r}" for k, v in options.items() if getattr(self, k, v) != v)
        return f"kernel_size={self.kernel_size}, stride={self.stride}{changed}"


class _MaxPool(_Pool):
    """Base of max-pooling: the largest value in each window."""

    def forward_native(self, x, backend):
        """See `fastcnn.functional.max_pool2d`."""
        self._x_shape, self._at = images_shape(x.shape), self.windows(x.shape)
        y, self._indices = backend.max_pool2d(as_images(x, backend), self._at)
        return as_given(y, self._axes, backend)

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.max_pool2d_backward`."""
        dx = backend.max_pool2d_backward(as_images(dy, backend), self._indices, self._x_shape, self._at)
        return as_given(dx, self._axes, backend)


class MaxPool1d(_MaxPool):
    """Largest value in each window of signals; see `fastcnn.functional.max_pool1d`.

    Parameters
    ----------
    kernel_size, stride, padding, dilation, ceil_mode
        As in `fastcnn.functional.max_pool1d`.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.MaxPool1d(2)(np.array([[[1.0, 5.0, 2.0, 3.0]]]))
    array([[[5., 3.]]])
    """

    _axes = 1

    def __init__(
        self,
        kernel_size: Single,
        stride: Single | None = None,
        padding: Sides = 0,
        dilation: Single = 1,
        ceil_mode: bool = False,
    ):
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode)


class MaxPool2d(_MaxPool):
    """Largest value in each window; see `fastcnn.functional.max_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding, dilation, ceil_mode
        As in `fastcnn.functional.max_pool2d`.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.MaxPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4))[0, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    """

    _axes = 2

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Padding = 0,
        dilation: Pair = 1,
        ceil_mode: bool = False,
    ):
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode)


class _AvgPool(_Pool):
    """Base of average-pooling: the mean of each window."""

    def __init__(
        self,
        kernel_size: Extents,
        stride: Extents | None,
        padding: AnyPadding,
        ceil_mode: bool,
        count_include_pad: bool,
        divisor_override: int | None,
    ):
        super().__init__(kernel_size, stride, padding, 1, ceil_mode)
        self.count_include_pad = _validate.flag("count_include_pad", count_include_pad)
        self.divisor_override = _validate.divisor("divisor_override", divisor_override)

    def forward_native(self, x, backend):
        """See `fastcnn.functional.avg_pool2d`."""
        self._at = self.windows(x.shape)
        y = backend.avg_pool2d(as_images(x, backend), self._at, self.count_include_pad, self.divisor_override)
        return as_given(y, self._axes, backend)

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.avg_pool2d_backward`."""
        options = self.count_include_pad, self.divisor_override
        return as_given(backend.avg_pool2d_backward(as_images(dy, backend), self._at, *options), self._axes, backend)


class AvgPool1d(_AvgPool):
    """Mean of each window of signals; see `fastcnn.functional.avg_pool1d`.

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode, count_include_pad
        As in `fastcnn.functional.avg_pool1d`.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.AvgPool1d(2)(np.array([[[1.0, 5.0, 2.0, 3.0]]]))
    array([[[3. , 2.5]]])
    """

    _axes = 1

    def __init__(
        self,
        kernel_size: Single,
        stride: Single | None = None,
        padding: Sides = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ):
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad, None)


class AvgPool2d(_AvgPool):
    """Mean of each window; see `fastcnn.functional.avg_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        As in `fastcnn.functional.avg_pool2d`.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.AvgPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4))[0, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    """

    _axes = 2

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ):
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


class _AdaptivePool(Module):
    """Base of poolings with a given number of windows. ``_axes`` is the number of axes along which they lie."""

    _axes: int

    def __init__(self, output_size: OutputExtents):
        self.output_size = _geometry.checked_output_size(output_size, self._axes)

    def windows(self, shape: tuple[int, ...]) -> AdaptiveWindows:
        """Return the windows over signals or images of this shape, (N, C, L) or (N, C, H, W)."""
        if len(shape) != 2 + self._axes:
            raise ValueError(f"{self} needs {LAYOUTS[self._axes]} but its input has shape {shape}.")
        return _geometry.adaptive_windows(shape[2:], self.output_size)

    def extra_repr(self) -> str:
        """Return `output_size` for the repr."""
        return f"output_size={self.output_size}"


class _AdaptiveMaxPool(_AdaptivePool):
    """Base of adaptive max-pooling: the largest value in each of a given number of windows."""

    def forward_native(self, x, backend):
        """See `fastcnn.functional.adaptive_max_pool2d`."""
        self._x_shape, self._at = images_shape(x.shape), self.windows(x.shape)
        y, self._indices = backend.adaptive_max_pool2d(as_images(x, backend), self._at)
        return as_given(y, self._axes, backend)

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.adaptive_max_pool2d_backward`."""
        dx = backend.adaptive_max_pool2d_backward(as_images(dy, backend), self._indices, self._x_shape, self._at)
        return as_given(dx, self._axes, backend)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Largest value in each of a given number of windows of signals; see `fastcnn.functional.adaptive_max_pool1d`.

    Parameters
    ----------
    output_size : int or (int or None,)
        Number of windows; None keeps the length.

    Raises
    ------
    ValueError
        If `output_size` is not a size.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.AdaptiveMaxPool1d(2)(np.array([[[1.0, 5.0, 2.0, 3.0]]]))
    array([[[5., 3.]]])
    """

    _axes = 1

    def __init__(self, output_size: OutputLength):
        super().__init__(output_size)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Largest value in each of a given number of windows; see `fastcnn.functional.adaptive_max_pool2d`.

    ``AdaptiveMaxPool2d(1)`` is global max-pooling.

    Parameters
    ----------
    output_size : int or (int or None, int or None)
        Number of rows and columns of windows; None keeps the size of that axis.

    Raises
    ------
    ValueError
        If `output_size` is not a size.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.AdaptiveMaxPool2d((1, 2))(np.arange(10.0).reshape(1, 1, 2, 5))[0, 0]
    array([[7., 9.]])
    """

    _axes = 2

    def __init__(self, output_size: OutputSize):
        super().__init__(output_size)


class _AdaptiveAvgPool(_AdaptivePool):
    """Base of adaptive average-pooling: the mean of each of a given number of windows."""

    def forward_native(self, x, backend):
        """See `fastcnn.functional.adaptive_avg_pool2d`."""
        self._at = self.windows(x.shape)
        return as_given(backend.adaptive_avg_pool2d(as_images(x, backend), self._at), self._axes, backend)

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.adaptive_avg_pool2d_backward`."""
        dx = backend.adaptive_avg_pool2d_backward(as_images(dy, backend), self._at)
        return as_given(dx, self._axes, backend)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Mean of each of a given number of windows of signals; see `fastcnn.functional.adaptive_avg_pool1d`.

    ``AdaptiveAvgPool1d(1)`` is global average-pooling: the mean of each channel. Before a linear layer, it lets a
    network take signals of any length.

    Parameters
    ----------
    output_size : int or (int or None,)
        Number of windows; None keeps the length.

    Raises
    ------
    ValueError
        If `output_size` is not a size.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> head = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten())
    >>> head(np.arange(8.0).reshape(1, 2, 4))
    array([[1.5, 5.5]])
    """

    _axes = 1

    def __init__(self, output_size: OutputLength):
        super().__init__(output_size)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Mean of each of a given number of windows; see `fastcnn.functional.adaptive_avg_pool2d`.

    ``AdaptiveAvgPool2d(1)`` is global average-pooling: the mean of each channel. Before a linear layer, it lets a
    network take images of any size.

    Parameters
    ----------
    output_size : int or (int or None, int or None)
        Number of rows and columns of windows; None keeps the size of that axis.

    Raises
    ------
    ValueError
        If `output_size` is not a size.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> head(np.arange(8.0).reshape(1, 2, 2, 2))
    array([[1.5, 5.5]])
    """

    _axes = 2

    def __init__(self, output_size: OutputSize):
        super().__init__(output_size)


class GlobalAvgPool2d(Module):
    """Mean of each channel, (N, C, H, W) to (N, C): ``AdaptiveAvgPool2d(1)`` and `Flatten` in one.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.GlobalAvgPool2d()(np.arange(8.0).reshape(1, 2, 2, 2))
    array([[1.5, 5.5]])
    """

    def forward_native(self, x, backend):
        """See `fastcnn.functional.adaptive_avg_pool2d`."""
        if len(x.shape) != 4:
            raise ValueError(f"{self} needs images (N, C, H, W) but its input has shape {x.shape}.")
        self._at = _geometry.adaptive_windows(x.shape[2:], 1)
        y = backend.adaptive_avg_pool2d(x, self._at)
        self._shape = y.shape[1:]
        return backend.flatten(y)

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.adaptive_avg_pool2d_backward`."""
        return backend.adaptive_avg_pool2d_backward(backend.unflatten(dy, self._shape), self._at)
