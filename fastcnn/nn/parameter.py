"""The arrays of a layer: `Parameter`, which is trained, and `Buffer`, which is not but is part of the state."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from fastcnn import _validate
from fastcnn.nn.habits import ABSENT_OF_PARAMETERS
from fastcnn.nn.undoing import note


class _Thread(threading.local):
    collected: "list[tuple[Parameter, np.ndarray]] | None" = None


_thread = _Thread()


@contextmanager
def collected() -> "Iterator[list[tuple[Parameter, np.ndarray]]]":
    """Within this block, collect this thread's gradients in the list instead of adding them to the parameters."""
    before, _thread.collected = _thread.collected, []
    try:
        yield _thread.collected
    finally:
        _thread.collected = before


def own(array: np.ndarray) -> np.ndarray:
    """Return an unpickled array in a form that can be changed: joblib may give a read-only map of a file."""
    return array if type(array) is np.ndarray and array.flags.writeable else np.array(array)


class Parameter:
    """A trained array and its gradient.

    Parameters
    ----------
    data : ndarray of any shape, float32 or float64
        The values; optimizers change them in place.
    requires_grad : bool, default True
        Whether the gradient is computed.

    Attributes
    ----------
    data : ndarray of any shape, float32 or float64
    grad : ndarray of the shape and dtype of `data`, or None
        Gradient of the loss, summed over all calls of ``backward`` since the last ``zero_grad``.
    requires_grad : bool
        May be set at any time; see `Module.requires_grad_`. If it is False, ``backward`` does not compute or change
        `grad`. Optimizers skip parameters without a `grad`.

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
        """Return the number of values, as in PyTorch."""
        return self.data.size

    def __array__(self, dtype=None, copy: bool | None = None) -> np.ndarray:
        """Support ``np.asarray(parameter)``, which returns the array itself."""
        return np.array(self.data, dtype, copy=True) if copy else np.asarray(self.data, dtype)

    if not TYPE_CHECKING:  # otherwise type checkers would accept every attribute

        def __getattr__(self, name: str):
            """Name the replacement for an attribute of arrays or of PyTorch's parameters, or raise the usual error."""
            if not name.startswith("_") and (hasattr(np.ndarray, name) or name in ABSENT_OF_PARAMETERS):
                cure = ABSENT_OF_PARAMETERS.get(name, f"use that of its array, `parameter.data.{name}`")
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
        """Add ``grad`` to the gradient, in a new array, so that references to the old gradient keep its values.

        If the parameter requires no gradient, nothing is added and `grad` may be None.
        """
        if not self._requires_grad:
            return
        if grad is None:
            raise TypeError(f"`grad` is None, but {self!r} requires its gradient.")
        if grad.shape != self.data.shape:
            raise ValueError(f"`grad` has shape {grad.shape} but must have that of the parameter, {self.data.shape}.")
        accumulate([(self, grad)])

    def __repr__(self) -> str:
        frozen = "" if self.requires_grad else ", requires_grad=False"
        return f"Parameter(shape={self.shape}, dtype={self.dtype}{frozen})"


def accumulate(gradients: Iterable[tuple[Parameter, np.ndarray]]) -> None:
    """Add gradients to those of their parameters, or to the list of `collected`: all or, after an error, none."""
    if _thread.collected is not None:
        _thread.collected += gradients
        return
    sums: dict[Parameter, np.ndarray] = {}
    for parameter, grad in gradients:
        before = sums.get(parameter, parameter.grad)
        sums[parameter] = np.asarray(grad if before is None else before + grad)  # NumPy's sums may be no arrays
    set_grads(sums.items())


def note_grads(parameters: Iterable[Parameter]) -> None:
    """Note gradients before they change; see `fastcnn.nn.undoing`."""
    before = [(parameter, parameter.grad) for parameter in parameters]
    note(lambda: set_grads(before))


def zero_grad(parameters: Iterable[Parameter], set_to_none: bool) -> None:
    """Set all gradients to None, or existing ones to zeros in new arrays, as in `Parameter.accumulate`."""
    if _validate.flag("set_to_none", set_to_none):
        for parameter in parameters:
            parameter.grad = None
    else:
        given = [parameter for parameter in parameters if parameter.grad is not None]
        set_grads([(parameter, np.zeros_like(parameter.grad)) for parameter in given])


def set_grads(gradients: Iterable[tuple[Parameter, np.ndarray | None]]) -> None:
    """Set gradients that are all computed already, so that no error can end this halfway."""
    for parameter, grad in gradients:
        parameter.grad = grad


class Buffer:
    """An array that is part of a layer's state but not trained, such as running statistics.

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
