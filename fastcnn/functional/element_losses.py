"""Element-wise losses and their gradients."""

import numpy as np

from fastcnn import _validate, backends
from fastcnn.functional.losses import Terms, checked_weights, reduced


def mse_loss(x: np.ndarray, target: np.ndarray, reduction: str = "mean", *, backend: str | None = None) -> float:
    """Squared error.

    Parameters
    ----------
    x : ndarray of any shape, float32 or float64
    target : ndarray of the shape and dtype of `x`
    reduction : {"mean", "sum", "none"}, default "mean"
        Over all elements; "none" returns one loss for each element.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    float, or ndarray of the shape and dtype of `x`
        An array with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        If the arrays are not float arrays of the same shape and dtype, or `reduction` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.mse_loss(np.array([1.0, 3.0]), np.array([0.0, 0.0]))
    5.0
    >>> F.mse_loss(np.array([1.0, 3.0]), np.array([0.0, 0.0]), reduction="none")
    array([1., 9.])
    """
    return mse_loss_terms(x, target, reduction).value(backends.load(backend))


def mse_loss_backward(
    x: np.ndarray,
    target: np.ndarray,
    reduction: str = "mean",
    *,
    dy: np.ndarray | None = None,
    backend: str | None = None,
) -> np.ndarray:
    """Gradient of `mse_loss` with respect to ``x``: ``2 * (x - target)``.

    For the mean it is divided by the number of elements.

    Parameters
    ----------
    x, target, reduction, backend
        As given to `mse_loss`.
    dy : ndarray of the shape and dtype of `x`, optional
        Gradient with respect to the losses; required with ``reduction="none"``, not allowed otherwise.

    Returns
    -------
    ndarray of the shape and dtype of `x`

    Raises
    ------
    TypeError, ValueError
        As in `mse_loss`, or if `dy` is missing with ``reduction="none"`` or given without it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.mse_loss_backward(np.array([1.0, 3.0]), np.array([0.0, 0.0]))
    array([1., 3.])
    """
    return mse_loss_terms(x, target, reduction).by(dy).gradient(backends.load(backend))


def l1_loss(x: np.ndarray, target: np.ndarray, reduction: str = "mean", *, backend: str | None = None) -> float:
    """Absolute error.

    Parameters
    ----------
    x : ndarray of any shape, float32 or float64
    target : ndarray of the shape and dtype of `x`
    reduction : {"mean", "sum", "none"}, default "mean"
        Over all elements; "none" returns one loss for each element.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    float, or ndarray of the shape and dtype of `x`
        An array with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        If the arrays are not float arrays of the same shape and dtype, or `reduction` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.l1_loss(np.array([1.0, 3.0]), np.array([0.0, 5.0]))
    1.5
    >>> F.l1_loss(np.array([1.0, 3.0]), np.array([0.0, 5.0]), reduction="none")
    array([1., 2.])
    """
    return l1_loss_terms(x, target, reduction).value(backends.load(backend))


def l1_loss_backward(
    x: np.ndarray,
    target: np.ndarray,
    reduction: str = "mean",
    *,
    dy: np.ndarray | None = None,
    backend: str | None = None,
) -> np.ndarray:
    """Gradient of `l1_loss` with respect to ``x``: the sign of ``x - target``, 0 where they are equal.

    For the mean it is divided by the number of elements.

    Parameters
    ----------
    x, target, reduction, backend
        As given to `l1_loss`.
    dy : ndarray of the shape and dtype of `x`, optional
        Gradient with respect to the losses; required with ``reduction="none"``, not allowed otherwise.

    Returns
    -------
    ndarray of the shape and dtype of `x`

    Raises
    ------
    TypeError, ValueError
        As in `l1_loss`, or if `dy` is missing with ``reduction="none"`` or given without it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.l1_loss_backward(np.array([1.0, 3.0]), np.array([0.0, 5.0]), reduction="sum")
    array([ 1., -1.])
    """
    return l1_loss_terms(x, target, reduction).by(dy).gradient(backends.load(backend))


def smooth_l1_loss(
    x: np.ndarray, target: np.ndarray, reduction: str = "mean", beta: float = 1.0, *, backend: str | None = None
) -> float:
    """Absolute error, but quadratic near 0.

    With ``d = x - target`` it is ``d**2 / (2 * beta)`` where ``abs(d) < beta``, else ``abs(d) - beta / 2``.

    Parameters
    ----------
    x : ndarray of any shape, float32 or float64
    target : ndarray of the shape and dtype of `x`
    reduction : {"mean", "sum", "none"}, default "mean"
        Over all elements; "none" returns one loss for each element.
    beta : float, default 1
        Where the quadratic part ends; at least 0. With 0 the loss is `l1_loss`.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    float, or ndarray of the shape and dtype of `x`
        An array with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        If the arrays are not float arrays of the same shape and dtype, or an option is out of range.

    References
    ----------
    R. Girshick, "Fast R-CNN", ICCV 2015, equation (3).

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.smooth_l1_loss(np.array([0.5, 3.0]), np.array([0.0, 0.0]), reduction="none")
    array([0.125, 2.5  ])
    """
    return smooth_l1_loss_terms(x, target, reduction, beta).value(backends.load(backend))


def smooth_l1_loss_backward(
    x: np.ndarray,
    target: np.ndarray,
    reduction: str = "mean",
    beta: float = 1.0,
    *,
    dy: np.ndarray | None = None,
    backend: str | None = None,
) -> np.ndarray:
    """Gradient of `smooth_l1_loss` with respect to ``x``.

    With ``d = x - target`` it is ``d / beta`` where ``abs(d) < beta``, else the sign of ``d``. For the mean it is
    divided by the number of elements.

    Parameters
    ----------
    x, target, reduction, beta, backend
        As given to `smooth_l1_loss`.
    dy : ndarray of the shape and dtype of `x`, optional
        Gradient with respect to the losses; required with ``reduction="none"``, not allowed otherwise.

    Returns
    -------
    ndarray of the shape and dtype of `x`

    Raises
    ------
    TypeError, ValueError
        As in `smooth_l1_loss`, or if `dy` is missing with ``reduction="none"`` or given without it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.smooth_l1_loss_backward(np.array([0.5, 3.0]), np.array([0.0, 0.0]), reduction="sum")
    array([0.5, 1. ])
    """
    return smooth_l1_loss_terms(x, target, reduction, beta).by(dy).gradient(backends.load(backend))


def huber_loss(
    x: np.ndarray, target: np.ndarray, reduction: str = "mean", delta: float = 1.0, *, backend: str | None = None
) -> float:
    """Half the squared error, but linear far from 0.

    With ``d = x - target`` it is ``d**2 / 2`` where ``abs(d) <= delta``, else ``delta * (abs(d) - delta / 2)``.

    Parameters
    ----------
    x : ndarray of any shape, float32 or float64
    target : ndarray of the shape and dtype of `x`
    reduction : {"mean", "sum", "none"}, default "mean"
        Over all elements; "none" returns one loss for each element.
    delta : float, default 1
        Where the linear part begins; above 0.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    float, or ndarray of the shape and dtype of `x`
        An array with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        If the arrays are not float arrays of the same shape and dtype, or an option is out of range.

    References
    ----------
    P. J. Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35 (1964), section 4.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.huber_loss(np.array([0.5, 3.0]), np.array([0.0, 0.0]), reduction="none", delta=2)
    array([0.125, 4.   ])
    """
    return huber_loss_terms(x, target, reduction, delta).value(backends.load(backend))


def huber_loss_backward(
    x: np.ndarray,
    target: np.ndarray,
    reduction: str = "mean",
    delta: float = 1.0,
    *,
    dy: np.ndarray | None = None,
    backend: str | None = None,
) -> np.ndarray:
    """Gradient of `huber_loss` with respect to ``x``: ``x - target``, clipped to ``[-delta, delta]``.

    For the mean it is divided by the number of elements.

    Parameters
    ----------
    x, target, reduction, delta, backend
        As given to `huber_loss`.
    dy : ndarray of the shape and dtype of `x`, optional
        Gradient with respect to the losses; required with ``reduction="none"``, not allowed otherwise.

    Returns
    -------
    ndarray of the shape and dtype of `x`

    Raises
    ------
    TypeError, ValueError
        As in `huber_loss`, or if `dy` is missing with ``reduction="none"`` or given without it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.huber_loss_backward(np.array([0.5, 3.0]), np.array([0.0, 0.0]), reduction="sum", delta=2)
    array([0.5, 2. ])
    """
    return huber_loss_terms(x, target, reduction, delta).by(dy).gradient(backends.load(backend))


def binary_cross_entropy_with_logits(
    x: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None = None,
    reduction: str = "mean",
    pos_weight: np.ndarray | None = None,
    *,
    backend: str | None = None,
) -> float:
    """Binary cross-entropy of each element, from logits.

    With ``p = sigmoid(x)`` the loss is ``-weight * (pos_weight * target * log(p) + (1 - target) * log(1 - p))``,
    computed without overflow for any logit.

    Parameters
    ----------
    x : ndarray of any shape, float32 or float64
    target : ndarray of the shape and dtype of `x`
        Probability of the positive class, from 0 to 1.
    weight : ndarray of a shape that broadcasts to that of `x`, dtype of `x`, optional
        Weight of each element, at least 0; by default 1. The mean is over all elements, whatever their weights.
    reduction : {"mean", "sum", "none"}, default "mean"
        Over all elements; "none" returns one loss for each element.
    pos_weight : ndarray of a shape that broadcasts to that of `x`, dtype of `x`, optional
        Weight of the positive class, at least 0; by default 1. A weight above 1 raises recall, one below 1 raises
        precision.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    float, or ndarray of the shape and dtype of `x`
        An array with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        If the arrays are not float arrays of one dtype, shapes do not fit, a weight is out of range, or `reduction` is
        unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> round(F.binary_cross_entropy_with_logits(np.array([0.0, 0.0]), np.array([1.0, 0.0])), 6)
    0.693147
    >>> F.binary_cross_entropy_with_logits(np.array([1e4, -1e4]), np.array([0.0, 0.0]), reduction="none")
    array([10000.,     0.])
    """
    return binary_cross_entropy_with_logits_terms(x, target, weight, reduction, pos_weight).value(
        backends.load(backend)
    )


def binary_cross_entropy_with_logits_backward(
    x: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None = None,
    reduction: str = "mean",
    pos_weight: np.ndarray | None = None,
    *,
    dy: np.ndarray | None = None,
    backend: str | None = None,
) -> np.ndarray:
    """Gradient of `binary_cross_entropy_with_logits` with respect to ``x``: ``sigmoid(x) - target``.

    With weights it is ``weight * ((1 - target) * sigmoid(x) - pos_weight * target * sigmoid(-x))``. For the mean it is
    divided by the number of elements.

    Parameters
    ----------
    x, target, weight, reduction, pos_weight, backend
        As given to `binary_cross_entropy_with_logits`.
    dy : ndarray of the shape and dtype of `x`, optional
        Gradient with respect to the losses; required with ``reduction="none"``, not allowed otherwise.

    Returns
    -------
    ndarray of the shape and dtype of `x`

    Raises
    ------
    TypeError, ValueError
        As in `binary_cross_entropy_with_logits`, or if `dy` is missing with ``reduction="none"`` or given without it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.binary_cross_entropy_with_logits_backward(np.array([0.0, 0.0]), np.array([1.0, 0.0]), reduction="sum")
    array([-0.5,  0.5])
    """
    return (
        binary_cross_entropy_with_logits_terms(x, target, weight, reduction, pos_weight)
        .by(dy)
        .gradient(backends.load(backend))
    )


def mse_loss_terms(x, target, reduction: str) -> Terms:
    """The terms of `mse_loss`."""
    return _terms("mse_loss", x, target, reduction)


def l1_loss_terms(x, target, reduction: str) -> Terms:
    """The terms of `l1_loss`."""
    return _terms("l1_loss", x, target, reduction)


def smooth_l1_loss_terms(x, target, reduction: str, beta: float) -> Terms:
    """The terms of `smooth_l1_loss`."""
    return _terms("smooth_l1_loss", x, target, reduction, options=(checked_beta(beta),))


def huber_loss_terms(x, target, reduction: str, delta: float) -> Terms:
    """The terms of `huber_loss`."""
    return _terms("huber_loss", x, target, reduction, options=(checked_delta(delta),))


def binary_cross_entropy_with_logits_terms(x, target, weight, reduction: str, pos_weight) -> Terms:
    """The terms of `binary_cross_entropy_with_logits`."""
    x, target = _checked(x, target)
    weight, pos_weight = (_broadcast(*given, x) for given in (("weight", weight), ("pos_weight", pos_weight)))
    given = (target,) if pos_weight is None else (target, target * pos_weight)
    return reduced("binary_cross_entropy_with_logits", x, given, reduction, x.shape, weight)


def checked_beta(beta) -> float:
    """A finite number of at least 0."""
    return _validate.number("beta", beta, 0)


def checked_delta(delta) -> float:
    """A finite number above 0."""
    if _validate.number("delta", delta, 0) == 0:
        raise ValueError("`delta` is 0 but must be above 0.")
    return float(delta)


def _terms(operation: str, x, target, reduction: str, options: tuple[float, ...] = ()) -> Terms:
    x, target = _checked(x, target)
    return reduced(operation, x, (target,), reduction, x.shape, options=options)


def _checked(x, target) -> tuple[np.ndarray, np.ndarray]:
    x = _validate.floats("x", x)
    target = _validate.floats("target", target, like=("x", x))
    return x, _validate.shape("target", target, x.shape, "the shape of `x`")


def _broadcast(name: str, weight, x: np.ndarray) -> np.ndarray | None:
    """Checked weights, broadcast to the shape of ``x``."""
    if weight is None:
        return None
    weight = checked_weights(name, weight, like=("x", x))
    try:
        return np.ascontiguousarray(np.broadcast_to(weight, x.shape)).reshape(x.shape)
    except ValueError:
        raise ValueError(
            f"`{name}` has shape {weight.shape}, which does not broadcast to {x.shape}, the shape of `x`."
        ) from None
