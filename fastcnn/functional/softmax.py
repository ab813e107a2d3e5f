"""Softmax, its logarithm, and their gradients."""

import numpy as np

from fastcnn import _validate, backends


def softmax(x: np.ndarray, dim: int = -1, *, backend: str | None = None) -> np.ndarray:
    """``exp(x) / sum(exp(x))`` along one axis, without overflow for any ``x``.

    Parameters
    ----------
    x : ndarray of any shape, float32 or float64
        Logits.
    dim : int, default -1
        The axis that holds the classes.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of the shape and dtype of `x`
        Probabilities that sum to 1 along `dim`.

    Raises
    ------
    TypeError, ValueError
        If `x` is not a float32 or float64 array, or is empty, or has no axis `dim`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.softmax(np.array([[1000.0, 1000.0, 0.0]]))
    array([[0.5, 0.5, 0. ]])
    """
    return _along("softmax", backend, dim, {"x": x})


def softmax_backward(dy: np.ndarray, y: np.ndarray, dim: int = -1, *, backend: str | None = None) -> np.ndarray:
    """Gradient of `softmax` from its output: ``y * (dy - sum(dy * y))``.

    Parameters
    ----------
    dy : ndarray of any shape, float32 or float64
        Gradient of the loss with respect to the output.
    y : ndarray of the shape and dtype of `dy`
        The output.
    dim : int, default -1
        As given to `softmax`.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of the shape and dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        If the arrays are not float arrays of the same shape and dtype, or have no axis `dim`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.softmax_backward(np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]]))
    array([[ 0.25, -0.25]])
    """
    return _along("softmax_backward", backend, dim, {"dy": dy, "y": y})


def log_softmax(x: np.ndarray, dim: int = -1, *, backend: str | None = None) -> np.ndarray:
    """Logarithm of `softmax`: ``(x - m) - log(sum(exp(x - m)))``, where ``m`` is the largest ``x``.

    Parameters
    ----------
    x : ndarray of any shape, float32 or float64
        Logits.
    dim : int, default -1
        The axis that holds the classes.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of the shape and dtype of `x`

    Raises
    ------
    TypeError, ValueError
        As in `softmax`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.log_softmax(np.array([[0.0, -800.0]]))
    array([[   0., -800.]])
    """
    return _along("log_softmax", backend, dim, {"x": x})


def log_softmax_backward(dy: np.ndarray, y: np.ndarray, dim: int = -1, *, backend: str | None = None) -> np.ndarray:
    """Gradient of `log_softmax` from its output: ``dy - exp(y) * sum(dy)``.

    Parameters
    ----------
    dy, y, dim, backend
        As in `softmax_backward`.

    Returns
    -------
    ndarray of the shape and dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        As in `softmax_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.log_softmax_backward(np.array([[1.0, 0.0]]), np.log([[0.5, 0.5]]))
    array([[ 0.5, -0.5]])
    """
    return _along("log_softmax_backward", backend, dim, {"dy": dy, "y": y})


def _along(operation: str, backend: str | None, dim: int, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Call a row-wise ``operation`` of the backend on checked ``arrays``, with rows along the axis ``dim``."""
    first, *others = arrays
    checked = [_validate.floats(first, arrays[first])]
    for name in others:
        array = _validate.floats(name, arrays[name], like=(first, checked[0]))
        checked.append(_validate.shape(name, array, checked[0].shape, f"the shape of `{first}`"))
    ndim = checked[0].ndim
    if not _validate.is_whole(dim) or not -ndim <= dim < ndim:
        raise ValueError(f"`dim` is {dim!r} but `{first}` has {ndim} axes: shape {checked[0].shape}.")
    moved = [np.moveaxis(array, dim, -1) for array in checked]
    implementation = backends.load(backend)
    rows = [implementation.pack(np.ascontiguousarray(array).reshape(-1, array.shape[-1])) for array in moved]
    y = implementation.unpack(getattr(implementation, operation)(*rows, 1))
    return np.ascontiguousarray(np.moveaxis(y.reshape(moved[0].shape), -1, dim))
