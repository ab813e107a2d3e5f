"""Max- and average-pooling and their gradients."""

from typing import Literal, overload

import numpy as np

from fastcnn import _validate, backends
from fastcnn._geometry import Padding, Pair, index_type, pool_windows


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

    Of equal values the first in row-major order wins; padding never wins; a window with a NaN gives NaN, at the index
    of its last NaN, as PyTorch does.

    Parameters
    ----------
    x : ndarray of shape (N, C, H, W), float32 or float64
        Images.
    kernel_size : int or (int, int)
        Taps of the window, (height, width).
    stride : int or (int, int), optional
        Pixels between neighbouring windows; by default `kernel_size`.
    padding : int, pair, four ints, "valid" or "same", default 0
        As in `conv2d`; at most half of the (dilated) window on each side.
    dilation : int or (int, int), default 1
        Pixels between the taps of a window.
    ceil_mode : bool, default False
        Whether a last window may reach past the padded image; it starts inside the image or the padding before it.
    return_indices : bool, default False
        Whether to return the winners' places too, which `max_pool2d_backward` needs.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    y : ndarray of shape (N, C, OH, OW), dtype of `x`
    indices : ndarray of shape (N, C, OH, OW), int64
        Only with `return_indices`: ``iy * W + ix`` of each winner, its flat place in its plane of `x`.

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
    x = _validate.floats("x", x, 4)
    windows = pool_windows(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    with_indices = _validate.flag("return_indices", return_indices)
    implementation = backends.load(backend)
    y, indices = implementation.max_pool2d(implementation.pack(x), windows)
    y = implementation.unpack(y)
    return (y, implementation.unpack(indices).astype(np.int64)) if with_indices else y


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
    """Gradient of `max_pool2d`: each ``dy`` is added at the place of its window's winner.

    The indices say where that is. A backend that knows the windows besides may find it faster, as in a model.

    Parameters
    ----------
    dy : ndarray of shape (N, C, OH, OW), float32 or float64
        Gradient of the loss by the output.
    indices : ndarray of shape (N, C, OH, OW), integers
        As returned by `max_pool2d`.
    x_shape : (int, int, int, int)
        Shape of the input, (N, C, H, W).
    kernel_size, stride, padding, dilation, ceil_mode
        As given to `max_pool2d`, or left out.
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
        If shapes do not fit or an index lies outside the plane, or outside its window.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.max_pool2d_backward(np.array([[[[3.0]]]]), np.array([[[[2]]]]), (1, 1, 2, 2))[0, 0]
    array([[0., 0.],
           [3., 0.]])
    """
    dy = _validate.floats("dy", dy, 4)
    x_shape = input_shape(x_shape, dy)
    indices = _validate.indices("indices", indices, dy.shape, below=x_shape[2] * x_shape[3])
    windows = None
    if kernel_size is not None:
        windows = pool_windows(x_shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
        _validate.shape("dy", dy, (*x_shape[:2], windows.OH, windows.OW), "the shape of the pooling's output")
        taps = [
            np.arange(outputs)[:, None] * step - before + np.arange(count) * apart
            for outputs, step, before, count, apart in (
                (windows.OH, windows.SH, windows.top, windows.KH, windows.DH),
                (windows.OW, windows.SW, windows.left, windows.KW, windows.DW),
            )
        ]
        check_winners(indices, x_shape, *taps)
    implementation = backends.load(backend)
    places = implementation.pack(indices.astype(index_type(dy.dtype), copy=False))
    dx = implementation.max_pool2d_backward(implementation.pack(dy), places, x_shape, windows)
    return implementation.unpack(dx)


def check_winners(indices: np.ndarray, x_shape: tuple[int, int, int, int], rows, columns) -> None:
    """Raise ValueError if a winner is not in its window: ``rows`` and ``columns`` say which pixels are in each."""
    iy, ix = np.divmod(indices, x_shape[3])
    inside = np.ones(indices.shape, bool)
    for at, taps, axis in ((iy, rows, 2), (ix, columns, 3)):
        along = np.moveaxis(at, axis, -1)[..., None] == taps
        inside &= np.moveaxis(along.any(-1), -1, axis)
    if not inside.all():
        place = tuple(map(int, np.argwhere(~inside)[0]))
        raise ValueError(f"`indices` holds {indices[place]} at {place}, but that pixel is not in the output's window.")


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
        Whether the mean counts the zeros of the padding. What a window of `ceil_mode` covers past the padded image is
        never counted.
    divisor_override : int, optional
        What each sum is divided by in place of the count; not 0.

    Returns
    -------
    ndarray of shape (N, C, OH, OW), dtype of `x`

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.avg_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)[0, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    """
    x = _validate.floats("x", x, 4)
    windows = pool_windows(x.shape[2:], kernel_size, stride, padding, 1, ceil_mode)
    options = (
        _validate.flag("count_include_pad", count_include_pad),
        _validate.divisor("divisor_override", divisor_override),
    )
    implementation = backends.load(backend)
    return implementation.unpack(implementation.avg_pool2d(implementation.pack(x), windows, *options))


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
    """Gradient of `avg_pool2d`: each ``dy``, divided as its window's sum was, is added to the pixels of its window.

    Parameters
    ----------
    dy : ndarray of shape (N, C, OH, OW), float32 or float64
        Gradient of the loss by the output.
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
        As `avg_pool2d`; and if `dy` has not the shape of the output.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.avg_pool2d_backward(np.array([[[[4.0]]]]), (1, 1, 2, 2), 2)[0, 0]
    array([[1., 1.],
           [1., 1.]])
    """
    dy = _validate.floats("dy", dy, 4)
    x_shape = input_shape(x_shape, dy)
    windows = pool_windows(x_shape[2:], kernel_size, stride, padding, 1, ceil_mode)
    _validate.shape("dy", dy, (*x_shape[:2], windows.OH, windows.OW), "the shape of the pooling's output")
    options = (
        _validate.flag("count_include_pad", count_include_pad),
        _validate.divisor("divisor_override", divisor_override),
    )
    implementation = backends.load(backend)
    dx = implementation.avg_pool2d_backward(implementation.pack(dy), windows, *options)
    return implementation.unpack(dx)


def input_shape(x_shape, dy: np.ndarray) -> tuple[int, int, int, int]:
    """``x_shape`` if it is (N, C, H, W) with the N and C of ``dy``."""
    if not isinstance(x_shape, (tuple, list)) or len(x_shape) != 4:
        raise ValueError(f"`x_shape` must be (N, C, H, W), not {x_shape!r}.")
    x_shape = tuple(_validate.count("x_shape", extent) for extent in x_shape)
    if x_shape[:2] != dy.shape[:2]:
        raise ValueError(f"`x_shape` {x_shape} and `dy` {dy.shape} must agree in N and C, their first two extents.")
    return x_shape
