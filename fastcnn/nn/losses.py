"""Losses: ``loss = criterion(x, target)``, then ``criterion.backward()`` is its gradient by ``x``."""

import numpy as np

from fastcnn import _validate, backends
from fastcnn.functional.losses import checked_classes, checked_targets


class _Loss:
    """What the losses share: they remember their last batch for ``backward``."""

    _last = None  # arguments and backend of the last call

    def __init__(self, reduction: str = "mean"):
        self.reduction = _validate.choice("reduction", reduction, ("mean", "sum"))

    def __call__(self, x: np.ndarray, target: np.ndarray) -> float:
        """Loss of a batch, computed by the current backend; `backward` will use the same.

        Parameters
        ----------
        x, target : ndarray
            Output of a model and what it should be; leave both as they are until `backward` was called.

        Raises
        ------
        TypeError, ValueError
            As the function that computes it.
        """
        backend = backends.load()
        checked = self._check(x, target, self.reduction)
        self._last = checked, backend
        return float(getattr(backend, self._operation)(*checked))

    def backward(self) -> np.ndarray:
        """Gradient of the last loss by ``x``, of its shape and dtype.

        Raises
        ------
        RuntimeError
            If there was no loss before.
        """
        if self._last is None:
            raise RuntimeError(f"{type(self).__name__}.backward needs a loss: call {self!r}(x, target) first.")
        checked, backend = self._last
        return getattr(backend, f"{self._operation}_backward")(*checked).reshape(checked[0].shape)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(reduction={self.reduction!r})"


class CrossEntropyLoss(_Loss):
    """Negative log-likelihood of the target classes, from logits; see `fastcnn.functional.cross_entropy`.

    Parameters
    ----------
    reduction : {"mean", "sum"}, default "mean"
        Over the rows.

    Raises
    ------
    ValueError
        If `reduction` is unknown.

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

    _operation = "cross_entropy"
    _check = staticmethod(checked_classes)


class MSELoss(_Loss):
    """Squared error; see `fastcnn.functional.mse_loss`.

    Parameters
    ----------
    reduction : {"mean", "sum"}, default "mean"
        Over all elements.

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

    _operation = "mse_loss"
    _check = staticmethod(checked_targets)
