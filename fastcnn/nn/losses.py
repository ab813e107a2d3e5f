"""Losses: ``loss = criterion(x, target)``, then ``criterion.backward()`` is its gradient by ``x``."""

from typing import Any

import numpy as np

from fastcnn import _validate, backends
from fastcnn.functional.losses import checked_classes, checked_index, checked_targets, checked_weight


class _Loss:
    """What the losses share: they remember their last batch for ``backward``; a copy of a loss does not."""

    _last: Any = None  # operation, its arguments and backend of the last call, if that gave a loss

    def __init__(self, reduction: str = "mean"):
        self.reduction = str(_validate.choice("reduction", reduction, ("mean", "sum")))

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
        self._last = None  # so that no `backward` after a call that fails is that of an older batch
        backend = backends.load()
        operation, arguments = self._check(x, target)
        value = float(getattr(backend, operation)(*arguments))
        self._last = operation, arguments, backend
        return value

    @property
    def mean_over(self) -> float:
        """What the last mean is over: its rows, the sum of their weights, or its elements; 1 for a sum.

        Raises
        ------
        RuntimeError
            As `backward`.
        """
        _, arguments, _ = self._remembered("mean_over")
        return 1 / arguments[-1]

    def backward(self) -> np.ndarray:
        """Gradient of the last loss by ``x``, of its shape and dtype.

        Raises
        ------
        RuntimeError
            If there was no loss before, or the last call failed.
        """
        operation, arguments, backend = self._remembered("backward")
        return getattr(backend, f"{operation}_backward")(*arguments).reshape(arguments[0].shape)

    def _remembered(self, asked: str) -> tuple[str, tuple, Any]:
        """The last call, of which something is asked."""
        if self._last is None:
            raise RuntimeError(f"{type(self).__name__}.{asked} needs a loss: call {self!r}(x, target) first.")
        return self._last

    def __getstate__(self) -> dict:
        """What copy and pickle take: all but the memory of the last batch."""
        return {name: value for name, value in vars(self).items() if name != "_last"}

    def _check(self, x, target) -> tuple[str, tuple]:
        """The backend's operation and its arguments."""
        raise NotImplementedError(f"{type(self).__name__} must define _check(x, target).")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(reduction={self.reduction!r})"


class CrossEntropyLoss(_Loss):
    """Negative log-likelihood of the target classes, from logits; see `fastcnn.functional.cross_entropy`.

    Parameters
    ----------
    weight : ndarray of shape (classes,), dtype of the logits, optional
        Of each class, at least 0; by default 1.
    ignore_index : int, default -100
        Rows with this target do not count. A batch of nothing else has no mean, and is an error.
    reduction : {"mean", "sum"}, default "mean"
        Over the rows, or over their weights.
    label_smoothing : float, default 0
        Part of the likelihood that is shared out among all classes.

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

    def _check(self, x, target):
        return checked_classes(x, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing)

    def __repr__(self) -> str:
        weight = "" if self.weight is None else f", weight={self.weight!r}"
        ignored = "" if self.ignore_index == -100 else f", ignore_index={self.ignore_index}"
        smoothing = f", label_smoothing={self.label_smoothing}" if self.label_smoothing else ""
        return f"CrossEntropyLoss(reduction={self.reduction!r}{weight}{ignored}{smoothing})"


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

    def _check(self, x, target):
        return checked_targets(x, target, self.reduction)
