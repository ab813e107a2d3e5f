"""Arrays that belong to a layer: those that are trained, and the rest of its state."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from fastcnn import _validate
from fastcnn.nn.habits import ABSENT_OF_PARAMETERS


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


def own(array: np.ndarray) -> np.ndarray:
    """What can be computed with and changed, of what was unpickled: joblib's arrays may be a file's memory."""
    return array if type(array) is np.ndarray and array.flags.writeable else np.array(array)


class Parameter:
    """An array that is trained, and its gradient.

    Parameters
    ----------
    data : ndarray of any shape, float32 or float64
        The values; optimizers change them in place.
    requires_grad : bool, default True
        Whether it learns.

    Attributes
    ----------
    data : ndarray of any shape, float32 or float64
    grad : ndarray of the shape and dtype of `data`, or None
        Gradient of the loss, the sum over all calls of ``backward`` since the last ``zero_grad``.
    requires_grad : bool
        May be set at any time; see `Module.requires_grad_`. Without it the gradient is not computed, ``backward``
        leaves `grad` as it is, and a parameter that has none is not changed by an optimizer.

    Raises
    ------
    TypeError, ValueError
        If `data` is not a float32 or float64 array, or is empty, or `requires_grad` is neither True nor False.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> weight = nn.Parameter(np.zeros((6, 1, 5, 5)))
    >>> weight.shape, weight.size, weight.grad
    ((6, 1, 5, 5), 150, None)
    """

    def __init__(self, data: np.ndarray, requires_grad: bool = True):
        self.data = _validate.floats("data", data)
        self.grad: np.ndarray | None = None
        self.requires_grad = requires_grad

    def __setstate__(self, state: dict) -> None:
        vars(self).update({**state, "data": own(state["data"])})

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

    def numel(self) -> int:
        """Number of values, as PyTorch calls it."""
        return self.data.size

    def __array__(self, dtype=None, copy: bool | None = None) -> np.ndarray:
        """For ``np.asarray(parameter)``, which gives the array itself."""
        return np.array(self.data, dtype, copy=True) if copy else np.asarray(self.data, dtype)

    if not TYPE_CHECKING:  # else every attribute would be there

        def __getattr__(self, name: str):
            """Say where the array's own attributes are, or that there is no such one."""
            if not name.startswith("_") and (hasattr(np.ndarray, name) or name in ABSENT_OF_PARAMETERS):
                cure = ABSENT_OF_PARAMETERS.get(name, f"its array has, `parameter.data.{name}`")
                raise AttributeError(f"A Parameter of fastcnn has no `{name}`: {cure}.", name=name, obj=self)
            return object.__getattribute__(self, name)

    @property
    def requires_grad(self) -> bool:
        """Whether its gradient is computed."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self._requires_grad = _validate.flag("requires_grad", value)

    def accumulate(self, grad: np.ndarray | None) -> None:
        """Add ``grad`` to the gradient; a new array, so that a gradient somebody took before stays as it was.

        Nothing is added, and `grad` may be None, where the parameter requires no gradient.
        """
        if not self._requires_grad:
            return
        if grad is None:
            raise TypeError(f"`grad` is None, but {self!r} requires its gradient.")
        if grad.shape != self.data.shape:
            raise ValueError(f"`grad` has shape {grad.shape} but must have that of the parameter, {self.data.shape}.")
        if _thread.collected is not None:
            _thread.collected.append((self, grad))
            return
        self.grad = grad if self.grad is None else self.grad + grad

    def __repr__(self) -> str:
        frozen = "" if self.requires_grad else ", requires_grad=False"
        return f"Parameter(shape={self.shape}, dtype={self.dtype}{frozen})"


def zero_grad(parameters: Iterable[Parameter], set_to_none: bool) -> None:
    """Forget all gradients, or let those that are there be zeros: new arrays, as in `Parameter.accumulate`."""
    forget = _validate.flag("set_to_none", set_to_none)
    for parameter in parameters:
        parameter.grad = None if forget or parameter.grad is None else np.zeros_like(parameter.grad)


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

    def __setstate__(self, state: dict) -> None:
        vars(self).update({**state, "data": own(state["data"])})

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
