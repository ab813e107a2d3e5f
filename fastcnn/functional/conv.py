"""Convolution and its gradients."""

import numpy as np

from fastcnn import _validate, backends
from fastcnn._geometry import Padding, Pair, Windows, conv_windows


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
    x, weight, windows, groups = _checked(x, weight, stride, padding, dilation, groups)
    if bias is not None:
        bias = _validate.floats("bias", bias, 1, like=("x", x))
        _validate.shape("bias", bias, (weight.shape[0],), "one value for each filter of `weight`")
    implementation = backends.load(backend)
    y = implementation.conv2d(implementation.pack(x), weight, bias, windows, groups)
    return implementation.unpack(y)


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
    x, weight, windows, groups = _checked(x, weight, stride, padding, dilation, groups)
    dy = _validate.floats("dy", dy, 4, like=("x", x))
    _validate.shape("dy", dy, (len(x), len(weight), windows.OH, windows.OW), "the shape of the convolution's output")
    wanted = _validate.flag("input_grad", input_grad), _validate.flag("weight_grad", weight_grad)
    implementation = backends.load(backend)
    dx, dweight, dbias = implementation.conv2d_backward(
        implementation.pack(dy), implementation.pack(x), weight, windows, groups, *wanted
    )
    return None if dx is None else implementation.unpack(dx), dweight, dbias


def _checked(x, weight, stride, padding, dilation, groups) -> tuple[np.ndarray, np.ndarray, Windows, int]:
    x = _validate.floats("x", x, 4)
    weight = _validate.floats("weight", weight, 4, like=("x", x))
    groups = _validate.count("groups", groups)
    channels, filters = x.shape[1], weight.shape[0]
    if channels % groups or filters % groups:
        raise ValueError(
            f"`groups` is {groups} but must divide the channels of `x` ({channels}) and the filters of `weight` "
            f"({filters})."
        )
    if weight.shape[1] * groups != channels:
        raise ValueError(
            f"`weight` has {weight.shape[1]} input channels (shape {weight.shape}) but `x` has {channels} "
            f"(shape {x.shape})" + (f" in {groups} groups." if groups > 1 else ".")
        )
    return x, weight, conv_windows(x.shape[2:], weight.shape[2:], stride, padding, dilation), groups
