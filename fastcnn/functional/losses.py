"""The losses and their gradients."""

import numpy as np

from fastcnn import _validate, backends

_REDUCTIONS = ("mean", "sum")


def cross_entropy(
    logits: np.ndarray, target: np.ndarray, reduction: str = "mean", *, backend: str | None = None
) -> float:
    """Negative log-likelihood of the target classes under `softmax` of the logits, computed from `log_softmax`.

    Parameters
    ----------
    logits : ndarray of shape (N, classes), float32 or float64
    target : ndarray of shape (N,), integers
        Class of each row, from 0 to classes - 1.
    reduction : {"mean", "sum"}, default "mean"
        Over the N rows.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    float

    Raises
    ------
    TypeError
        If `logits` is not a float array or `target` is not an array of integers.
    ValueError
        If shapes do not fit, a class is out of range, or `reduction` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> round(F.cross_entropy(np.zeros((3, 10)), np.array([1, 5, 9])), 6)
    2.302585
    """
    logits, target, scale = checked_classes(logits, target, reduction)
    return float(backends.load(backend).cross_entropy(logits, target, scale))


def cross_entropy_backward(
    logits: np.ndarray, target: np.ndarray, reduction: str = "mean", *, backend: str | None = None
) -> np.ndarray:
    """Gradient of `cross_entropy` by the logits: ``softmax(logits) - onehot(target)``, divided by N for the mean.

    Parameters
    ----------
    logits, target, reduction, backend
        As given to `cross_entropy`.

    Returns
    -------
    ndarray of shape (N, classes), dtype of `logits`

    Raises
    ------
    TypeError, ValueError
        As `cross_entropy`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.cross_entropy_backward(np.zeros((1, 2)), np.array([0]))
    array([[-0.5,  0.5]])
    """
    logits, target, scale = checked_classes(logits, target, reduction)
    return backends.load(backend).cross_entropy_backward(logits, target, scale)


def mse_loss(x: np.ndarray, target: np.ndarray, reduction: str = "mean", *, backend: str | None = None) -> float:
    """Squared error, over all elements.

    Parameters
    ----------
    x : ndarray of any shape, float32 or float64
    target : ndarray of the shape and dtype of `x`
    reduction : {"mean", "sum"}, default "mean"
        Over all elements.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        If the arrays are not float arrays of one shape and dtype, or `reduction` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.mse_loss(np.array([1.0, 3.0]), np.array([0.0, 0.0]))
    5.0
    """
    x, target, scale = checked_targets(x, target, reduction)
    return float(backends.load(backend).mse_loss(x, target, scale))


def mse_loss_backward(
    x: np.ndarray, target: np.ndarray, reduction: str = "mean", *, backend: str | None = None
) -> np.ndarray:
    """Gradient of `mse_loss` by ``x``: ``2 * (x - target)``, divided by the number of elements for the mean.

    Parameters
    ----------
    x, target, reduction, backend
        As given to `mse_loss`.

    Returns
    -------
    ndarray of the shape and dtype of `x`

    Raises
    ------
    TypeError, ValueError
        As `mse_loss`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.mse_loss_backward(np.array([1.0, 3.0]), np.array([0.0, 0.0]))
    array([1., 3.])
    """
    x, target, scale = checked_targets(x, target, reduction)
    return backends.load(backend).mse_loss_backward(x, target, scale).reshape(np.shape(x))


def checked_classes(logits, target, reduction: str) -> tuple[np.ndarray, np.ndarray, float]:
    """Arguments of `cross_entropy` as backends take them: the arrays, and what the sum over rows is multiplied by."""
    logits = _validate.floats("logits", logits, 2)
    target = _validate.indices("target", target, logits.shape[:1], below=logits.shape[1])
    return logits, target, 1 / len(logits) if _validate.choice("reduction", reduction, _REDUCTIONS) == "mean" else 1.0


def checked_targets(x, target, reduction: str) -> tuple[np.ndarray, np.ndarray, float]:
    """Arguments of `mse_loss` as backends take them: the arrays, and what the sum over elements is multiplied by."""
    x = _validate.floats("x", x)
    target = _validate.floats("target", target, like=("x", x))
    _validate.shape("target", target, x.shape, "that of `x`")
    return x, target, 1 / x.size if _validate.choice("reduction", reduction, _REDUCTIONS) == "mean" else 1.0
