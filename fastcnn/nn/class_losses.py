"""Classification losses."""

import numpy as np

from fastcnn import _validate
from fastcnn.functional.class_losses import checked_index, checked_weight, cross_entropy_terms, nll_loss_terms
from fastcnn.nn.losses import _Loss


class CrossEntropyLoss(_Loss):
    """Negative log-likelihood of the target classes, from logits; see `fastcnn.functional.cross_entropy`.

    Targets are class indices or class probabilities, for each image or for each position in it, such as a pixel.

    Parameters
    ----------
    weight : ndarray of shape (classes,), dtype of the logits, optional
        Weight of each class, at least 0; by default 1.
    ignore_index : int, default -100
        Class index that does not count. A batch with no other targets has no mean, which is an error.
    reduction : {"mean", "sum", "none"}, default "mean"
        How to combine the losses. The mean over class indices divides by the sum of their weights.
    label_smoothing : float, default 0
        Part of the target probability that is spread evenly over all classes, from 0 to 1.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> criterion = nn.CrossEntropyLoss()
    >>> round(criterion(np.zeros((1, 2)), np.array([0])), 4)
    0.6931
    >>> criterion.backward()
    array([[-0.5,  0.5]])
    """

    def __init__(
        self,
        weight: np.ndarray | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ):
        super().__init__(reduction)
        self.weight = checked_weight(weight)
        self.ignore_index = checked_index(ignore_index)
        self.label_smoothing = _validate.number("label_smoothing", label_smoothing, 0, 1)

    def _terms(self, x, target):
        return cross_entropy_terms(x, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing)


class NLLLoss(_Loss):
    """Negative log-likelihood of the target classes, from log-probabilities; see `fastcnn.functional.nll_loss`.

    `fastcnn.functional.log_softmax` makes log-probabilities; `CrossEntropyLoss` does both at once. Targets are class
    indices, for each image or for each position in it, such as a pixel.

    Parameters
    ----------
    weight : ndarray of shape (classes,), dtype of the log-probabilities, optional
        Weight of each class, at least 0; by default 1.
    ignore_index : int, default -100
        Class index that does not count. A batch with no other targets has no mean, which is an error.
    reduction : {"mean", "sum", "none"}, default "mean"
        How to combine the losses. The mean over class indices divides by the sum of their weights.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> criterion = nn.NLLLoss()
    >>> round(criterion(np.log(np.array([[0.25, 0.75]])), np.array([1])), 4)
    0.2877
    >>> criterion.backward()
    array([[ 0., -1.]])
    """

    def __init__(self, weight: np.ndarray | None = None, ignore_index: int = -100, reduction: str = "mean"):
        super().__init__(reduction)
        self.weight = checked_weight(weight)
        self.ignore_index = checked_index(ignore_index)

    def _terms(self, x, target):
        return nll_loss_terms(x, target, self.weight, self.ignore_index, self.reduction)
