"""Transposed convolution and its gradients."""

import numpy as np

from fastcnn import _validate, backends
from fastcnn._geometry import Extents, Pair, Single, Windows, conv_transpose_windows
from fastcnn.functional.signals import as_given, as_images, extents, filters


def conv_transpose1d(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    stride: Single = 1,
    padding: Single = 0,
    output_padding: Single = 0,
    groups: int = 1,
    dilation: Single = 1,
    *,
    backend: str | None = None,
) -> np.ndarray:
    """Transposed convolution of signals, as ``torch.nn.functional.conv_transpose1d``: the input gradient of `conv1d`.

    It equals `conv_transpose2d` on images of one row: each ``x[n, c, i] * weight[c, o, k]`` is added to ``y[n, o, i *
    stride + k * dilation - padding]`` if that is inside the output; then ``bias[o]`` is added.

    Parameters
    ----------
    x : ndarray of shape (N, C, L), float32 or float64
        Signals.
    weight : ndarray of shape (C, O / groups, K), dtype of `x`
        Filters; note that the input channels come first.
    bias : ndarray of shape (O,), dtype of `x`, optional
        Added to each output channel.
    stride : int or (int,), default 1
        Distance in the output between neighbouring positions of the input.
    padding : int or (int,), default 0
        Positions cut off the output on each side.
    output_padding : int or (int,), default 0
        Positions added to the output on the right; must be smaller than the stride or the dilation.
    groups : int, default 1
        Number of groups of channels; each group makes its own part of the output channels. Divides C.
    dilation : int or (int,), default 1
        Distance between neighbouring taps of a filter.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use; see `fastcnn.get_backend` for the default.

    Returns
    -------
    ndarray of shape (N, O, OL), dtype of `x`
        ``OL = (L - 1) * stride - 2 * padding + dilation * (K - 1) + output_padding + 1``.

    Raises
    ------
    TypeError
        If an array is not a float32 or float64 array, or the dtypes differ.
    ValueError
        If shapes do not match, or the output would be empty.

    Notes
    -----
    Cost: ``2 * N * C * L * (O / groups) * K`` floating-point operations.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.conv_transpose1d(np.array([[[1.0, 2.0]]]), np.array([[[1.0, 10.0]]]))
    array([[[ 1., 12., 20.]]])
    """
    options = stride, padding, output_padding, groups, dilation
    return _conv_transpose(1, x, weight, bias, *options, backend)


def conv_transpose1d_backward(
    dy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    stride: Single = 1,
    padding: Single = 0,
    output_padding: Single = 0,
    groups: int = 1,
    dilation: Single = 1,
    *,
    input_grad: bool = True,
    weight_grad: bool = True,
    backend: str | None = None,
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Gradients of `conv_transpose1d` with respect to its input, filters and bias, as in `conv_transpose2d_backward`.

    Parameters
    ----------
    dy : ndarray of shape (N, O, OL), dtype of `x`
        Gradient of the loss with respect to the output.
    x, weight, stride, padding, output_padding, groups, dilation, backend
        As given to `conv_transpose1d`.
    input_grad, weight_grad : bool, default True
        Whether to compute ``dx``, and whether to compute ``dweight`` and ``dbias``, respectively.

    Returns
    -------
    dx : ndarray of shape (N, C, L) or None
    dweight : ndarray of shape (C, O / groups, K) or None
    dbias : ndarray of shape (O,) or None
        None where it was not requested.

    Raises
    ------
    TypeError, ValueError
        As in `conv_transpose1d`, or if `dy` does not have the shape of the output.

    Notes
    -----
    Cost: that of `conv_transpose1d` for each of ``dx`` and ``dweight``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> x, weight = np.array([[[1.0, 2.0]]]), np.array([[[1.0, 10.0]]])
    >>> dx, dweight, dbias = F.conv_transpose1d_backward(np.ones((1, 1, 3)), x, weight)
    >>> dx, dweight, dbias
    (array([[[11., 11.]]]), array([[[3., 3.]]]), array([3.]))
    """
    options = stride, padding, output_padding, groups, dilation
    return _conv_transpose_backward(1, dy, x, weight, *options, input_grad, weight_grad, backend)


def conv_transpose2d(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    groups: int = 1,
    dilation: Pair = 1,
    *,
    backend: str | None = None,
) -> np.ndarray:
    """Transposed convolution of images, as ``torch.nn.functional.conv_transpose2d``: the input gradient of `conv2d`.

    Each ``x[n, c, iy, ix] * weight[c, o, ky, kx]`` is added to ``y[n, o, oy, ox]`` with ``oy = iy * stride + ky *
    dilation - padding`` and ``ox`` likewise, if that is inside the output; then ``bias[o]`` is added. Without a bias,
    the result is the ``dx`` of a `conv2d` with the same filters, stride, padding, dilation and groups, for ``dy = x``.

    Parameters
    ----------
    x : ndarray of shape (N, C, H, W), float32 or float64
        Images.
    weight : ndarray of shape (C, O / groups, KH, KW), dtype of `x`
        Filters; note that the input channels come first.
    bias : ndarray of shape (O,), dtype of `x`, optional
        Added to each output channel.
    stride : int or (int, int), default 1
        Distance in the output between neighbouring pixels of the input, (height, width).
    padding : int or (int, int), default 0
        Pixels cut off the output on each side, (height, width).
    output_padding : int or (int, int), default 0
        Pixels added to the output at the bottom and on the right; must be smaller than the stride or the dilation.
        Images of up to `stride` different heights give the same output height in `conv2d`; this selects one of them.
    groups : int, default 1
        Number of groups of channels; each group makes its own part of the output channels. Divides C.
    dilation : int or (int, int), default 1
        Distance between neighbouring taps of a filter, in pixels.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use; see `fastcnn.get_backend` for the default.

    Returns
    -------
    ndarray of shape (N, O, OH, OW), dtype of `x`
        ``OH = (H - 1) * stride - 2 * padding + dilation * (KH - 1) + output_padding + 1``; OW likewise.

    Raises
    ------
    TypeError
        If an array is not a float32 or float64 array, or the dtypes differ.
    ValueError
        If shapes do not match, or the output would be empty.

    Notes
    -----
    Cost: ``2 * N * C * H * W * (O / groups) * KH * KW`` floating-point operations.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> x, weight = np.array([[[[1.0, 2.0]]]]), np.array([[[[1.0, 1.0], [10.0, 10.0]]]])
    >>> F.conv_transpose2d(x, weight)[0, 0]
    array([[ 1.,  3.,  2.],
           [10., 30., 20.]])
    >>> F.conv_transpose2d(x, weight, stride=2)[0, 0]
    array([[ 1.,  1.,  2.,  2.],
           [10., 10., 20., 20.]])
    """
    options = stride, padding, output_padding, groups, dilation
    return _conv_transpose(2, x, weight, bias, *options, backend)


def conv_transpose2d_backward(
    dy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    groups: int = 1,
    dilation: Pair = 1,
    *,
    input_grad: bool = True,
    weight_grad: bool = True,
    backend: str | None = None,
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Gradients of `conv_transpose2d` with respect to its input, filters and bias.

    ``dx`` is the `conv2d` of ``dy`` with the same filters. ``dweight`` is that of `conv2d_backward` with ``x`` and
    ``dy`` exchanged. ``dbias[o]`` is the sum of ``dy[:, o]``.

    Parameters
    ----------
    dy : ndarray of shape (N, O, OH, OW), dtype of `x`
        Gradient of the loss with respect to the output.
    x, weight, stride, padding, output_padding, groups, dilation, backend
        As given to `conv_transpose2d`.
    input_grad, weight_grad : bool, default True
        Whether to compute ``dx``, and whether to compute ``dweight`` and ``dbias``, respectively.

    Returns
    -------
    dx : ndarray of shape (N, C, H, W) or None
    dweight : ndarray of shape (C, O / groups, KH, KW) or None
    dbias : ndarray of shape (O,) or None
        None where it was not requested.

    Raises
    ------
    TypeError, ValueError
        As in `conv_transpose2d`, or if `dy` does not have the shape of the output.

    Notes
    -----
    Cost: that of `conv_transpose2d` for each of ``dx`` and ``dweight``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> x, weight = np.array([[[[1.0, 2.0]]]]), np.array([[[[1.0, 1.0], [10.0, 10.0]]]])
    >>> dx, dweight, dbias = F.conv_transpose2d_backward(np.ones((1, 1, 2, 3)), x, weight)
    >>> dx[0, 0]
    array([[22., 22.]])
    >>> dweight[0, 0]
    array([[3., 3.],
           [3., 3.]])
    >>> dbias
    array([6.])
    """
    options = stride, padding, output_padding, groups, dilation
    return _conv_transpose_backward(2, dy, x, weight, *options, input_grad, weight_grad, backend)


def _conv_transpose(
    axes: int, x, weight, bias, stride: Extents, padding: Extents, output_padding: Extents, groups, dilation: Extents,
    backend,
) -> np.ndarray:  # fmt: skip
    """`conv_transpose1d` or `conv_transpose2d`, by the number of axes."""
    x, weight, windows, groups = _checked(axes, x, weight, stride, padding, output_padding, groups, dilation)
    if bias is not None:
        bias = _validate.floats("bias", bias, 1, like=("x", x))
        _validate.shape("bias", bias, (weight.shape[1] * groups,), "one value for each output channel")
    implementation = backends.load(backend)
    native = as_images(implementation.pack(x), implementation)
    y = implementation.conv_transpose2d(native, filters(weight), bias, windows, groups)
    return implementation.unpack(as_given(y, axes, implementation))


def _conv_transpose_backward(
    axes: int, dy, x, weight, stride: Extents, padding: Extents, output_padding: Extents, groups, dilation: Extents,
    input_grad, weight_grad, backend,
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:  # fmt: skip
    """`conv_transpose1d_backward` or `conv_transpose2d_backward`, by the number of axes."""
    x, weight, windows, groups = _checked(axes, x, weight, stride, padding, output_padding, groups, dilation)
    dy = _validate.floats("dy", dy, 2 + axes, like=("x", x))
    y_shape = len(x), weight.shape[1] * groups, *extents(windows.H, windows.W, axes)
    _validate.shape("dy", dy, y_shape, "the shape of the transposed convolution's output")
    wanted = _validate.flag("input_grad", input_grad), _validate.flag("weight_grad", weight_grad)
    implementation = backends.load(backend)
    natives = (as_images(implementation.pack(array), implementation) for array in (dy, x))
    dx, dweight, dbias = implementation.conv_transpose2d_backward(*natives, filters(weight), windows, groups, *wanted)
    return (
        None if dx is None else implementation.unpack(as_given(dx, axes, implementation)),
        None if dweight is None else dweight.reshape(weight.shape),
        dbias,
    )


def _checked(
    axes: int, x, weight, stride, padding, output_padding, groups, dilation
) -> tuple[np.ndarray, np.ndarray, Windows, int]:
    x = _validate.floats("x", x, 2 + axes)
    weight = _validate.floats("weight", weight, 2 + axes, like=("x", x))
    groups = _validate.count("groups", groups)
    if len(weight) != x.shape[1]:
        raise ValueError(
            f"`weight` has {len(weight)} input channels (the first axis of its shape {weight.shape}) but `x` has "
            f"{x.shape[1]} (shape {x.shape})."
        )
    if len(weight) % groups:
        raise ValueError(f"`groups` is {groups} but must divide the channels of `x` ({x.shape[1]}).")
    windows = conv_transpose_windows(x.shape[2:], weight.shape[2:], stride, padding, output_padding, dilation)
    return x, weight, windows, groups
