"""Max- and average-pooling as layers, with windows of a given size and windows of a given number."""

from fastcnn import _geometry, _validate
from fastcnn._geometry import AdaptiveWindows, OutputSize, Padding, Pair, Windows
from fastcnn.nn.module import Module


class _Pool2d(Module):
    """What the two poolings share: where their windows lie."""

    def __init__(self, kernel_size: Pair, stride: Pair | None, padding: Padding, dilation: Pair, ceil_mode: bool):
        self.kernel_size = KH, KW = _geometry.pair("kernel_size", kernel_size)
        self.stride = self.kernel_size if stride is None else _geometry.pair("stride", stride)
        self.padding = _geometry.checked_padding(padding)
        self.dilation = DH, DW = _geometry.pair("dilation", dilation)
        self.ceil_mode = _validate.flag("ceil_mode", ceil_mode)
        covered = KH * DH, KW * DW
        _geometry.pool_windows(covered, self.kernel_size, self.stride, self.padding, self.dilation)  # checks `padding`

    def windows(self, shape: tuple[int, ...]) -> Windows:
        """Windows over images of this shape, (N, C, H, W)."""
        if len(shape) != 4:
            raise ValueError(f"{self} needs images (N, C, H, W) but its input has shape {shape}.")
        try:
            return _geometry.pool_windows(
                shape[2:], self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode
            )
        except ValueError as error:
            raise ValueError(f"{self} cannot take an input of shape {shape}. {error}") from None

    def extra_repr(self) -> str:
        """Kernel, stride, and what differs from its default."""
        options = {
            "padding": 0,
            "dilation": (1, 1),
            "ceil_mode": False,
            "count_include_pad": True,
            "divisor_override": None,
        }
        changed = "".join(f", {k}={getattr(self, k)!r}" for k, v in options.items() if getattr(self, k, v) != v)
        return f"kernel_size={self.kernel_size}, stride={self.stride}{changed}"


class MaxPool2d(_Pool2d):
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

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Padding = 0,
        dilation: Pair = 1,
        ceil_mode: bool = False,
    ):
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode)

    def forward_native(self, x, backend):
        """See `fastcnn.functional.max_pool2d`."""
        self._x_shape, self._at = x.shape, self.windows(x.shape)
        y, self._indices = backend.max_pool2d(x, self._at)
        return y

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.max_pool2d_backward`."""
        return backend.max_pool2d_backward(dy, self._indices, self._x_shape, self._at)


class AvgPool2d(_Pool2d):
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

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ):
        super().__init__(kernel_size, stride, padding, 1, ceil_mode)
        self.count_include_pad = _validate.flag("count_include_pad", count_include_pad)
        self.divisor_override = _validate.divisor("divisor_override", divisor_override)

    def forward_native(self, x, backend):
        """See `fastcnn.functional.avg_pool2d`."""
        self._at = self.windows(x.shape)
        return backend.avg_pool2d(x, self._at, self.count_include_pad, self.divisor_override)

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.avg_pool2d_backward`."""
        return backend.avg_pool2d_backward(dy, self._at, self.count_include_pad, self.divisor_override)


class _AdaptivePool2d(Module):
    """What the two adaptive poolings share: how many windows there are."""

    def __init__(self, output_size: OutputSize):
        self.output_size = _geometry.checked_output_size(output_size)

    def windows(self, shape: tuple[int, ...]) -> AdaptiveWindows:
        """Windows over images of this shape, (N, C, H, W)."""
        if len(shape) != 4:
            raise ValueError(f"{self} needs images (N, C, H, W) but its input has shape {shape}.")
        return _geometry.adaptive_windows(shape[2:], self.output_size)

    def extra_repr(self) -> str:
        """Rows and columns of windows."""
        return f"output_size={self.output_size}"


class AdaptiveMaxPool2d(_AdaptivePool2d):
    """Largest value in each of so many windows; see `fastcnn.functional.adaptive_max_pool2d`.

    ``AdaptiveMaxPool2d(1)`` is global max-pooling.

    Parameters
    ----------
    output_size : int or (int or None, int or None)
        Rows and columns of windows; None leaves an axis as it is.

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

    def forward_native(self, x, backend):
        """See `fastcnn.functional.adaptive_max_pool2d`."""
        self._x_shape, self._at = x.shape, self.windows(x.shape)
        y, self._indices = backend.adaptive_max_pool2d(x, self._at)
        return y

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.adaptive_max_pool2d_backward`."""
        return backend.adaptive_max_pool2d_backward(dy, self._indices, self._x_shape, self._at)


class AdaptiveAvgPool2d(_AdaptivePool2d):
    """Mean of each of so many windows; see `fastcnn.functional.adaptive_avg_pool2d`.

    ``AdaptiveAvgPool2d(1)`` is global average-pooling: the mean of each channel. Before a linear layer it makes a
    network take images of any size.

    Parameters
    ----------
    output_size : int or (int or None, int or None)
        Rows and columns of windows; None leaves an axis as it is.

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

    def forward_native(self, x, backend):
        """See `fastcnn.functional.adaptive_avg_pool2d`."""
        self._at = self.windows(x.shape)
        return backend.adaptive_avg_pool2d(x, self._at)

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.adaptive_avg_pool2d_backward`."""
        return backend.adaptive_avg_pool2d_backward(dy, self._at)


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
