"""Max- and average-pooling to a given size, and their gradients."""

import math
from typing import Literal, overload

import numpy as np

from fastcnn import _validate, backends
from fastcnn._geometry import OutputExtents, OutputLength, OutputSize, adaptive_windows, index_type
from fastcnn.functional.pooling import check_winners, input_shape
from fastcnn.functional.signals import as_given, as_images, images_shape


@overload
def adaptive_max_pool1d(
    x: np.ndarray, output_size: OutputLength, *, return_indices: Literal[False] = ..., backend: str | None = ...,
) -> np.ndarray: ...  # fmt: skip
@overload
def adaptive_max_pool1d(
    x: np.ndarray, output_size: OutputLength, *, return_indices: Literal[True], backend: str | None = ...,
) -> tuple[np.ndarray, np.ndarray]: ...  # fmt: skip
def adaptive_max_pool1d(
    x: np.ndarray, output_size: OutputLength, *, return_indices: bool = False, backend: str | None = None
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Max-pooling of signals to a given length, as ``torch.nn.functional.adaptive_max_pool1d``.

    The windows are those of `adaptive_max_pool2d` along one axis.

    Parameters
    ----------
    x : ndarray of shape (N, C, L), float32 or float64
        Signals.
    output_size : int or (int or None,)
        OL; None leaves the length as it is. OL may be larger than L.
    return_indices : bool, default False
        Whether to return the positions of the maxima too; `adaptive_max_pool1d_backward` needs them.
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
        If `x` is not (N, C, L), or `output_size` is not valid.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.adaptive_max_pool1d(np.array([[[1.0, 5.0, 2.0, 3.0]]]), 2, return_indices=True)
    (array([[[5., 3.]]]), array([[[1, 3]]]))
    """
    return _adaptive_max_pool(1, x, output_size, return_indices, backend)


def adaptive_max_pool1d_backward(
    dy: np.ndarray, indices: np.ndarray, x_shape: tuple[int, int, int], *, backend: str | None = None
) -> np.ndarray:
    """Gradient of `adaptive_max_pool1d`: each ``dy`` is added at the position of its window's maximum.

    Parameters
    ----------
    dy : ndarray of shape (N, C, OL), float32 or float64
        Gradient of the loss with respect to the output.
    indices : ndarray of shape (N, C, OL), integers
        As returned by `adaptive_max_pool1d`.
    x_shape : (int, int, int)
        Shape of the input, (N, C, L).
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
    >>> F.adaptive_max_pool1d_backward(np.array([[[3.0, 4.0]]]), np.array([[[1, 1]]]), (1, 1, 3))
    array([[[0., 7., 0.]]])
    """
    return _adaptive_max_pool_backward(1, dy, indices, x_shape, backend)


def adaptive_avg_pool1d(x: np.ndarray, output_size: OutputLength, *, backend: str | None = None) -> np.ndarray:
    """Average-pooling of signals to a given length, as ``torch.nn.functional.adaptive_avg_pool1d``.

    With `output_size` 1 it is the mean of each channel: global average-pooling.

    Parameters
    ----------
    x : ndarray of shape (N, C, L), float32 or float64
        Signals.
    output_size, backend
        As in `adaptive_max_pool1d`; the windows are the same.

    Returns
    -------
    ndarray of shape (N, C, OL), dtype of `x`

    Raises
    ------
    TypeError, ValueError
        As in `adaptive_max_pool1d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.adaptive_avg_pool1d(np.arange(5.0).reshape(1, 1, 5), 2)
    array([[[1., 3.]]])
    """
    return _adaptive_avg_pool(1, x, output_size, backend)


def adaptive_avg_pool1d_backward(
    dy: np.ndarray, x_shape: tuple[int, int, int], *, backend: str | None = None
) -> np.ndarray:
    """Gradient of `adaptive_avg_pool1d`: each ``dy`` is spread evenly over the positions of its window.

    Parameters
    ----------
    dy : ndarray of shape (N, C, OL), float32 or float64
        Gradient of the loss with respect to the output; its length is the `output_size`.
    x_shape : (int, int, int)
        Shape of the input, (N, C, L).
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of shape `x_shape`, dtype of `dy`

    Raises
    ------
    TypeError
        If `dy` is not a float array.
    ValueError
        If `dy` and `x_shape` differ in N or C.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.adaptive_avg_pool1d_backward(np.array([[[3.0, 6.0]]]), (1, 1, 5))
    array([[[1., 1., 3., 2., 2.]]])
    """
    return _adaptive_avg_pool_backward(1, dy, x_shape, backend)


@overload
def adaptive_max_pool2d(
    x: np.ndarray, output_size: OutputSize, *, return_indices: Literal[False] = ..., backend: str | None = ...,
) -> np.ndarray: ...  # fmt: skip
@overload
def adaptive_max_pool2d(
    x: np.ndarray, output_size: OutputSize, *, return_indices: Literal[True], backend: str | None = ...,
) -> tuple[np.ndarray, np.ndarray]: ...  # fmt: skip
def adaptive_max_pool2d(
    x: np.ndarray, output_size: OutputSize, *, return_indices: bool = False, backend: str | None = None
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Max-pooling to a given size, as ``torch.nn.functional.adaptive_max_pool2d``.

    Output row ``oy`` of OH reads rows ``floor(oy * H / OH)`` to ``ceil((oy + 1) * H / OH) - 1``, and columns likewise.
    If OH divides H, all windows have the same height and do not overlap; else neighbouring windows may share a row.
    Equal values and NaN are treated as in `max_pool2d`.

    Parameters
    ----------
    x : ndarray of shape (N, C, H, W), float32 or float64
        Images.
    output_size : int or (int or None, int or None)
        (OH, OW), or one number for both; None leaves an axis as it is. They may be larger than H and W.
    return_indices : bool, default False
        Whether to return the positions of the maxima too; `adaptive_max_pool2d_backward` needs them.
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
        If `x` is not (N, C, H, W), or `output_size` is not valid.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> y, indices = F.adaptive_max_pool2d(np.arange(10.0).reshape(1, 1, 2, 5), (1, 2), return_indices=True)
    >>> y[0, 0], indices[0, 0]
    (array([[7., 9.]]), array([[7, 9]]))
    """
    return _adaptive_max_pool(2, x, output_size, return_indices, backend)


def adaptive_max_pool2d_backward(
    dy: np.ndarray, indices: np.ndarray, x_shape: tuple[int, int, int, int], *, backend: str | None = None
) -> np.ndarray:
    """Gradient of `adaptive_max_pool2d`: each ``dy`` is added at the position of its window's maximum.

    It computes the same as `max_pool2d_backward`.

    Parameters
    ----------
    dy : ndarray of shape (N, C, OH, OW), float32 or float64
        Gradient of the loss with respect to the output.
    indices : ndarray of shape (N, C, OH, OW), integers
        As returned by `adaptive_max_pool2d`.
    x_shape : (int, int, int, int)
        Shape of the input, (N, C, H, W).
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
    >>> F.adaptive_max_pool2d_backward(np.array([[[[3.0, 4.0]]]]), np.array([[[[1, 1]]]]), (1, 1, 1, 3))[0, 0]
    array([[0., 7., 0.]])
    """
    return _adaptive_max_pool_backward(2, dy, indices, x_shape, backend)


def adaptive_avg_pool2d(x: np.ndarray, output_size: OutputSize, *, backend: str | None = None) -> np.ndarray:
    """Average-pooling to a given size, as ``torch.nn.functional.adaptive_avg_pool2d``.

    With `output_size` 1 it is the mean of each channel: global average-pooling.

    Parameters
    ----------
    x : ndarray of shape (N, C, H, W), float32 or float64
        Images.
    output_size, backend
        As in `adaptive_max_pool2d`; the windows are the same.

    Returns
    -------
    ndarray of shape (N, C, OH, OW), dtype of `x`

    Raises
    ------
    TypeError, ValueError
        As in `adaptive_max_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.adaptive_avg_pool2d(np.arange(5.0).reshape(1, 1, 1, 5), (None, 2))[0, 0]
    array([[1., 3.]])
    >>> F.adaptive_avg_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 1)[0, 0]
    array([[7.5]])
    """
    return _adaptive_avg_pool(2, x, output_size, backend)


def adaptive_avg_pool2d_backward(
    dy: np.ndarray, x_shape: tuple[int, int, int, int], *, backend: str | None = None
) -> np.ndarray:
    """Gradient of `adaptive_avg_pool2d`: each ``dy`` is spread evenly over the pixels of its window.

    Parameters
    ----------
    dy : ndarray of shape (N, C, OH, OW), float32 or float64
        Gradient of the loss with respect to the output; its size is the `output_size`.
    x_shape : (int, int, int, int)
        Shape of the input, (N, C, H, W).
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of shape `x_shape`, dtype of `dy`

    Raises
    ------
    TypeError
        If `dy` is not a float array.
    ValueError
        If `dy` and `x_shape` differ in N or C.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.adaptive_avg_pool2d_backward(np.array([[[[3.0, 6.0]]]]), (1, 1, 1, 5))[0, 0]
    array([[1., 1., 3., 2., 2.]])
    """
    return _adaptive_avg_pool_backward(2, dy, x_shape, backend)


def _adaptive_max_pool(
    axes: int, x, output_size: OutputExtents, return_indices, backend
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """`adaptive_max_pool1d` or `adaptive_max_pool2d`, by the number of axes."""
    x = _validate.floats("x", x, 2 + axes)
    windows = adaptive_windows(x.shape[2:], output_size)
    with_indices = _validate.flag("return_indices", return_indices)
    implementation = backends.load(backend)
    found = implementation.adaptive_max_pool2d(as_images(implementation.pack(x), implementation), windows)
    y, indices = (implementation.unpack(as_given(native, axes, implementation)) for native in found)
    return (y, indices.astype(np.int64)) if with_indices else y


def _adaptive_max_pool_backward(axes: int, dy, indices, x_shape, backend) -> np.ndarray:
    """`adaptive_max_pool1d_backward` or `adaptive_max_pool2d_backward`, by the number of axes."""
    dy = _validate.floats("dy", dy, 2 + axes)
    x_shape = input_shape(x_shape, dy)
    indices = _validate.indices("indices", indices, dy.shape, below=math.prod(x_shape[2:]))
    windows = adaptive_windows(x_shape[2:], dy.shape[2:])
    check_winners(indices, x_shape, *map(_pixels, (windows.rows, windows.columns)[-axes:]))
    implementation = backends.load(backend)
    places = indices.astype(index_type(dy.dtype), copy=False)
    given = (as_images(implementation.pack(array), implementation) for array in (dy, places))
    dx = implementation.adaptive_max_pool2d_backward(*given, images_shape(x_shape), windows)
    return implementation.unpack(as_given(dx, axes, implementation))


def _adaptive_avg_pool(axes: int, x, output_size: OutputExtents, backend) -> np.ndarray:
    """`adaptive_avg_pool1d` or `adaptive_avg_pool2d`, by the number of axes."""
    x = _validate.floats("x", x, 2 + axes)
    windows = adaptive_windows(x.shape[2:], output_size)
    implementation = backends.load(backend)
    y = implementation.adaptive_avg_pool2d(as_images(implementation.pack(x), implementation), windows)
    return implementation.unpack(as_given(y, axes, implementation))


def _adaptive_avg_pool_backward(axes: int, dy, x_shape, backend) -> np.ndarray:
    """`adaptive_avg_pool1d_backward` or `adaptive_avg_pool2d_backward`, by the number of axes."""
    dy = _validate.floats("dy", dy, 2 + axes)
    x_shape = input_shape(x_shape, dy)
    windows = adaptive_windows(x_shape[2:], dy.shape[2:])
    implementation = backends.load(backend)
    dx = implementation.adaptive_avg_pool2d_backward(as_images(implementation.pack(dy), implementation), windows)
    return implementation.unpack(as_given(dx, axes, implementation))


def _pixels(spans: tuple[tuple[int, int], ...]) -> np.ndarray:
    """The pixels of each window, one row per window; a shorter window repeats its last pixel."""
    most = max(stop - start for start, stop in spans)
    return np.array([[min(start + k, stop - 1) for k in range(most)] for start, stop in spans])
