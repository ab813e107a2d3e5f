"""Images in another size, and the gradient."""

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
    """Images in another size, as ``torch.nn.functional.interpolate``.

    Parameters
    ----------
    x : ndarray of shape (N, C, H, W), float32 or float64
        Images.
    size : int or (int, int), optional
        Rows and columns of the output, OH and OW.
    scale_factor : float or (float, float), optional
        In the place of `size`: OH is ``floor(H * scale_factor)``, OW alike.
    mode : {"nearest", "bilinear"}, default "nearest"
        Whether a pixel is the one of `x` that is nearest above and left of its place, or a mean of the four around it.
    align_corners : bool, optional
        Of "bilinear": whether the corner pixels of both images lie at one place; else, and by default, the corners of
        the images do, half a pixel farther out.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of shape (N, C, OH, OW), dtype of `x`

    Raises
    ------
    TypeError, ValueError
        If `x` is not a float array (N, C, H, W), not one of `size` and `scale_factor` is given, or an option is none.

    Notes
    -----
    The output's row ``o`` lies at the row ``o * step`` of `x` ("nearest"), at ``(o + 0.5) * step - 0.5``
    ("bilinear"), or at ``o * step`` with ``step = (H - 1) / (OH - 1)`` (`align_corners`); else ``step`` is
    ``1 / scale_factor``, or ``H / OH`` where `size` is given. As in PyTorch, "nearest" counts in float32.

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
    """Gradient of `interpolate`: each ``dy`` is added, with its weights, to the pixels that its pixel is a mean of.

    Parameters
    ----------
    dy : ndarray of shape (N, C, OH, OW), float32 or float64
        Gradient of the loss by the output, whose size says what `size` was.
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
