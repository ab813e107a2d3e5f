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

    It is `conv2d` of images of one row: ``y[n, o, i] = bias[o] + sum over c, k of weight[o, c, k] * x[n, c, i * stride
    + k * dilation - left]``; ``x`` is zero outside the signal.

    Parameters
    ----------
    x : ndarray of shape (N, C, L), float32 or float64
        Signals: C values at each of L places.
    weight : ndarray of shape (O, C / groups, K), dtype of `x`
        Filters.
    bias : ndarray of shape (O,), dtype of `x`, optional
        Added to each output channel.
    stride : int or (int,), default 1
        Places between neighbouring windows.
    padding : int, (int,), (int, int), "valid" or "same", default 0
        Zeros before and behind the signal: as many on both sides; (left, right); none; or what makes the output
        ``ceil(L / stride)`` long, by TensorFlow's rule: an odd one goes to the right.
    dilation : int or (int,), default 1
        Places between the taps of a filter.
    groups : int, default 1
        The channels are cut into so many groups and each group of filters sees its own; divides C and O.
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
        If shapes do not fit each other, or a window is larger than the padded signal.

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
    """Gradients of `conv1d` by its input, its filters and its bias, as those of `conv2d`.

    Parameters
    ----------
    dy : ndarray of shape (N, O, OL), dtype of `x`
        Gradient of the loss by the output.
    x, weight, stride, padding, dilation, groups, backend
        As given to `conv1d`.
    input_grad, weight_grad : bool, default True
        Whether to compute ``dx``, and whether to compute ``dweight`` and ``dbias``.

    Returns
    -------
    dx : ndarray of shape (N, C, L) or None
    dweight : ndarray of shape (O, C / groups, K) or None
    dbias : ndarray of shape (O,) or None
        None stands for what was not asked.

    Raises
    ------
    TypeError, ValueError
        As `conv1d`; and if `dy` has not the shape of the output.

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
    ``iy = oy * stride + ky * dilation - top`` and ``ix`` alike; ``x`` is zero outside the image.

    Parameters
    ----------
    x : ndarray of shape (N, C, H, W), float32 or float64
        Images.
    weight : ndarray of shape (O, C / groups, KH, KW), dtype of `x`
        Filters.
    bias : ndarray of shape (O,), dtype of `x`, optional
        Added to each output channel.
    stride : int or (int, int), default 1
        Pixels between neighbouring windows, (height, width).
    padding : int, pair, four ints, "valid" or "same", default 0
        Pixels of zeros around the image: the same on all sides; (height, width); (top, bottom, left, right);
        none; or what makes the output ``ceil(H / stride)`` high, by TensorFlow's rule: an odd row goes to the bottom.
    dilation : int or (int, int), default 1
        Pixels between the taps of a filter.
    groups : int, default 1
        The channels are cut into so many groups and each group of filters sees its own; divides C and O.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use; see `fastcnn.get_backend` for the default.

    Returns
    -------
    ndarray of shape (N, O, OH, OW), dtype of `x`
        ``OH = (H + top + bottom - dilation * (KH - 1) - 1) // stride + 1``; OW alike.

    Raises
    ------
    TypeError
        If an array is not a float32 or float64 array, or the dtypes differ.
    ValueError
        If shapes do not fit each other, or a window is larger than the padded image.

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
    """Gradients of `conv2d` by its input, its filters and its bias.

    ``dx[n, c, iy, ix]`` and ``dweight[o, c, ky, kx]`` are the sums, over the terms of `conv2d` in which ``x[n, c, iy,
    ix]`` or ``weight[o, c, ky, kx]`` stands, of ``dy`` times the other factor; ``dbias[o]`` is the sum of ``dy[:, o]``.

    Parameters
    ----------
    dy : ndarray of shape (N, O, OH, OW), dtype of `x`
        Gradient of the loss by the output.
    x, weight, stride, padding, dilation, groups, backend
        As given to `conv2d`.
    input_grad, weight_grad : bool, default True
        Whether to compute ``dx``, and whether to compute ``dweight`` and ``dbias``.

    Returns
    -------
    dx : ndarray of shape (N, C, H, W) or None
    dweight : ndarray of shape (O, C / groups, KH, KW) or None
    dbias : ndarray of shape (O,) or None
        None stands for what was not asked.

    Raises
    ------
    TypeError, ValueError
        As `conv2d`; and if `dy` has not the shape of the output.

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
    """Of signals or of images."""
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
    """Of signals or of images."""
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
