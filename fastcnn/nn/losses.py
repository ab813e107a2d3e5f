"""Base of the losses: after ``loss = criterion(x, target)``, ``criterion.backward()`` is the gradient by ``x``."""

import inspect
from typing import Any

import numpy as np

from fastcnn import backends
from fastcnn.functional.losses import Terms, checked_reduction


class _Loss:
    """Base of the losses. A loss stores its last batch for ``backward``, but copies of it do not include the batch.

    A subclass defines ``_terms(x, target)`` and stores each option in an attribute of the same name.
    """

    _last: tuple[Terms, Any] | None = None  # terms and backend of the last call, unless it failed

    def __init__(self, reduction: str = "mean"):
        self.reduction = checked_reduction(reduction)

    def __call__(self, x: np.ndarray, target: np.ndarray) -> float:
        """See `forward`."""
        return self.forward(x, target)

    def forward(self, x: np.ndarray, target: np.ndarray) -> float:
        """Compute the loss of a batch with the current backend; `backward` uses the same backend.

        Parameters
        ----------
        x, target : ndarray
            Output of a model, and the targets. Do not change them before `backward`.

        Returns
        -------
        float, or ndarray
            With ``reduction="none"``, an array of the losses of all elements or rows. The annotation says float because
            type checkers cannot know the value of the option.

        Raises
        ------
        TypeError, ValueError
            As in the function of `fastcnn.functional` that computes the loss.
        """
        self._last = None  # so that `backward` does not use an older batch if this call fails
        terms = self._terms(x, target)
        backend = backends.load()
        value = terms.value(backend)
        self._last = terms, backend
        return value

    @property
    def mean_over(self) -> float:
        """The divisor of the last mean: the number of rows or elements, or a sum of weights; 1 without a mean.

        Raises
        ------
        RuntimeError
            If there was no loss before, or the last call failed.
        """
        return self._remembered("mean_over")[0].mean_over

    def backward(self, dy: np.ndarray | None = None) -> np.ndarray:
        """Return the gradient of the last loss by ``x``, with the shape and dtype of ``x``.

        Parameters
        ----------
        dy : ndarray of the shape and dtype of the losses, optional
            Required with ``reduction="none"``: the gradient of the final loss with respect to these losses.

        Raises
        ------
        RuntimeError
            If there was no loss before, or the last call failed.
        TypeError, ValueError
            If `dy` is missing but required, given but not used, or does not fit the losses.
        """
        terms, backend = self._remembered("backward")
        return terms.by(dy).gradient(backend)

    def _remembered(self, asked: str) -> tuple[Terms, Any]:
        """Return the last call; the error if there is none names ``asked``."""
        if self._last is None:
            raise RuntimeError(f"{type(self).__name__}.{asked} needs a loss: call {self!r}(x, target) first.")
        return self._last

    def __getstate__(self) -> dict:
        """State for copy and pickle: everything but the last batch."""
        return {name: value for name, value in vars(self).items() if name != "_last"}

    def _terms(self, x, target) -> Terms:
        """Check the arguments; return the loss in the form that backends compute."""
        raise NotImplementedError(f"{type(self).__name__} must define _terms(x, target).")

    def __repr__(self) -> str:
        """Show the reduction, and all options that differ from their defaults."""
        said = {"reduction": self.reduction}
        for name, parameter in inspect.signature(type(self)).parameters.items():
            value = getattr(self, name, parameter.default)
            if isinstance(value, np.ndarray) or value != parameter.default:
                said.setdefault(name, value)
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in said.items())})"
