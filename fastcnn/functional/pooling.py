"""Max- and average-pooling and their gradients."""

import math
from typing import Literal, overload

import numpy as np

from fastcnn import _validate, backends
from fastcnn._geometry import AnyPadding, Extents, Padding, Pair, Sides, Single, index_type, pool_windows
from fastcnn.functional.signals import as_given, as_images, extents, images_shape


@overload
def max_pool1d(
    x: np.ndarray, kernel_size: Single, stride: Single | None = ..., padding: Sides = ..., dilation: Single = ...,
    ceil_mode: bool = ..., *, return_indices: Literal[False] = ..., backend: str | None = ...,
) -> np.ndarray: ...  # fmt: skip
@overload
def max_pool1d(
    x: np.ndarray, kernel_size: Single, stride: Single | None = ..., padding: Sides = ..., dilation: Single = ...,
    ceil_mode: bool = ..., *, return_indices: Literal[True], backend: str | None = ...,
) -> tuple[np.ndarray, np.ndarray]: ...  # fmt: skip
def max_pool1d(
    x: np.ndarray,
    kernel_size: Single,
    stride: Single | None = None,
    padding: Sides = 0,
    dilation: Single = 1,
    ceil_mode: bool = False,
    *,
    return_indices: bool = False,
    backend: str | None = None,
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Largest value in each window of signals, as ``torch.nn.functional.max_pool1d``.

    It equals `max_pool2d` on images of one row, and treats equal values, padding and NaN in the same way.

    Parameters
    ----------
    x : ndarray of shape (N, C, L), float32 or float64
        Signals.
    kernel_size : int or (int,)
        Number of taps of the window.
    stride : int or (int,), optional
        Distance between neighbouring windows; by default `kernel_size`.
    padding : int, (int,), (int, int), "valid" or "same", default 0
        As in `conv1d`; at most half of the (dilated) window on each side.
    dilation : int or (int,), default 1
        Distance between neighbouring taps of a window.
    ceil_mode : bool, default False
        Whether the last window may reach past the padded signal; it starts inside the signal or the padding before it.
    return_indices : bool, default False
        Whether to return the positions of the maxima too; `max_pool1d_backward` needs them.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    y : ndarray of shape (N, C, OL), dtype of `x`
    indices : ndarray of shape (N, C, OL), int64
        Only with `return_indices`: the position of each maximum in its signal.

    Raises
    ------
    TypeError
        If `x` is not a float32 or float64 array.
    ValueError
        If `x` is not (N, C, L), or a window does not fit the signal.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.max_pool1d(np.array([[[1.0, 5.0, 2.0, 3.0]]]), 2, return_indices=True)
    (array([[[5., 3.]]]), array([[[1, 3]]]))
    """
    return _max_pool(1, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices, backend)


def max_pool1d_backward(
    dy: np.ndarray,
    indices: np.ndarray,
    x_shape: tuple[int, int, int],
    kernel_size: Single | None = None,
    stride: Single | None = None,
    padding: Sides = 0,
    dilation: Single = 1,
    ceil_mode: bool = False,
    *,
    backend: str | None = None,
) -> np.ndarray:
    """Gradient of `max_pool1d`: each ``dy`` is added at the position of its window's maximum.

    Parameters
    ----------
    dy : ndarray of shape (N, C, OL), float32 or float64
        Gradient of the loss with respect to the output.
    indices : ndarray of shape (N, C, OL), integers
        As returned by `max_pool1d`.
    x_shape : (int, int, int)
        Shape of the input, (N, C, L).
    kernel_size, stride, padding, dilation, ceil_mode
        As given to `max_pool1d`, or omitted.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of shape `x_shape`, dtype of `dy`

    Raises
    ------
    TypeError
        If `dy` is not a float array or `indices` is not an array of integers.
    ValueError
        If shapes do not match, or an index is outside the signal or outside its window.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.max_pool1d_backward(np.array([[[3.0, 4.0]]]), np.array([[[1, 3]]]), (1, 1, 4))
    array([[[0., 3., 0., 4.]]])
    """
    options = kernel_size, stride, padding, dilation, ceil_mode
    return _max_pool_backward(1, dy, indices, x_shape, *options, backend)


def avg_pool1d(
    x: np.ndarray,
    kernel_size: Single,
    stride: Single | None = None,
    padding: Sides = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    *,
    backend: str | None = None,
) -> np.ndarray:
    """Mean of each window of signals, as ``torch.nn.functional.avg_pool1d``.

    Parameters
    ----------
    x : ndarray of shape (N, C, L), float32 or float64
        Signals.
    kernel_size, stride, padding, ceil_mode, backend
        As in `max_pool1d`.
    count_include_pad : bool, default True
        Whether the mean counts the zeros of the padding. Positions past the padded signal, which `ceil_mode` allows,
        are never counted.

    Returns
    -------
    ndarray of shape (N, C, OL), dtype of `x`

    Raises
    ------
    TypeError, ValueError
        As in `max_pool1d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.avg_pool1d(np.array([[[1.0, 5.0, 2.0, 3.0]]]), 2)
    array([[[3. , 2.5]]])
    """
    return _avg_pool(1, x, kernel_size, stride, padding, ceil_mode, count_include_pad, None, backend)


def avg_pool1d_backward(
    dy: np.ndarray,
    x_shape: tuple[int, int, int],
    kernel_size: Single,
    stride: Single | None = None,
    padding: Sides = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    *,
    backend: str | None = None,
) -> np.ndarray:
    """Gradient of `avg_pool1d`: each ``dy``, divided by its window's divisor, is added to all positions of the window.

    Parameters
    ----------
    dy : ndarray of shape (N, C, OL), float32 or float64
        Gradient of the loss with respect to the output.
    x_shape : (int, int, int)
        Shape of the input, (N, C, L).
    kernel_size, stride, padding, ceil_mode, count_include_pad, backend
        As given to `avg_pool1d`.

    Returns
    -------
    ndarray of shape `x_shape`, dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        As in `avg_pool1d`, or if `dy` does not have the shape of the output.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.avg_pool1d_backward(np.array([[[4.0, 6.0]]]), (1, 1, 4), 2)
    array([[[2., 2., 3., 3.]]])
    """
    options = kernel_size, stride, padding, ceil_mode, count_include_pad, None
    return _avg_pool_backward(1, dy, x_shape, *options, backend)


@overload
def max_pool2d(
    x: np.ndarray, kernel_size: Pair, stride: Pair | None = ..., padding: Padding = ..., dilation: Pair = ...,
    ceil_mode: bool = ..., *, return_indices: Literal[False] = ..., backend: str | None = ...,
) -> np.ndarray: ...  # fmt: skip
@overload
def max_pool2d(
    x: np.ndarray, kernel_size: Pair, stride: Pair | None = ..., padding: Padding = ..., dilation: Pair = ...,
    ceil_mode: bool = ..., *, return_indices: Literal[True], backend: str | None = ...,
) -> tuple[np.ndarray, np.ndarray]: ...  # fmt: skip
def max_pool2d(
    x: np.ndarray,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    *,
    return_indices: bool = False,
    backend: str | None = None,
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Largest value in each window, as ``torch.nn.functional.max_pool2d``.

    Of equal values, the first in row-major order is the maximum; padding is never the maximum. A window that contains
    NaN gives NaN, with the index of its last NaN, as in PyTorch.

    Parameters
    ----------
    x : ndarray of shape (N, C, H, W), float32 or float64
        Images.
    kernel_size : int or (int, int)
        Number of taps of the window, (height, width).
    stride : int or (int, int), optional
        Distance between neighbouring windows in pixels; by default `kernel_size`.
    padding : int, pair, four ints, "valid" or "same", default 0
        As in `conv2d`; at most half of the (dilated) window on each side.
    dilation : int or (int, int), default 1
        Distance between neighbouring taps of a window, in pixels.
    ceil_mode : bool, default False
        Whether the last window may reach past the padded image; it starts inside the image or the padding before it.
    return_indices : bool, default False
        Whether to return the positions of the maxima too; `max_pool2d_backward` needs them.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    y : ndarray of shape (N, C, OH, OW), dtype of `x`
    indices : ndarray of shape (N, C, OH, OW), int64
        Only with `return_indices`: ``iy * W + ix`` of each maximum, its flat index in its plane of `x`.

    Raises
    ------
    TypeError
        If `x` is not a float32 or float64 array.
    ValueError
        If `x` is not (N, C, H, W), or a window does not fit the image.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> y, indices = F.max_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2, return_indices=True)
    >>> y[0, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    >>> indices[0, 0]
    array([[ 5,  7],
           [13, 15]])
    """
    return _max_pool(2, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices, backend)


def max_pool2d_backward(
    dy: np.ndarray,
    indices: np.ndarray,
    x_shape: tuple[int, int, int, int],
    kernel_size: Pair | None = None,
    stride: Pair | None = None,
    padding: Padding = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    *,
    backend: str | None = None,
) -> np.ndarray:
    """Gradient of `max_pool2d`: each ``dy`` is added at the position of its window's maximum.

    The indices determine the result. With `kernel_size` and the other options, as in a model, a backend may compute it
    faster.

    Parameters
    ----------
    dy : ndarray of shape (N, C, OH, OW), float32 or float64
        Gradient of the loss with respect to the output.
    indices : ndarray of shape (N, C, OH, OW), integers
        As returned by `max_pool2d`.
    x_shape : (int, int, int, int)
        Shape of the input, (N, C, H, W).
    kernel_size, stride, padding, dilation, ceil_mode
        As given to `max_pool2d`, or omitted.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of shape `x_shape`, dtype of `dy`

    Raises
    ------
    TypeError
        If `dy` is not a float array or `indices` is not an array of integers.
    ValueError
        If shapes do not match, or an index is outside the plane or outside its window.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.max_pool2d_backward(np.array([[[[3.0]]]]), np.array([[[[2]]]]), (1, 1, 2, 2))[0, 0]
    array([[0., 0.],
           [3., 0.]])
    """
    options = kernel_size, stride, padding, dilation, ceil_mode
    return _max_pool_backward(2, dy, indices, x_shape, *options, backend)


def avg_pool2d(
    x: np.ndarray,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    backend: str | None = None,
) -> np.ndarray:
    """Mean of each window, as ``torch.nn.functional.avg_pool2d``.

    Parameters
    ----------
    x : ndarray of shape (N, C, H, W), float32 or float64
        Images.
    kernel_size, stride, padding, ceil_mode, backend
        As in `max_pool2d`.
    count_include_pad : bool, default True
        Whether the mean counts the zeros of the padding. Pixels past the padded image, which `ceil_mode` allows, are
        never counted.
    divisor_override : int, optional
        Divisor of each sum instead of the count; not 0.

    Returns
    -------
    ndarray of shape (N, C, OH, OW), dtype of `x`

    Raises
    ------
    TypeError, ValueError
        As in `max_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.avg_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)[0, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    """
    return _avg_pool(2, x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, backend)


def avg_pool2d_backward(
    dy: np.ndarray,
    x_shape: tuple[int, int, int, int],
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    backend: str | None = None,
) -> np.ndarray:
    """Gradient of `avg_pool2d`: each ``dy``, divided by its window's divisor, is added to all pixels of the window.

    Parameters
    ----------
    dy : ndarray of shape (N, C, OH, OW), float32 or float64
        Gradient of the loss with respect to the output.
    x_shape : (int, int, int, int)
        Shape of the input, (N, C, H, W).
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, backend
        As given to `avg_pool2d`.

    Returns
    -------
    ndarray of shape `x_shape`, dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        As in `avg_pool2d`, or if `dy` does not have the shape of the output.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.avg_pool2d_backward(np.array([[[[4.0]]]]), (1, 1, 2, 2), 2)[0, 0]
    array([[1., 1.],
           [1., 1.]])
    """
    options = kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    return _avg_pool_backward(2, dy, x_shape, *options, backend)


def _max_pool(
    axes: int, x, kernel_size: Extents, stride: Extents | None, padding: AnyPadding, dilation: Extents, ceil_mode,
    return_indices, backend,
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """`max_pool1d` or `max_pool2d`, by the number of axes."""
    x = _validate.floats("x", x, 2 + axes)
    windows = pool_windows(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    with_indices = _validate.flag("return_indices", return_indices)
    implementation = backends.load(backend)
    found = implementation.max_pool2d(as_images(implementation.pack(x), implementation), windows)
    y, indices = (implementation.unpack(as_given(native, axes, implementation)) for native in found)
    return (y, indices.astype(np.int64)) if with_indices else y


def _max_pool_backward(
    axes: int, dy, indices, x_shape, kernel_size: Extents | None, stride: Extents | None, padding: AnyPadding,
    dilation: Extents, ceil_mode, backend,
) -> np.ndarray:  # fmt: skip
    """`max_pool1d_backward` or `max_pool2d_backward`, by the number of axes."""
    dy = _validate.floats("dy", dy, 2 + axes)
    x_shape = input_shape(x_shape, dy)
    indices = _validate.indices("indices", indices, dy.shape, below=math.prod(x_shape[2:]))
    windows = None
    if kernel_size is not None:
        windows = pool_windows(x_shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
        y_shape = *x_shape[:2], *extents(windows.OH, windows.OW, axes)
        _validate.shape("dy", dy, y_shape, "the shape of the pooling's output")
        taps = [
            np.arange(outputs)[:, None] * step - before + np.arange(count) * apart
            for outputs, step, before, count, apart in (
                (windows.OH, windows.SH, windows.top, windows.KH, windows.DH),
                (windows.OW, windows.SW, windows.left, windows.KW, windows.DW),
            )
        ]
        check_winners(indices, x_shape, *taps[-axes:])
    implementation = backends.load(backend)
    places = indices.astype(index_type(dy.dtype), copy=False)
    given = (as_images(implementation.pack(array), implementation) for array in (dy, places))
    dx = implementation.max_pool2d_backward(*given, images_shape(x_shape), windows)
    return implementation.unpack(as_given(dx, axes, implementation))


def check_winners(indices: np.ndarray, x_shape: tuple[int, ...], *taps: np.ndarray) -> None:
    """Raise ValueError if an index is outside its window; ``taps`` are, for each axis, the pixels of each window."""
    inside = np.ones(indices.shape, bool)
    for axis, (at, pixels) in enumerate(zip(np.unravel_index(indices, x_shape[2:]), taps, strict=True), 2):
        along = np.moveaxis(at, axis, -1)[..., None] == pixels
        inside &= np.moveaxis(along.any(-1), -1, axis)
    if not inside.all():
        place = tuple(map(int, np.argwhere(~inside)[0]))
        raise ValueError(f"`indices` holds {indices[place]} at {place}, but that pixel is not in the output's window.")


def _avg_pool(
    axes: int, x, kernel_size: Extents, stride: Extents | None, padding: AnyPadding, ceil_mode, count_include_pad,
    divisor_override, backend,
) -> np.ndarray:  # fmt: skip
    """`avg_pool1d` or `avg_pool2d`, by the number of axes."""
    x = _validate.floats("x", x, 2 + axes)
    windows = pool_windows(x.shape[2:], kernel_size, stride, padding, 1, ceil_mode)
    options = (
        _validate.flag("count_include_pad", count_include_pad),
        _validate.divisor("divisor_override", divisor_override),
    )
    implementation = backends.load(backend)
    y = implementation.avg_pool2d(as_images(implementation.pack(x), implementation), windows, *options)
    return implementation.unpack(as_given(y, axes, implementation))


def _avg_pool_backward(
    axes: int, dy, x_shape, kernel_size: Extents, stride: Extents | None, padding: AnyPadding, ceil_mode,
    count_include_pad, divisor_override, backend,
) -> np.ndarray:  # fmt: skip
    """`avg_pool1d_backward` or `avg_pool2d_backward`, by the number of axes."""
    dy = _validate.floats("dy", dy, 2 + axes)
    x_shape = input_shape(x_shape, dy)
    windows = pool_windows(x_shape[2:], kernel_size, stride, padding, 1, ceil_mode)
    y_shape = *x_shape[:2], *extents(windows.OH, windows.OW, axes)
    _validate.shape("dy", dy, y_shape, "the shape of the pooling's output")
    options = (
        _validate.flag("count_include_pad", count_include_pad),
        _validate.divisor("divisor_override", divisor_override),
    )
    implementation = backends.load(backend)
    dx = implementation.avg_pool2d_backward(as_images(implementation.pack(dy), implementation), windows, *options)
    return implementation.unpack(as_given(dx, axes, implementation))


def input_shape(x_shape, dy: np.ndarray) -> tuple[int, ...]:
    """``x_shape`` if it is (N, C, L) or (N, C, H, W), as ``dy`` is, with the N and C of ``dy``."""
    if not isinstance(x_shape, (tuple, list)) or len(x_shape) != dy.ndim:
        layout = "(N, C, L)" if dy.ndim == 3 else "(N, C, H, W)"
        raise ValueError(f"`x_shape` must be {layout}, not {x_shape!r}.")
    x_shape = tuple(_validate.count("x_shape", extent) for extent in x_shape)
    if x_shape[:2] != dy.shape[:2]:
        raise ValueError(f"`x_shape` {x_shape} and `dy` {dy.shape} must agree in N and C, their first two extents.")
    return x_shape
