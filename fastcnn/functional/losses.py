"""Common code of all losses: weighted sums of the losses of elements or rows."""

import math
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from fastcnn import _validate

REDUCTIONS = ("none", "mean", "sum")


class EmptyMeanError(ValueError):
    """The mean of a loss is undefined, because no row counts."""


class Terms(NamedTuple):
    """A loss as a backend computes it: the weighted sum of the losses of elements or rows.

    A reduction only sets the weights, which are the gradient of the weighted sum with respect to the losses.

    Attributes
    ----------
    operation : str
        The backend operation that computes the losses; ``<operation>_backward`` computes the gradient.
    x : ndarray
        The gradient is taken with respect to it.
    given : tuple of ndarray
        Further arrays that the operation takes.
    options : tuple of float
        Numbers that the operation takes after the arrays.
    shape : tuple of int
        Shape of the losses.
    weights : ndarray of shape `shape`, dtype of `x`; or a 0-d float64 array, one weight for all
        A loss of weight 0 does not count, even if it is NaN or infinite.
    mean_over : float
        The divisor of the mean; 1 if there is no mean.
    summed : bool
        Whether the losses are summed; False with ``reduction="none"``.
    """

    operation: str
    x: np.ndarray
    given: tuple[np.ndarray, ...]
    options: tuple[float, ...]
    shape: tuple[int, ...]
    weights: np.ndarray
    mean_over: float
    summed: bool

    def value(self, backend: ModuleType) -> Any:
        """The weighted sum as a float, or an array of the weighted losses if they are not summed."""
        if self.summed:
            return float(self.total(backend))
        losses = self._losses(backend)
        weighted = np.where(self.weights == 0, 0, losses * self.weights) if self.weights.ndim else losses
        return weighted.reshape(self.shape)  # NumPy turns 0-d results into scalars

    def total(self, backend: ModuleType):
        """The weighted sum, as the backend returns it."""
        return backend.weighted_sum(self._losses(backend), self.weights)

    def _losses(self, backend: ModuleType) -> np.ndarray:
        return getattr(backend, self.operation)(self.x, *self.given, *self.options)

    def by(self, dy: np.ndarray | None) -> "Terms":
        """The terms for the gradient, given ``dy``, the gradient with respect to the losses; see `checked_gradient`."""
        dy = checked_gradient(dy, self)
        return self if dy is None else self._replace(weights=self.weights.astype(dy.dtype) * dy)

    def gradient(self, backend: ModuleType) -> np.ndarray:
        """The gradient with respect to ``x``."""
        backward = getattr(backend, f"{self.operation}_backward")
        return backward(self.weights, self.x, *self.given, *self.options).reshape(self.x.shape)


def reduced(
    operation: str,
    x: np.ndarray,
    given: tuple[np.ndarray, ...],
    reduction: str,
    shape: tuple[int, ...],
    weights: np.ndarray | None = None,
    mean_over: float | None = None,
    options: tuple[float, ...] = (),
) -> Terms:
    """The terms of a loss; by default, weights are 1 and the mean divides by the number of losses."""
    reduction = checked_reduction(reduction)
    weights = np.ones(()) if weights is None else weights
    mean_over = float(math.prod(shape)) if mean_over is None else mean_over
    if reduction != "mean":
        return Terms(operation, x, given, options, shape, weights, 1.0, reduction == "sum")
    if mean_over == 0:
        raise EmptyMeanError(
            "The mean of no rows is not a number: every `target` has weight 0 or is `ignore_index`. Leave out such a "
            'batch, or use `reduction="sum"`.'
        )
    weights = np.asarray(weights / weights.dtype.type(mean_over))
    return Terms(operation, x, given, options, shape, weights, mean_over, True)


def checked_reduction(reduction) -> str:
    """One of `REDUCTIONS`."""
    return _validate.choice("reduction", reduction, REDUCTIONS)


def checked_gradient(dy, terms: Terms) -> np.ndarray | None:
    """``dy``, which is required if the losses are not summed; a sum takes none, since its gradient is 1."""
    if terms.summed:
        if dy is not None:
            raise ValueError('`dy` is given, but only losses that are not summed, with `reduction="none"`, take it.')
        return None
    if dy is None:
        raise ValueError(
            '`dy` is None, but `reduction="none"` needs the gradient with respect to the losses, an array of shape '
            f"{terms.shape}."
        )
    dy = _validate.floats("dy", dy, like=("x", terms.x))
    return _validate.shape("dy", dy, terms.shape, "the shape of the losses")


def checked_weights(name: str, weight, ndim: int | None = None, like=None) -> np.ndarray | None:
    """Finite weights of at least 0; the other checks are those of `_validate.floats`."""
    if weight is None:
        return None
    weight = _validate.floats(name, weight, ndim, like)
    wrong = ~(np.isfinite(weight) & (weight >= 0))
    if wrong.any():
        raise ValueError(f"`{name}` holds {weight[wrong][0]}, but weights must be finite and at least 0.")
    return weight
