"""Losses that are computed element by element, such as those for regression."""

import numpy as np

from fastcnn.functional.element_losses import (
    binary_cross_entropy_with_logits_terms,
    checked_beta,
    checked_delta,
    huber_loss_terms,
    l1_loss_terms,
    mse_loss_terms,
    smooth_l1_loss_terms,
)
from fastcnn.functional.losses import checked_weights
from fastcnn.nn.losses import _Loss


class MSELoss(_Loss):
    """Squared error; see `fastcnn.functional.mse_loss`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        How to combine the losses of all elements.

    Raises
    ------
    ValueError
        If `reduction` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> criterion = nn.MSELoss()
    >>> criterion(np.array([1.0, 3.0]), np.array([0.0, 0.0]))
    5.0
    >>> criterion.backward()
    array([1., 3.])
    """

    def _terms(self, x, target):
        return mse_loss_terms(x, target, self.reduction)


class L1Loss(_Loss):
    """Absolute error; see `fastcnn.functional.l1_loss`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        How to combine the losses of all elements.

    Raises
    ------
    ValueError
        If `reduction` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> criterion = nn.L1Loss(reduction="none")
    >>> criterion(np.array([1.0, 3.0]), np.array([0.0, 5.0]))
    array([1., 2.])
    >>> criterion.backward(np.array([0.5, 0.5]))
    array([ 0.5, -0.5])
    """

    def _terms(self, x, target):
        return l1_loss_terms(x, target, self.reduction)


class SmoothL1Loss(_Loss):
    """Absolute error, but a parabola near 0; see `fastcnn.functional.smooth_l1_loss`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        How to combine the losses of all elements.
    beta : float, default 1
        Absolute error at which the parabola ends. At least 0; 0 gives `L1Loss`.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> criterion = nn.SmoothL1Loss()
    >>> criterion(np.array([1.0, 3.0]), np.array([0.0, 0.0]))
    1.5
    >>> criterion.backward()
    array([0.5, 0.5])
    """

    def __init__(self, reduction: str = "mean", beta: float = 1.0):
        super().__init__(reduction)
        self.beta = checked_beta(beta)

    def _terms(self, x, target):
        return smooth_l1_loss_terms(x, target, self.reduction, self.beta)


class HuberLoss(_Loss):
    """Half the squared error, but straight lines far from 0; see `fastcnn.functional.huber_loss`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        How to combine the losses of all elements.
    delta : float, default 1
        Absolute error at which the straight lines begin. Above 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> criterion = nn.HuberLoss(delta=2)
    >>> criterion(np.array([1.0, 3.0]), np.array([0.0, 0.0]))
    2.25
    >>> criterion.backward()
    array([0.5, 1. ])
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0):
        super().__init__(reduction)
        self.delta = checked_delta(delta)

    def _terms(self, x, target):
        return huber_loss_terms(x, target, self.reduction, self.delta)


class BCEWithLogitsLoss(_Loss):
    """Binary cross-entropy of each element, computed from logits.

    See `fastcnn.functional.binary_cross_entropy_with_logits`.

    Parameters
    ----------
    weight : ndarray of a shape that broadcasts to that of the logits, of their dtype, optional
        Weight of each element, at least 0; by default 1. The mean divides by the number of elements, not by the sum
        of the weights.
    reduction : {"mean", "sum", "none"}, default "mean"
        How to combine the losses of all elements.
    pos_weight : ndarray of a shape that broadcasts to that of the logits, of their dtype, optional
        Weight of the positive part of the loss, at least 0; by default 1.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> criterion = nn.BCEWithLogitsLoss()
    >>> round(criterion(np.array([0.0, 0.0]), np.array([1.0, 0.0])), 4)
    0.6931
    >>> criterion.backward()
    array([-0.25,  0.25])
    """

    def __init__(self, weight: np.ndarray | None = None, reduction: str = "mean", pos_weight: np.ndarray | None = None):
        super().__init__(reduction)
        self.weight = checked_weights("weight", weight)
        self.pos_weight = checked_weights("pos_weight", pos_weight)

    def _terms(self, x, target):
        return binary_cross_entropy_with_logits_terms(x, target, self.weight, self.reduction, self.pos_weight)
