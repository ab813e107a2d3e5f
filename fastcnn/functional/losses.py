"""The losses and their gradients."""

import numpy as np

from fastcnn import _validate, backends

_REDUCTIONS = ("mean", "sum")


class EmptyMeanError(ValueError):
    """A mean was asked for of rows none of which counts."""


def cross_entropy(
    logits: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    *,
    backend: str | None = None,
) -> float:
    """Negative log-likelihood of the target classes under `softmax` of the logits, computed from `log_softmax`.

    With the logarithms ``l`` of a row's probabilities, its target ``t`` and its weight ``w[t]``, the row's loss is
    ``-w[t] * l[t]``. With label smoothing ``e`` it is ``-(1 - e) * w[t] * l[t] - e / classes * sum(w * l)``: a part of
    the likelihood that is asked for is shared out among all classes. The mean is over the rows' weights: the sum of the
    losses is divided by the sum of ``w[t]``, as in ``torch.nn.functional.cross_entropy``.

    Parameters
    ----------
    logits : ndarray of shape (N, classes), float32 or float64
    target : ndarray of shape (N,), integers
        Class of each row, from 0 to classes - 1, or `ignore_index`.
    weight : ndarray of shape (classes,), dtype of `logits`, optional
        Of each class, at least 0; by default 1.
    ignore_index : int, default -100
        Rows with this target do not count, and have no gradient.
    reduction : {"mean", "sum"}, default "mean"
        Over the rows.
    label_smoothing : float, default 0
        From 0 to 1.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    float

    Raises
    ------
    TypeError
        If `logits` or `weight` is not a float array or `target` is not an array of integers.
    ValueError
        If shapes do not fit, a class or a number is out of range, or `reduction` is unknown; and if no row has a weight
        and the mean is wanted, which in PyTorch is NaN.

    References
    ----------
    C. Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016, section 7 (smoothing).

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> round(F.cross_entropy(np.zeros((3, 10)), np.array([1, 5, 9])), 6)
    2.302585
    >>> round(F.cross_entropy(np.zeros((3, 10)), np.array([1, -100, -100]), reduction="sum"), 6)  # one row counts
    2.302585
    """
    operation, arguments = checked_classes(logits, target, weight, ignore_index, reduction, label_smoothing)
    return float(getattr(backends.load(backend), operation)(*arguments))


def cross_entropy_backward(
    logits: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    *,
    backend: str | None = None,
) -> np.ndarray:
    """Gradient of `cross_entropy` by the logits: ``softmax(logits) - onehot(target)``, divided by N for the mean.

    With weights and smoothing the row of ``onehot`` is that of the shares ``s = (1 - e) * w[t] * onehot + e / classes *
    w``, the gradient is ``softmax(logits) * sum(s) - s``, and N is the sum of ``w[t]``.

    Parameters
    ----------
    logits, target, weight, ignore_index, reduction, label_smoothing, backend
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
    >>> F.cross_entropy_backward(np.zeros((1, 2)), np.array([0]), label_smoothing=0.5)
    array([[-0.25,  0.25]])
    """
    operation, arguments = checked_classes(logits, target, weight, ignore_index, reduction, label_smoothing)
    return getattr(backends.load(backend), f"{operation}_backward")(*arguments)


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
    operation, arguments = checked_targets(x, target, reduction)
    return float(getattr(backends.load(backend), operation)(*arguments))


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
    operation, arguments = checked_targets(x, target, reduction)
    return getattr(backends.load(backend), f"{operation}_backward")(*arguments).reshape(np.shape(x))


def checked_classes(logits, target, weight, ignore_index, reduction: str, label_smoothing) -> tuple[str, tuple]:
    """The backend's operation for `cross_entropy`, and its arguments.

    They are the logits, what is asked of them, and what the sum over rows is multiplied by. Asked for is a class of
    each row; or, where there is more to say than that, the share of each class in each row.
    """
    logits = _validate.floats("logits", logits, 2)
    mean = _validate.choice("reduction", reduction, _REDUCTIONS) == "mean"
    smoothing = _validate.number("label_smoothing", label_smoothing, 0, 1)
    weight = checked_weight(weight, logits)
    N, classes = logits.shape
    target, kept = checked_labels("target", target, N, classes, checked_index(ignore_index))
    ignored = np.count_nonzero(kept) < N  # `all` takes ten times as long
    if weight is None and not smoothing and not ignored:
        return "cross_entropy", (logits, target, 1 / N if mean else 1.0)
    if weight is None:
        shares = np.full((N, classes), smoothing / classes, logits.dtype)
        shares[np.arange(N), target] += 1 - smoothing
        total = np.count_nonzero(kept)
    else:
        shares = np.tile(weight * (smoothing / classes), (N, 1))
        shares[np.arange(N), target] += (1 - smoothing) * weight[target]
        total = weight[target][kept].sum(dtype=np.float64)
    if ignored:
        shares[~kept] = 0
    if mean and total == 0:
        raise EmptyMeanError(
            "The mean of no rows is not a number: all of `target` have the weight 0 or are `ignore_index`; leave such "
            'a batch out, or use `reduction="sum"`.'
        )
    return "soft_cross_entropy", (logits, shares, 1 / float(total) if mean else 1.0)


def checked_labels(name: str, labels, N: int, classes: int, ignore_index: int) -> tuple[np.ndarray, np.ndarray]:
    """N classes as int64, 0 in the place of `ignore_index`; and which of them it does not stand for."""
    kept = None
    if isinstance(labels, np.ndarray) and labels.shape == (N,) and labels.dtype.kind in "iu":
        kept = labels != ignore_index
        labels = labels if np.count_nonzero(kept) == N else np.where(kept, labels, 0)
    labels = _validate.indices(name, labels, (N,), below=classes)  # which refuses them, if they are no such array
    return labels, np.ones(N, bool) if kept is None else kept


def checked_weight(weight, logits: np.ndarray | None = None) -> np.ndarray | None:
    """Weights of classes, of those of the logits where these are given."""
    if weight is None:
        return None
    weight = _validate.floats("weight", weight, 1, like=None if logits is None else ("logits", logits))
    if logits is not None:
        _validate.shape("weight", weight, logits.shape[1:], "one value for each class of `logits`")
    if not (np.isfinite(weight) & (weight >= 0)).all():
        raise ValueError(f"`weight` holds {weight[~(np.isfinite(weight) & (weight >= 0))][0]}, not a number from 0 up.")
    return weight


def checked_targets(x, target, reduction: str) -> tuple[str, tuple]:
    """The backend's operation for `mse_loss`, and its arguments: arrays, and what the sum is multiplied by."""
    x = _validate.floats("x", x)
    target = _validate.floats("target", target, like=("x", x))
    _validate.shape("target", target, x.shape, "that of `x`")
    mean = _validate.choice("reduction", reduction, _REDUCTIONS) == "mean"
    return "mse_loss", (x, target, 1 / x.size if mean else 1.0)


def checked_index(ignore_index) -> int:
    """Any whole number."""
    return _validate.whole("ignore_index", ignore_index)
