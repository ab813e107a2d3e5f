"""Dropout of elements or of whole channels, and its gradients."""

import numpy as np

from fastcnn import _validate
from fastcnn.functional._elementwise import elementwise


def dropout(
    x: np.ndarray, p: float = 0.5, training: bool = True, *, rng: np.random.Generator, backend: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Zero each element with probability ``p`` and scale the others by ``1 / (1 - p)`` (inverted dropout).

    The scaling keeps the expected value of each element, so nothing needs to be scaled outside of training.

    Parameters
    ----------
    x : ndarray of any shape, float32 or float64
    p : float, default 0.5
        Probability that an element becomes zero, from 0 to 1.
    training : bool, default True
        When False, ``y`` is a copy of `x`.
    rng : numpy.random.Generator
        Draws the mask: one uniform float32 for each element, in C order.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    y : ndarray of the shape and dtype of `x`
        ``x * mask``.
    mask : ndarray of the shape and dtype of `x`
        0 or ``1 / (1 - p)``; all ones outside of training.

    Raises
    ------
    TypeError, ValueError
        If `x` is not a float32 or float64 array, or is empty, or `p` is out of range, or `rng` is not a Generator.

    References
    ----------
    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15 (2014).

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> y, mask = F.dropout(np.ones(4), 0.5, rng=np.random.default_rng(1))
    >>> y
    array([0., 2., 2., 2.])
    """
    x = _validate.floats("x", x)
    return _dropout(x, p, training, rng, backend, dropout_mask)


def dropout_backward(dy: np.ndarray, mask: np.ndarray, *, backend: str | None = None) -> np.ndarray:
    """Gradient of `dropout`: ``dy * mask``, with the mask of the forward pass.

    Parameters
    ----------
    dy : ndarray of any shape, float32 or float64
        Gradient of the loss with respect to the output.
    mask : ndarray of the shape and dtype of `dy`
        As returned by `dropout`.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of the shape and dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        If the arrays are not float arrays of the same shape and dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.dropout_backward(np.array([3.0, 3.0]), np.array([2.0, 0.0]))
    array([6., 0.])
    """
    return elementwise("dropout_backward", backend, {"dy": dy, "mask": mask})


def dropout2d(
    x: np.ndarray, p: float = 0.5, training: bool = True, *, rng: np.random.Generator, backend: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Zero each channel of each image with probability ``p`` and scale the others by ``1 / (1 - p)``.

    Neighbouring pixels of a feature map are strongly correlated, so `dropout` of single pixels removes little
    information.

    Parameters
    ----------
    x : ndarray of shape (N, C, H, W), float32 or float64
    p : float, default 0.5
        Probability that a channel becomes zero, from 0 to 1.
    training : bool, default True
        When False, ``y`` is a copy of `x`.
    rng : numpy.random.Generator
        Draws the mask: one uniform float32 for each channel of each image, in C order.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    y : ndarray of the shape and dtype of `x`
        ``x * mask``.
    mask : ndarray of the shape and dtype of `x`
        0 or ``1 / (1 - p)``, the same throughout a channel; all ones outside of training.

    Raises
    ------
    TypeError, ValueError
        If `x` is not a float32 or float64 array of shape (N, C, H, W), or is empty, or `p` is out of range, or `rng` is
        not a Generator.

    References
    ----------
    J. Tompson et al., "Efficient object localization using convolutional networks", CVPR 2015, section 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> y, mask = F.dropout2d(np.ones((1, 3, 2, 2)), 0.5, rng=np.random.default_rng(1))
    >>> y[0]
    array([[[0., 0.],
            [0., 0.]],
    <BLANKLINE>
           [[2., 2.],
            [2., 2.]],
    <BLANKLINE>
           [[2., 2.],
            [2., 2.]]])
    """
    return _dropout(_validate.floats("x", x, 4), p, training, rng, backend, dropout2d_mask)


def dropout2d_backward(dy: np.ndarray, mask: np.ndarray, *, backend: str | None = None) -> np.ndarray:
    """Gradient of `dropout2d`: ``dy * mask``, with the mask of the forward pass.

    Parameters
    ----------
    dy : ndarray of shape (N, C, H, W), float32 or float64
        Gradient of the loss with respect to the output.
    mask : ndarray of the shape and dtype of `dy`
        As returned by `dropout2d`.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of the shape and dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        If the arrays are not float arrays of the same shape (N, C, H, W) and dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> dy, mask = np.full((1, 1, 1, 2), 3.0), np.full((1, 1, 1, 2), 2.0)
    >>> F.dropout2d_backward(dy, mask)
    array([[[[6., 6.]]]])
    """
    return dropout_backward(_validate.floats("dy", dy, 4), mask, backend=backend)


def dropout_mask(shape: tuple[int, ...], dtype, p: float, rng: np.random.Generator) -> np.ndarray:
    """The mask of `dropout`: 0 with probability ``p``, else ``1 / (1 - p)``."""
    keep = rng.random(shape, dtype=np.float32) >= p
    return np.multiply(keep, 0 if p == 1 else 1 / (1 - p), dtype=dtype)


def dropout2d_mask(shape: tuple[int, ...], dtype, p: float, rng: np.random.Generator) -> np.ndarray:
    """The mask of `dropout2d`: one number of `dropout_mask` for each channel of each image."""
    return np.ascontiguousarray(np.broadcast_to(dropout_mask((*shape[:2], 1, 1), dtype, p, rng), shape))


def checked_probability(p) -> float:
    """A number from 0 to 1."""
    return _validate.number("p", p, 0, 1)


def _dropout(x, p, training, rng, backend: str | None, draw) -> tuple[np.ndarray, np.ndarray]:
    p = checked_probability(p)
    _validate.generator("rng", rng)
    mask = draw(x.shape, x.dtype, p, rng) if _validate.flag("training", training) else np.ones_like(x)
    return elementwise("dropout", backend, {"x": x, "mask": mask}), mask
