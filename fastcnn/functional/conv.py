"""Convolution and its gradients."""

import numpy as np

from fastcnn import _validate, backends
from fastcnn._geometry import AnyPadding, Extents, Padding, Pair, Sides, Single, Windows, conv_windows
from fastcnn.functional.signals import as_given, as_images, extents, filters


def conv1d(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    stride: Single = 1,
    padding: Sides = 0,
    dilation: Single = 1,
    groups: int = 1,
    *,
    backend: str | None = None,
) -> np.ndarray:
    """Convolve signals with filters (a cross-correlation), as ``torch.nn.functional.conv1d``.

    It equals `conv2d` on images of one row: ``y[n, o, i] = bias[o] + sum over c, k of weight[o, c, k] * x[n, c, i *
    stride + k * dilation - left]``; ``x`` is zero outside the signal.

    Parameters
    ----------
    x : ndarray of shape (N, C, L), float32 or float64
        Signals: C values at each of L positions.
    weight : ndarray of shape (O, C / groups, K), dtype of `x`
        Filters.
    bias : ndarray of shape (O,), dtype of `x`, optional
        Added to each output channel.
    stride : int or (int,), default 1
        Distance between neighbouring windows.
    padding : int, (int,), (int, int), "valid" or "same", default 0
        Zeros around the signal. An int is the number on both sides, a pair is (left, right), and "valid" means none.
        "same" makes the output ``ceil(L / stride)`` long; by TensorFlow's rule, an odd zero goes to the right.
    dilation : int or (int,), default 1
        Distance between neighbouring taps of a filter.
    groups : int, default 1
        Number of groups of channels; each group of filters sees only its own channels. Divides C and O.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use; see `fastcnn.get_backend` for the default.

    Returns
    -------
    ndarray of shape (N, O, OL), dtype of `x`
        ``OL = (L + left + right - dilation * (K - 1) - 1) // stride + 1``.

    Raises
    ------
    TypeError
        If an array is not a float32 or float64 array, or the dtypes differ.
    ValueError
        If shapes do not match, or a window is longer than the padded signal.

    Notes
    -----
    Cost: ``2 * N * O * OL * (C / groups) * K`` floating-point operations.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> x = np.array([[[1.0, 2.0, 4.0, 8.0]]])
    >>> F.conv1d(x, np.array([[[-1.0, 1.0]]]))
    array([[[1., 2., 4.]]])
    >>> F.conv1d(x, np.array([[[-1.0, 1.0]]]), padding=(1, 0), stride=2)
    array([[[1., 2.]]])
    """
    return _conv(1, x, weight, bias, stride, padding, dilation, groups, backend)


def conv1d_backward(
    dy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    stride: Single = 1,
    padding: Sides = 0,
    dilation: Single = 1,
    groups: int = 1,
    *,
    input_grad: bool = True,
    weight_grad: bool = True,
    backend: str | None = None,
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Gradients of `conv1d` with respect to its input, filters and bias, as in `conv2d_backward`.

    Parameters
    ----------
    dy : ndarray of shape (N, O, OL), dtype of `x`
        Gradient of the loss with respect to the output.
    x, weight, stride, padding, dilation, groups, backend
        As given to `conv1d`.
    input_grad, weight_grad : bool, default True
        Whether to compute ``dx``, and whether to compute ``dweight`` and ``dbias``, respectively.

    Returns
    -------
    dx : ndarray of shape (N, C, L) or None
    dweight : ndarray of shape (O, C / groups, K) or None
    dbias : ndarray of shape (O,) or None
        None where it was not requested.

    Raises
    ------
    TypeError, ValueError
        As in `conv1d`, or if `dy` does not have the shape of the output.

    Notes
    -----
    Cost: that of `conv1d` for each of ``dx`` and ``dweight``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> x, weight = np.array([[[1.0, 2.0, 4.0, 8.0]]]), np.array([[[-1.0, 1.0]]])
    >>> dx, dweight, dbias = F.conv1d_backward(np.array([[[1.0, 0.0, 10.0]]]), x, weight)
    >>> dx
    array([[[ -1.,   1., -10.,  10.]]])
    >>> dweight, dbias
    (array([[[41., 82.]]]), array([11.]))
    """
    return _conv_backward(1, dy, x, weight, stride, padding, dilation, groups, input_grad, weight_grad, backend)


def conv2d(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
    *,
    backend: str | None = None,
) -> np.ndarray:
    """Convolve images with filters (a cross-correlation: filters are not flipped), as ``torch.nn.functional.conv2d``.

    ``y[n, o, oy, ox] = bias[o] + sum over c, ky, kx of weight[o, c, ky, kx] * x[n, c, iy, ix]`` with
    ``iy = oy * stride + ky * dilation - top`` and ``ix`` likewise; ``x`` is zero outside the image.

    Parameters
    ----------
    x : ndarray of shape (N, C, H, W), float32 or float64
        Images.
    weight : ndarray of shape (O, C / groups, KH, KW), dtype of `x`
        Filters.
    bias : ndarray of shape (O,), dtype of `x`, optional
        Added to each output channel.
    stride : int or (int, int), default 1
        Distance between neighbouring windows in pixels, (height, width).
    padding : int, pair, four ints, "valid" or "same", default 0
        Pixels of zeros around the image. An int is the number on all sides, a pair is (height, width), four ints are
        (top, bottom, left, right), and "valid" means none. "same" makes the output ``ceil(H / stride)`` high; by
        TensorFlow's rule, an odd row goes to the bottom, an odd column to the right.
    dilation : int or (int, int), default 1
        Distance between neighbouring taps of a filter, in pixels.
    groups : int, default 1
        Number of groups of channels; each group of filters sees only its own channels. Divides C and O.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use; see `fastcnn.get_backend` for the default.

    Returns
    -------
    ndarray of shape (N, O, OH, OW), dtype of `x`
        ``OH = (H + top + bottom - dilation * (KH - 1) - 1) // stride + 1``; OW likewise.

    Raises
    ------
    TypeError
        If an array is not a float32 or float64 array, or the dtypes differ.
    ValueError
        If shapes do not match, or a window is larger than the padded image.

    Notes
    -----
    Cost: ``2 * N * O * OH * OW * (C / groups) * KH * KW`` floating-point operations.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> x = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> F.conv2d(x, np.ones((1, 1, 2, 2)))[0, 0]
    array([[ 8., 12.],
           [20., 24.]])
    """
    return _conv(2, x, weight, bias, stride, padding, dilation, groups, backend)


def conv2d_backward(
    dy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
    *,
    input_grad: bool = True,
    weight_grad: bool = True,
    backend: str | None = None,
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Gradients of `conv2d` with respect to its input, filters and bias.

    ``dx[n, c, iy, ix]`` is the sum of ``dy * weight`` over the terms of `conv2d` that contain ``x[n, c, iy, ix]``.
    ``dweight[o, c, ky, kx]`` is the sum of ``dy * x`` over the terms that contain ``weight[o, c, ky, kx]``.
    ``dbias[o]`` is the sum of ``dy[:, o]``.

    Parameters
    ----------
    dy : ndarray of shape (N, O, OH, OW), dtype of `x`
        Gradient of the loss with respect to the output.
    x, weight, stride, padding, dilation, groups, backend
        As given to `conv2d`.
    input_grad, weight_grad : bool, default True
        Whether to compute ``dx``, and whether to compute ``dweight`` and ``dbias``, respectively.

    Returns
    -------
    dx : ndarray of shape (N, C, H, W) or None
    dweight : ndarray of shape (O, C / groups, KH, KW) or None
    dbias : ndarray of shape (O,) or None
        None where it was not requested.

    Raises
    ------
    TypeError, ValueError
        As in `conv2d`, or if `dy` does not have the shape of the output.

    Notes
    -----
    Cost: that of `conv2d` for each of ``dx`` and ``dweight``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> x, weight = np.arange(9.0).reshape(1, 1, 3, 3), np.ones((1, 1, 2, 2))
    >>> dx, dweight, dbias = F.conv2d_backward(np.ones((1, 1, 2, 2)), x, weight)
    >>> dx[0, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    >>> dbias
    array([4.])
    """
    return _conv_backward(2, dy, x, weight, stride, padding, dilation, groups, input_grad, weight_grad, backend)


def _conv(
    axes: int, x, weight, bias, stride: Extents, padding: AnyPadding, dilation: Extents, groups, backend
) -> np.ndarray:
    """`conv1d` or `conv2d`, by the number of axes."""
    x, weight, windows, groups = _checked(axes, x, weight, stride, padding, dilation, groups)
    if bias is not None:
        bias = _validate.floats("bias", bias, 1, like=("x", x))
        _validate.shape("bias", bias, (weight.shape[0],), "one value for each filter of `weight`")
    implementation = backends.load(backend)
    native = as_images(implementation.pack(x), implementation)
    y = implementation.conv2d(native, filters(weight), bias, windows, groups)
    return implementation.unpack(as_given(y, axes, implementation))


def _conv_backward(
    axes: int, dy, x, weight, stride: Extents, padding: AnyPadding, dilation: Extents, groups, input_grad, weight_grad,
    backend,
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:  # fmt: skip
    """`conv1d_backward` or `conv2d_backward`, by the number of axes."""
    x, weight, windows, groups = _checked(axes, x, weight, stride, padding, dilation, groups)
    dy = _validate.floats("dy", dy, 2 + axes, like=("x", x))
    y_shape = len(x), len(weight), *extents(windows.OH, windows.OW, axes)
    _validate.shape("dy", dy, y_shape, "the shape of the convolution's output")
    wanted = _validate.flag("input_grad", input_grad), _validate.flag("weight_grad", weight_grad)
    implementation = backends.load(backend)
    natives = (as_images(implementation.pack(array), implementation) for array in (dy, x))
    dx, dweight, dbias = implementation.conv2d_backward(*natives, filters(weight), windows, groups, *wanted)
    return (
        None if dx is None else implementation.unpack(as_given(dx, axes, implementation)),
        None if dweight is None else dweight.reshape(weight.shape),
        dbias,
    )


def _checked(axes: int, x, weight, stride, padding, dilation, groups) -> tuple[np.ndarray, np.ndarray, Windows, int]:
    x = _validate.floats("x", x, 2 + axes)
    weight = _validate.floats("weight", weight, 2 + axes, like=("x", x))
    groups = _validate.count("groups", groups)
    channels, count = x.shape[1], weight.shape[0]
    if channels % groups or count % groups:
        raise ValueError(
            f"`groups` is {groups} but must divide the channels of `x` ({channels}) and the filters of `weight` "
            f"({count})."
        )
    if weight.shape[1] * groups != channels:
        raise ValueError(
            f"`weight` has {weight.shape[1]} input channels (shape {weight.shape}) but `x` has {channels} "
            f"(shape {x.shape})" + (f" in {groups} groups." if groups > 1 else ".")
        )
    return x, weight, conv_windows(x.shape[2:], weight.shape[2:], stride, padding, dilation), groups
