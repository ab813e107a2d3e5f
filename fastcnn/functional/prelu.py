"""ReLU with learned slopes, and its gradient."""

import numpy as np

from fastcnn import _validate, backends


def prelu(x: np.ndarray, weight: np.ndarray, *, backend: str | None = None) -> np.ndarray:
    """``x`` where it is positive, ``weight * x`` elsewhere: `leaky_relu` with learned slopes.

    Parameters
    ----------
    x : ndarray of shape (N, C, ...), float32 or float64
    weight : ndarray of shape (C,) or (1,), dtype of `x`
        The slope of each channel, or one slope for all channels.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of the shape and dtype of `x`

    Raises
    ------
    TypeError, ValueError
        If an array is not a float32 or float64 array, the dtypes differ, or shapes do not match.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun, "Delving deep into rectifiers", ICCV 2015, section 2.1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.prelu(np.array([[-2.0, -2.0], [3.0, 3.0]]), np.array([0.5, 0.25]))
    array([[-1. , -0.5],
           [ 3. ,  3. ]])
    """
    x, weight = _checked(x, weight)
    implementation = backends.load(backend)
    return implementation.unpack(implementation.prelu(implementation.pack(x), weight))


def prelu_backward(
    dy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    *,
    input_grad: bool = True,
    weight_grad: bool = True,
    backend: str | None = None,
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Gradients of `prelu`: ``dx`` is ``dy`` where ``x`` is positive, else ``weight * dy``.

    ``dweight`` is, for each slope, the sum of ``x * dy`` over those of its elements where ``x`` is not positive.

    Parameters
    ----------
    dy : ndarray of the shape and dtype of `x`
        Gradient of the loss with respect to the output.
    x, weight, backend
        As given to `prelu`.
    input_grad, weight_grad : bool, default True
        Whether to compute ``dx``, and whether to compute ``dweight``.

    Returns
    -------
    dx : ndarray of the shape of `x`, or None
    dweight : ndarray of the shape of `weight`, or None
        None where it was not requested.

    Raises
    ------
    TypeError, ValueError
        As in `prelu`, or if `dy` does not have the shape of `x`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> dx, dweight = F.prelu_backward(np.array([[1.0, 4.0]]), np.array([[3.0, -2.0]]), np.array([0.5]))
    >>> dx, dweight
    (array([[1., 2.]]), array([-8.]))
    """
    x, weight = _checked(x, weight)
    dy = _validate.shape("dy", _validate.floats("dy", dy, like=("x", x)), x.shape, "the shape of `x`")
    wanted = _validate.flag("input_grad", input_grad), _validate.flag("weight_grad", weight_grad)
    implementation = backends.load(backend)
    dx, dweight = implementation.prelu_backward(implementation.pack(dy), implementation.pack(x), weight, *wanted)
    return implementation.unpack(dx) if input_grad else None, dweight


def _checked(x, weight) -> tuple[np.ndarray, np.ndarray]:
    x = _validate.floats("x", x)
    if x.ndim < 2:
        raise ValueError(f"`x` must be (N, C, ...) but its shape is {x.shape}.")
    weight = _validate.floats("weight", weight, 1, like=("x", x))
    if len(weight) not in (1, x.shape[1]):
        raise ValueError(
            f"`weight` has {len(weight)} slopes, but there must be one, or one for each channel of `x`, whose shape is "
            f"{x.shape}."
        )
    return x, weight
