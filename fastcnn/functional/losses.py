"""What all losses have in common: losses of elements or rows, which are summed."""

import math
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from fastcnn import _validate

REDUCTIONS = ("none", "mean", "sum")


class EmptyMeanError(ValueError):
    """A mean was asked for of rows none of which counts."""


class Terms(NamedTuple):
    """A loss as a backend computes it: a sum of the losses of elements or rows, each times its weight.

    So a reduction is nothing but weights: the sum of ``weights * losses`` has the gradient ``weights`` by the losses.

    Attributes
    ----------
    operation : str
        The backend's, which computes the losses; it has the gradients of them as ``<operation>_backward``.
    x : ndarray
        By which the gradient is.
    given : tuple of ndarray
        What the operation takes besides.
    options : tuple of float
        What it takes last.
    shape : tuple of int
        Of the losses.
    weights : ndarray of shape `shape`, dtype of `x`; or of no axes, float64, one weight for all
        A loss with the weight 0 does not count, whatever it is.
    mean_over : float
        What the mean is over; 1 where there is none.
    summed : bool
        Whether the losses are; not with ``reduction="none"``.
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
        """The sum, a float; or all losses times their weights, in an array, where they are not summed."""
        if self.summed:
            return float(self.total(backend))
        losses = self._losses(backend)
        weighted = np.where(self.weights == 0, 0, losses * self.weights) if self.weights.ndim else losses
        return weighted.reshape(self.shape)  # an array of no axes is a number to NumPy

    def total(self, backend: ModuleType):
        """The sum, as the backend has it."""
        return backend.weighted_sum(self._losses(backend), self.weights)

    def _losses(self, backend: ModuleType) -> np.ndarray:
        return getattr(backend, self.operation)(self.x, *self.given, *self.options)

    def by(self, dy: np.ndarray | None) -> "Terms":
        """The same, for the gradient where that by the losses is ``dy``; see `checked_gradient`."""
        dy = checked_gradient(dy, self)
        return self if dy is None else self._replace(weights=self.weights.astype(dy.dtype) * dy)

    def gradient(self, backend: ModuleType) -> np.ndarray:
        """The gradient by ``x``."""
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
    """The terms of a loss with weights (None: 1), of which the mean is over a number, by default that of the losses."""
    reduction = checked_reduction(reduction)
    weights = np.ones(()) if weights is None else weights
    mean_over = float(math.prod(shape)) if mean_over is None else mean_over
    if reduction != "mean":
        return Terms(operation, x, given, options, shape, weights, 1.0, reduction == "sum")
    if mean_over == 0:
        raise EmptyMeanError(
            "The mean of no rows is not a number: all of `target` have the weight 0 or are `ignore_index`; leave such "
            'a batch out, or use `reduction="sum"`.'
        )
    weights = np.asarray(weights / weights.dtype.type(mean_over))
    return Terms(operation, x, given, options, shape, weights, mean_over, True)


def checked_reduction(reduction) -> str:
    """One of `REDUCTIONS`."""
    return _validate.choice("reduction", reduction, REDUCTIONS)


def checked_gradient(dy, terms: Terms) -> np.ndarray | None:
    """The gradient by losses that are not summed, which there must be; by a sum there must be none, as it is 1."""
    if terms.summed:
        if dy is not None:
            raise ValueError('`dy` is for losses that are not summed, with `reduction="none"`: a mean or a sum is one.')
        return None
    if dy is None:
        raise ValueError(
            'With `reduction="none"` the gradient is that by all losses: give it as `dy`, an array of shape '
            f"{terms.shape}."
        )
    dy = _validate.floats("dy", dy, like=("x", terms.x))
    return _validate.shape("dy", dy, terms.shape, "that of the losses")


def checked_weights(name: str, weight, ndim: int | None = None, like=None) -> np.ndarray | None:
    """Weights, none of them below 0 or infinite; the rest as in `_validate.floats`."""
    if weight is None:
        return None
    weight = _validate.floats(name, weight, ndim, like)
    wrong = ~(np.isfinite(weight) & (weight >= 0))
    if wrong.any():
        raise ValueError(f"`{name}` holds {weight[wrong][0]}, not a number from 0 up.")
    return weight
