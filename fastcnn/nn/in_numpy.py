"""Layers that are written in NumPy: ``forward(x)`` and ``backward(dy)`` on plain arrays, anywhere in a model.

A class that defines these two, and no native passes, is given native passes that unpack, call them and pack. So it
stands in a `Sequential`, between layers whose activations are in a backend's layout. It runs on twins as every layer
does (see `fastcnn.nn.calls`): what ``forward`` leaves in ``self._x`` is there in the ``backward`` of that call.

From outside, ``layer(x)`` and ``layer.backward(dy)`` are the doors of every `Module`, with their checks. Other layers
that such a class calls, ``self.conv(x)`` and ``self.conv.backward(dy)``, become parts of its call, each once; one that
is called several times goes back through each of its calls (see `last_call`).
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
    """Give native passes to a new class that is written in NumPy, and the doors of ``module`` to its two methods."""
    if _has_native_passes(kind, module):
        return
    own = vars(kind)
    if "forward" in own:
        kind.forward_native, kind.backward_native = _forward_native, _backward_native
    for name in {"forward", "backward"} & own.keys():
        setattr(kind, name, _door(own[name], getattr(module, name)))


def has_door(method: Callable) -> bool:
    """Whether a method is one on arrays, behind the door."""
    return hasattr(method, "takes_input_grad")


def _has_native_passes(kind: type, module: Any) -> bool:
    """Whether somebody wrote them, in this class or one that it extends."""
    for cls in kind.__mro__:
        for name in calls.PASSES:
            method = vars(cls).get(name)
            if cls is not module and method and not hasattr(inspect.unwrap(method), "is_made"):
                return True
    return False


def _door(method: Callable, door: Callable) -> Callable:
    """A method on arrays, in the middle of its own call; else the door, behind which it is called."""

    @functools.wraps(method)
    def either(self, *arrays, **options):
        return (method if calls.is_running(self) else door)(self, *arrays, **options)

    either.takes_input_grad = "input_grad" in inspect.signature(method).parameters  # type: ignore[attr-defined]
    return either


def _forward_native(self, x, backend):
    """Unpack, ``forward``, pack."""
    name, arrays = f"{type(self).__name__}.forward", [_read_only(backend.unpack(native)) for native in listed(x)]
    with calls.by_arrays(backend), _blamed(name, "its input"):
        y = _floats(name, self.forward(*arrays), arrays[0])
    N, shapes = len(arrays[0]), " and ".join(str(array.shape) for array in arrays)
    if y.ndim < 2 or len(y) != N:
        raise ValueError(
            f"{name} returned an array of shape {y.shape} for an input of shape {shapes}, but must return ({N}, ...), "
            "of at least 2 dimensions."
        )
    return backend.pack(y)


def _backward_native(self, dy, backend, input_grad: bool):
    """Unpack, ``backward``, pack."""
    name, kind = f"{type(self).__name__}.backward", type(self)
    if not has_door(kind.backward):
        raise RuntimeError(
            f"{kind.__name__} defines a forward of its own, of which Module.backward knows nothing: define "
            "backward(dy), too, which adds the gradients of its parameters and returns that of its input."
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
    """A view: the numbers may be what another layer remembers."""
    array = array.view()
    array.flags.writeable = False
    return array


@contextmanager
def _blamed(name: str, what: str) -> Iterator[None]:
    """Say which layer writes into what it was given, which NumPy refuses."""
    try:
        yield
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        raise ValueError(
            f"{name} writes into {what} or a view of it ({error}), which others may remember: let it make a new array, "
            "as `x = x + 1` for `x += 1`."
        ) from error


def _floats(name: str, array: Any, given: np.ndarray) -> np.ndarray:
    """What a method returned, if it is an array of the dtype of what it was given; C-contiguous, and nobody's view."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} returned {_said(array)} but must return a numpy array.")
    if array.dtype != given.dtype:
        raise TypeError(
            f"{name} returned {array.dtype} but was given {given.dtype}: parameters, and other arrays that it computes "
            "with, must be of that dtype, too, or the result be converted by .astype."
        )
    if array.size == 0:
        raise ValueError(f"{name} returned an empty array, of shape {array.shape}.")
    return np.require(array, requirements=["C", "W"])


def _of_shape(name: str, dx: Any, dy: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A gradient of an input of this shape."""
    dx = _floats(name, dx, dy)
    if dx.shape != shape:
        raise ValueError(f"{name} returned a gradient of shape {dx.shape}, but its input has shape {shape}.")
    return dx


def _check_gradient(name: str, held: str, parameter: Parameter) -> None:
    grad: Any = parameter.grad
    if not isinstance(grad, np.ndarray) or (grad.shape, grad.dtype) != (parameter.shape, parameter.dtype):
        found = f"{grad.dtype} of shape {grad.shape}" if isinstance(grad, np.ndarray) else _said(grad)
        raise ValueError(
            f"{name} left as the gradient of `{held}` {found}, but `{held}` is {parameter.dtype} of shape "
            f"{parameter.shape}."
        )


def _said(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
