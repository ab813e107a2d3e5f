"""Classification losses and their gradients."""

import numpy as np

from fastcnn import _validate, backends
from fastcnn.functional.losses import Terms, checked_weights, reduced


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

    A row is the logits of one image, or of one position in it, such as a pixel. With the row's log-probabilities ``l``,
    its target ``t`` and the weight ``w[t]``, its loss is ``-w[t] * l[t]``. With label smoothing ``e`` it is
    ``-(1 - e) * w[t] * l[t] - e / classes * sum(w * l)``: the fraction ``e`` of the target probability is spread evenly
    over all classes. The mean is weighted: the sum of the losses is divided by the sum of ``w[t]``, as in
    ``torch.nn.functional.cross_entropy``.

    Targets may be soft: probabilities ``q`` of all classes, for example of mixed images or from another model. The
    row's loss is ``-sum(w * q * l)``, with ``(1 - e) * q + e / classes`` instead of ``q`` under label smoothing. The
    mean is over the number of rows, whatever their weights.

    Parameters
    ----------
    logits : ndarray of shape (N, classes) or (N, classes, ...), float32 or float64
    target : ndarray of shape (N,), (N, ...) or (N, classes, ...)
        Integers: the class of each row, from 0 to classes - 1, or `ignore_index`. Or the probabilities of all classes,
        in the shape and dtype of `logits`.
    weight : ndarray of shape (classes,), dtype of `logits`, optional
        Weight of each class, at least 0; by default 1.
    ignore_index : int, default -100
        Rows with this target do not count and have gradient 0. With soft targets no row can be ignored, and it must be
        below 0.
    reduction : {"mean", "sum", "none"}, default "mean"
        Over the rows; "none" returns one loss for each row.
    label_smoothing : float, default 0
        From 0 to 1.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    float, or ndarray of shape (N,) or (N, ...), dtype of `logits`
        An array with ``reduction="none"``.

    Raises
    ------
    TypeError
        If `logits` or `weight` is not a float array or `target` is neither an array of integers nor probabilities.
    ValueError
        If shapes do not match, a class or a number is out of range, or `reduction` is unknown. Also for the mean if all
        rows have weight 0 or are ignored; PyTorch returns NaN there.

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
    >>> round(F.cross_entropy(np.zeros((1, 2)), np.array([[0.3, 0.7]])), 6)  # a soft target
    0.693147
    >>> F.cross_entropy(np.zeros((1, 2, 4, 3)), np.ones((1, 4, 3), int), reduction="none").shape  # of each pixel
    (1, 4, 3)
    """
    terms = cross_entropy_terms(logits, target, weight, ignore_index, reduction, label_smoothing)
    return terms.value(backends.load(backend))


def cross_entropy_backward(
    logits: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    *,
    dy: np.ndarray | None = None,
    backend: str | None = None,
) -> np.ndarray:
    """Gradient of `cross_entropy` with respect to the logits: ``softmax(logits) - onehot(target)``.

    For the mean it is divided by N, the number of rows that count. With weights and label smoothing, the gradient is
    ``softmax(logits) * sum(s) - s`` with ``s = (1 - e) * w[t] * onehot + e / classes * w``, and N is the sum of
    ``w[t]``. With soft targets ``q``, ``s = ((1 - e) * q + e / classes) * w``, and N is the number of all rows.

    Parameters
    ----------
    logits, target, weight, ignore_index, reduction, label_smoothing, backend
        As given to `cross_entropy`.
    dy : ndarray of shape (N,) or (N, ...), dtype of `logits`, optional
        Gradient with respect to the losses; required with ``reduction="none"``, not allowed otherwise.

    Returns
    -------
    ndarray of the shape and dtype of `logits`

    Raises
    ------
    TypeError, ValueError
        As in `cross_entropy`, or if `dy` is missing with ``reduction="none"`` or given without it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.cross_entropy_backward(np.zeros((1, 2)), np.array([0]))
    array([[-0.5,  0.5]])
    >>> F.cross_entropy_backward(np.zeros((1, 2)), np.array([0]), label_smoothing=0.5)
    array([[-0.25,  0.25]])
    >>> F.cross_entropy_backward(np.zeros((1, 2)), np.array([0]), reduction="none", dy=np.array([2.0]))
    array([[-1.,  1.]])
    """
    terms = cross_entropy_terms(logits, target, weight, ignore_index, reduction, label_smoothing)
    return terms.by(dy).gradient(backends.load(backend))


def nll_loss(
    x: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    *,
    backend: str | None = None,
) -> float:
    """Negative log-likelihood of the target classes, from log-probabilities such as those of `log_softmax`.

    The loss of a row is ``-w[t] * x[t]``. The mean is weighted as in `cross_entropy`, which combines `log_softmax` and
    this loss.

    Parameters
    ----------
    x : ndarray of shape (N, classes) or (N, classes, ...), float32 or float64
    target : ndarray of shape (N,) or (N, ...), integers
        Class of each row, from 0 to classes - 1, or `ignore_index`.
    weight : ndarray of shape (classes,), dtype of `x`, optional
        Weight of each class, at least 0; by default 1.
    ignore_index : int, default -100
        Rows with this target do not count and have gradient 0.
    reduction : {"mean", "sum", "none"}, default "mean"
        Over the rows; "none" returns one loss for each row.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    float, or ndarray of shape (N,) or (N, ...), dtype of `x`
        An array with ``reduction="none"``.

    Raises
    ------
    TypeError
        If `x` or `weight` is not a float array or `target` is not an array of integers.
    ValueError
        If shapes do not match, a class is out of range, or `reduction` is unknown. Also for the mean if all rows have
        weight 0 or are ignored; PyTorch returns NaN there.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> logs = np.log(np.array([[0.25, 0.75], [0.5, 0.5]]))
    >>> round(F.nll_loss(logs, np.array([1, 0])), 6)
    0.490415
    >>> F.nll_loss(logs, np.array([1, 0]), reduction="none").round(6)
    array([0.287682, 0.693147])
    """
    return nll_loss_terms(x, target, weight, ignore_index, reduction).value(backends.load(backend))


def nll_loss_backward(
    x: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    *,
    dy: np.ndarray | None = None,
    backend: str | None = None,
) -> np.ndarray:
    """Gradient of `nll_loss` with respect to ``x``: ``-w[t]`` at the target of each row, else 0.

    For the mean it is divided by the sum of ``w[t]``.

    Parameters
    ----------
    x, target, weight, ignore_index, reduction, backend
        As given to `nll_loss`.
    dy : ndarray of shape (N,) or (N, ...), dtype of `x`, optional
        Gradient with respect to the losses; required with ``reduction="none"``, not allowed otherwise.

    Returns
    -------
    ndarray of the shape and dtype of `x`

    Raises
    ------
    TypeError, ValueError
        As in `nll_loss`, or if `dy` is missing with ``reduction="none"`` or given without it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.nll_loss_backward(np.log(np.array([[0.25, 0.75], [0.5, 0.5]])), np.array([1, 0]))
    array([[ 0. , -0.5],
           [-0.5,  0. ]])
    """
    return nll_loss_terms(x, target, weight, ignore_index, reduction).by(dy).gradient(backends.load(backend))


def cross_entropy_terms(logits, target, weight, ignore_index, reduction: str, label_smoothing) -> Terms:
    """The terms of `cross_entropy`, from the class of each row or from the weight of each class in each row."""
    logits = _rows("logits", logits)
    smoothing = _validate.number("label_smoothing", label_smoothing, 0, 1)
    weight = checked_weight(weight, ("logits", logits))
    ignore_index, shape = checked_index(ignore_index), (len(logits), *logits.shape[2:])
    if isinstance(target, np.ndarray) and target.dtype.kind == "f":
        shares = _probabilities(target, logits, ignore_index)
        if smoothing:
            shares = shares * (1 - smoothing) + smoothing / logits.shape[1]
        if weight is not None:
            shares = shares * _along(weight, shares)
        return reduced("soft_cross_entropy", logits, (shares,), reduction, shape)
    target, kept, weights, total = _labels(logits, target, weight, ignore_index)
    if not smoothing:
        return reduced("cross_entropy", logits, (target,), reduction, shape, weights, total)
    shares = np.full_like(logits, smoothing / logits.shape[1])
    chosen = target[:, np.newaxis]
    np.put_along_axis(shares, chosen, smoothing / logits.shape[1] + (1 - smoothing), axis=1)
    if weight is not None:
        shares *= _along(weight, shares)
    if not kept.all():
        np.copyto(shares, 0, where=~kept[:, np.newaxis])
    return reduced("soft_cross_entropy", logits, (shares,), reduction, shape, mean_over=total)


def nll_loss_terms(x, target, weight, ignore_index, reduction: str) -> Terms:
    """The terms of `nll_loss`."""
    x = _rows("x", x)
    weight = checked_weight(weight, ("x", x))
    target, _, weights, total = _labels(x, target, weight, checked_index(ignore_index))
    return reduced("nll_loss", x, (target,), reduction, target.shape, weights, total)


def checked_labels(
    name: str, labels, shape: tuple[int, ...], classes: int, ignore_index: int
) -> tuple[np.ndarray, np.ndarray]:
    """Classes as int64, with 0 in place of `ignore_index`, and a mask of those that are not ignored."""
    kept = None
    if isinstance(labels, np.ndarray) and labels.shape == shape and labels.dtype.kind in "iu":
        kept = labels != ignore_index
        labels = labels if np.count_nonzero(kept) == labels.size else np.where(kept, labels, 0)
    labels = _validate.indices(name, labels, shape, below=classes)  # raises if `labels` is not such an array
    return labels, np.ones(shape, bool) if kept is None else kept


def checked_weight(weight, like: tuple[str, np.ndarray] | None = None) -> np.ndarray | None:
    """Checked weights of classes, one for each class of ``like``, a (name, array), if that is given."""
    weight = checked_weights("weight", weight, 1, like)
    if weight is not None and like is not None:
        _validate.shape("weight", weight, like[1].shape[1:2], f"one value for each class of `{like[0]}`")
    return weight


def checked_index(ignore_index) -> int:
    """Any whole number."""
    return _validate.whole("ignore_index", ignore_index)


def _rows(name: str, x) -> np.ndarray:
    """A float array of shape (N, classes, ...)."""
    x = _validate.floats(name, x)
    if x.ndim < 2:
        raise ValueError(f"`{name}` must have 2 dimensions, (N, classes), or more but its shape is {x.shape}.")
    return x


def _labels(x, target, weight, ignore_index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, float]:
    """Classes of all rows, a mask of the rows that count, their weights (None if all are 1) and the sum of these."""
    target, kept = checked_labels("target", target, (len(x), *x.shape[2:]), x.shape[1], ignore_index)
    if weight is None:
        count = np.count_nonzero(kept)  # `all` takes ten times as long
        return target, kept, None if count == kept.size else kept.astype(x.dtype), float(count)
    weights = np.where(kept, weight[target], x.dtype.type(0))
    return target, kept, weights, float(weights.sum(dtype=np.float64))


def _probabilities(target: np.ndarray, logits: np.ndarray, ignore_index: int) -> np.ndarray:
    """Checked soft targets."""
    if target.ndim != logits.ndim:
        raise TypeError(
            f"`target` must be a numpy array of integers, not {target.dtype}. The probabilities of all classes would "
            f"have the shape of `logits`, {logits.shape}."
        )
    target = _validate.floats("target", target, like=("logits", logits))
    _validate.shape("target", target, logits.shape, "the shape of `logits`, since it holds probabilities")
    if ignore_index >= 0:
        raise ValueError(
            f"`ignore_index` is {ignore_index} but must be below 0 with soft targets: only classes can be ignored."
        )
    return target


def _along(weight: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Weights of classes, shaped to broadcast along the class axis of ``x``."""
    return weight.reshape(-1, *(1,) * (x.ndim - 2))
