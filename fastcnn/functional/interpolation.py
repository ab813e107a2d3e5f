"""Resizing of images, and its gradient."""

import numpy as np

from fastcnn import _validate, backends
from fastcnn._geometry import Factor, Pair, sampling
from fastcnn.functional.pooling import input_shape


def interpolate(
    x: np.ndarray,
    size: Pair | None = None,
    scale_factor: Factor | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    *,
    backend: str | None = None,
) -> np.ndarray:
    """Resize images, as ``torch.nn.functional.interpolate``.

    Parameters
    ----------
    x : ndarray of shape (N, C, H, W), float32 or float64
        Images.
    size : int or (int, int), optional
        Rows and columns of the output, OH and OW.
    scale_factor : float or (float, float), optional
        Given instead of `size`: OH is ``floor(H * scale_factor)``, and OW likewise.
    mode : {"nearest", "bilinear"}, default "nearest"
        With "nearest", an output pixel is the nearest pixel of `x` above and to the left of its position; with
        "bilinear", it is a weighted mean of the four pixels around its position.
    align_corners : bool, optional
        For "bilinear" only: whether the centres of the corner pixels of both images coincide. By default the corners of
        both images coincide, half a pixel farther out.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of shape (N, C, OH, OW), dtype of `x`

    Raises
    ------
    TypeError, ValueError
        If `x` is not a float array of shape (N, C, H, W), not exactly one of `size` and `scale_factor` is given, or an
        option is not valid.

    Notes
    -----
    Output row ``o`` lies at row ``o * step`` of `x` ("nearest") or at ``(o + 0.5) * step - 0.5`` ("bilinear"). Here
    ``step`` is ``1 / scale_factor``, or ``H / OH`` if `size` is given. With `align_corners` the row lies at
    ``o * step`` with ``step = (H - 1) / (OH - 1)``. As in PyTorch, "nearest" computes positions in float32.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> x = np.array([[[[1.0, 3.0]]]])
    >>> F.interpolate(x, scale_factor=2)[0, 0]
    array([[1., 1., 3., 3.],
           [1., 1., 3., 3.]])
    >>> F.interpolate(x, size=(1, 4), mode="bilinear")[0, 0]
    array([[1. , 1.5, 2.5, 3. ]])
    """
    x = _validate.floats("x", x, 4)
    at = sampling(x.shape[2:], size, scale_factor, mode, align_corners)
    implementation = backends.load(backend)
    return np.array(implementation.unpack(implementation.interpolate(implementation.pack(x), at)))


def interpolate_backward(
    dy: np.ndarray,
    x_shape: tuple[int, int, int, int],
    scale_factor: Factor | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    *,
    backend: str | None = None,
) -> np.ndarray:
    """Gradient of `interpolate`: each ``dy`` is added, times its weights, to the pixels that its output was made from.

    Parameters
    ----------
    dy : ndarray of shape (N, C, OH, OW), float32 or float64
        Gradient of the loss with respect to the output; its size is the `size`.
    x_shape : (int, int, int, int)
        Shape of the input, (N, C, H, W).
    scale_factor, mode, align_corners, backend
        As in `interpolate`.

    Returns
    -------
    ndarray of shape `x_shape`, dtype of `dy`

    Raises
    ------
    TypeError
        If `dy` is not a float array.
    ValueError
        If `dy` and `x_shape` differ in N or C, or `scale_factor` does not give `dy`'s size.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.interpolate_backward(np.array([[[[1.0, 2.0, 3.0, 4.0]]]]), (1, 1, 1, 2))[0, 0]
    array([[3., 7.]])
    """
    dy = _validate.floats("dy", dy, 4)
    shape = input_shape(x_shape, dy)
    size = None if scale_factor is not None else dy.shape[2:]
    at = sampling((shape[2], shape[3]), size, scale_factor, mode, align_corners)
    _validate.shape("dy", dy, (*shape[:2], at.OH, at.OW), "the shape of the output")
    implementation = backends.load(backend)
    return implementation.unpack(implementation.interpolate_backward(implementation.pack(dy), at))
