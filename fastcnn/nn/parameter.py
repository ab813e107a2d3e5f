"""Arrays that belong to a layer: those that are trained, and the rest of its state."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from fastcnn import _validate


class _Thread(threading.local):
    collected: "list[tuple[Parameter, np.ndarray]] | None" = None


_thread = _Thread()


@contextmanager
def collected() -> "Iterator[list[tuple[Parameter, np.ndarray]]]":
    """Within this block, this thread's gradients are not added to those of parameters but put into the list."""
    _thread.collected = []
    try:
        yield _thread.collected
    finally:
        _thread.collected = None


class Parameter:
    """An array that is trained, and its gradient.

    Parameters
    ----------
    data : ndarray of any shape, float32 or float64
        The values; optimizers change them in place.

    Attributes
    ----------
    data : ndarray of any shape, float32 or float64
    grad : ndarray of the shape and dtype of `data`, or None
        Gradient of the loss, the sum over all calls of ``backward`` since the last ``zero_grad``.

    Raises
    ------
    TypeError, ValueError
        If `data` is not a float32 or float64 array, or is empty.
    AttributeError
        If `requires_grad` is set to False: gradients of all parameters are computed. What is not given to the optimizer
        is not trained.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> weight = nn.Parameter(np.zeros((6, 1, 5, 5)))
    >>> weight.shape, weight.size, weight.grad
    ((6, 1, 5, 5), 150, None)
    """

    def __init__(self, data: np.ndarray):
        self.data = _validate.floats("data", data)
        self.grad: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:
        """Dtype of the array."""
        return self.data.dtype

    @property
    def size(self) -> int:
        """Number of values."""
        return self.data.size

    @property
    def requires_grad(self) -> bool:
        """Whether its gradient is computed: always."""
        return True

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value is not True:
            raise AttributeError(
                f"`requires_grad` cannot be {value!r}: the gradient of every parameter is computed. To freeze a "
                "parameter, leave it out of those that the optimizer is given."
            )

    def accumulate(self, grad: np.ndarray) -> None:
        """Add ``grad`` to the gradient; a new array, so that a gradient somebody took before stays as it was."""
        if grad.shape != self.data.shape:
            raise ValueError(f"`grad` has shape {grad.shape} but must have that of the parameter, {self.data.shape}.")
        if _thread.collected is not None:
            _thread.collected.append((self, grad))
            return
        self.grad = grad if self.grad is None else self.grad + grad

    def __repr__(self) -> str:
        return f"Parameter(shape={self.shape}, dtype={self.dtype})"


class Buffer:
    """An array that is not trained but belongs to a layer's state, as batch normalization's running statistics.

    Parameters
    ----------
    data : ndarray of any shape and dtype
        The values; the layer changes them in place.

    Attributes
    ----------
    data : ndarray of any shape and dtype

    Raises
    ------
    TypeError
        If `data` is not an array.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.Buffer(np.zeros(6))
    Buffer(shape=(6,), dtype=float64)
    """

    def __init__(self, data: np.ndarray):
        if not isinstance(data, np.ndarray):
            raise TypeError(f"`data` must be a numpy array, not {type(data).__name__}.")
        self.data = data

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:
        """Dtype of the array."""
        return self.data.dtype

    def __repr__(self) -> str:
        return f"Buffer(shape={self.shape}, dtype={self.dtype})"
