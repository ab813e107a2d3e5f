"""Layers written in NumPy: ``forward(x)`` and ``backward(dy)`` on plain arrays, anywhere in a model.

A class that defines these two methods, and no native ones, gets native methods that unpack the arrays, call its own
methods and pack the result. So the layer works in a `Sequential`, between layers whose activations are in a backend's
layout. Like every layer, it runs on twins (see `fastcnn.nn.calls`): what ``forward`` stores in ``self._x`` is there in
the ``backward`` of that call.

Called from outside, ``layer(x)`` and ``layer.backward(dy)`` are the public methods of `Module`, with their checks; the
names below call these the door. When the class calls other layers, as ``self.conv(x)`` and ``self.conv.backward(dy)``,
those calls become parts of its own, each once. It goes back through a layer that it calls several times by each of the
calls (see `last_call`).
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastcnn._inputs import joined, listed
from fastcnn.nn import calls
from fastcnn.nn.parameter import Parameter


def wrap(kind: Any, module: Any) -> None:
    """Add native methods to a new class written in NumPy, and the checks of ``module`` to its own two methods."""
    if _has_native_passes(kind, module):
        return
    own = vars(kind)
    if "forward" in own:
        kind.forward_native, kind.backward_native = _forward_native, _backward_native
    for name in {"forward", "backward"} & own.keys():
        setattr(kind, name, _door(own[name], getattr(module, name)))


def has_door(method: Callable) -> bool:
    """Whether a method on arrays was wrapped by `_door`."""
    return hasattr(method, "takes_input_grad")


def _has_native_passes(kind: type, module: Any) -> bool:
    """Whether this class or a base class other than ``module`` defines native methods."""
    for cls in kind.__mro__:
        for name in calls.PASSES:
            method = vars(cls).get(name)
            if cls is not module and method and not hasattr(inspect.unwrap(method), "is_made"):
                return True
    return False


def _door(method: Callable, door: Callable) -> Callable:
    """Return a function that calls ``method`` within its own call, and ``door``, which checks arrays, elsewhere."""

    @functools.wraps(method)
    def either(self, *arrays, **options):
        return (method if calls.is_running(self) else door)(self, *arrays, **options)

    either.takes_input_grad = "input_grad" in inspect.signature(method).parameters  # type: ignore[attr-defined]
    return either


def _forward_native(self, x, backend):
    """Unpack, call ``forward`` and pack."""
    name, arrays = f"{type(self).__name__}.forward", [_read_only(backend.unpack(native)) for native in listed(x)]
    with calls.by_arrays(backend), _blamed(name, "its input"):
        y = _floats(name, self.forward(*arrays), arrays[0])
    N, shapes = len(arrays[0]), " and ".join(str(array.shape) for array in arrays)
    if y.ndim < 2 or len(y) != N:
        raise ValueError(
            f"{name} returned an array of shape {y.shape} for an input of shape {shapes}, but must return ({N}, ...) "
            "with at least 2 dimensions."
        )
    return backend.pack(y)


def _backward_native(self, dy, backend, input_grad: bool):
    """Unpack, call ``backward`` and pack."""
    name, kind = f"{type(self).__name__}.backward", type(self)
    if not has_door(kind.backward):
        raise RuntimeError(
            f"{kind.__name__} defines its own forward, which Module.backward cannot go back through: also define "
            "backward(dy), which adds the gradients of the parameters and returns that of the input."
        )
    options = {"input_grad": input_grad} if kind.backward.takes_input_grad else {}
    dy = _read_only(backend.unpack(dy))
    with calls.by_arrays(backend), _blamed(name, "`dy`"):
        dx = self.backward(dy, **options)
    for held, parameter in vars(self).items():
        if isinstance(parameter, Parameter) and parameter.grad is not None:
            _check_gradient(name, held, parameter)
    if not input_grad:
        return None
    shapes = calls.shapes_of_inputs()
    parts = dx if self.several_inputs and isinstance(dx, tuple) else (dx,)
    if len(parts) != len(shapes):
        raise ValueError(f"{name} returned {len(parts)} gradients but must return a tuple of {len(shapes)}.")
    return joined(
        tuple(backend.pack(_of_shape(name, part, dy, shape)) for part, shape in zip(parts, shapes, strict=True))
    )


_forward_native.is_made = _backward_native.is_made = True  # type: ignore[attr-defined]


def _read_only(array: np.ndarray) -> np.ndarray:
    """Return a read-only view, as another layer may have saved the same array."""
    array = array.view()
    array.flags.writeable = False
    return array


@contextmanager
def _blamed(name: str, what: str) -> Iterator[None]:
    """Name the layer in the error that NumPy raises for writing into a read-only array."""
    try:
        yield
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        raise ValueError(
            f"{name} writes into {what} or a view of it ({error}), which other layers may use: make a new array, as "
            "in `x = x + 1` for `x += 1`."
        ) from error


def _floats(name: str, array: Any, given: np.ndarray) -> np.ndarray:
    """Check that a method returned an array with the dtype of its input; return it C-contiguous and writeable."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} returned {_said(array)} but must return a numpy array.")
    if array.dtype != given.dtype:
        raise TypeError(
            f"{name} returned {array.dtype} but was given {given.dtype}: parameters and other arrays that it uses must "
            "have that dtype, or the result must be converted with .astype."
        )
    if array.size == 0:
        raise ValueError(f"{name} returned an empty array, of shape {array.shape}.")
    return np.require(array, requirements=["C", "W"])


def _of_shape(name: str, dx: Any, dy: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Check that a gradient has the shape of its input."""
    dx = _floats(name, dx, dy)
    if dx.shape != shape:
        raise ValueError(f"{name} returned a gradient of shape {dx.shape}, but its input has shape {shape}.")
    return dx


def _check_gradient(name: str, held: str, parameter: Parameter) -> None:
    grad: Any = parameter.grad
    if not isinstance(grad, np.ndarray) or (grad.shape, grad.dtype) != (parameter.shape, parameter.dtype):
        found = f"{grad.dtype} of shape {grad.shape}" if isinstance(grad, np.ndarray) else _said(grad)
        raise ValueError(
            f"{name} set the gradient of `{held}` to {found}, but `{held}` is {parameter.dtype} of shape "
            f"{parameter.shape}."
        )


def _said(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
