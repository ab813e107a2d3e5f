"""What losses share: ``loss = criterion(x, target)``, then ``criterion.backward()`` is its gradient by ``x``."""

import inspect
from typing import Any

import numpy as np

from fastcnn import backends
from fastcnn.functional.losses import Terms, checked_reduction


class _Loss:
    """What the losses share: they remember their last batch for ``backward``; a copy of a loss does not.

    A loss defines ``_terms(x, target)``, and has its options as attributes of their names.
    """

    _last: tuple[Terms, Any] | None = None  # and the backend, of the last call, if that gave a loss

    def __init__(self, reduction: str = "mean"):
        self.reduction = checked_reduction(reduction)

    def __call__(self, x: np.ndarray, target: np.ndarray) -> float:
        """As `forward`."""
        return self.forward(x, target)

    def forward(self, x: np.ndarray, target: np.ndarray) -> float:
        """Loss of a batch, computed by the current backend; `backward` will use the same.

        Parameters
        ----------
        x, target : ndarray
            Output of a model and what it should be; leave both as they are until `backward` was called.

        Returns
        -------
        float, or ndarray
            An array with ``reduction="none"``, of the losses of all elements or rows. Type checkers, which cannot know
            the option's value, are told of a float.

        Raises
        ------
        TypeError, ValueError
            As the function that computes it.
        """
        self._last = None  # so that no `backward` after a call that fails is that of an older batch
        terms = self._terms(x, target)
        backend = backends.load()
        value = terms.value(backend)
        self._last = terms, backend
        return value

    @property
    def mean_over(self) -> float:
        """What the last mean is over: its rows, the sum of their weights, or its elements; 1 where there is no mean.

        Raises
        ------
        RuntimeError
            As `backward`.
        """
        return self._remembered("mean_over")[0].mean_over

    def backward(self, dy: np.ndarray | None = None) -> np.ndarray:
        """Gradient of the last loss by ``x``, of its shape and dtype.

        Parameters
        ----------
        dy : ndarray of the shape and dtype of the losses, optional
            With ``reduction="none"``, which needs it: the gradient of what was made of the losses by them.

        Raises
        ------
        RuntimeError
            If there was no loss before, or the last call failed.
        TypeError, ValueError
            If there is no `dy` where one is needed, one where none is, or one that does not fit.
        """
        terms, backend = self._remembered("backward")
        return terms.by(dy).gradient(backend)

    def _remembered(self, asked: str) -> tuple[Terms, Any]:
        """The last call, of which something is asked."""
        if self._last is None:
            raise RuntimeError(f"{type(self).__name__}.{asked} needs a loss: call {self!r}(x, target) first.")
        return self._last

    def __getstate__(self) -> dict:
        """What copy and pickle take: all but the memory of the last batch."""
        return {name: value for name, value in vars(self).items() if name != "_last"}

    def _terms(self, x, target) -> Terms:
        """The loss as backends compute it, checked."""
        raise NotImplementedError(f"{type(self).__name__} must define _terms(x, target).")

    def __repr__(self) -> str:
        """The reduction, and what else is not as by default."""
        said = {"reduction": self.reduction}
        for name, parameter in inspect.signature(type(self)).parameters.items():
            value = getattr(self, name, parameter.default)
            if isinstance(value, np.ndarray) or value != parameter.default:
                said.setdefault(name, value)
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in said.items())})"
