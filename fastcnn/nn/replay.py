"""A model's passes over batches of one shape, recorded when they are first made and replayed from then on.

The first forward and the first backward of a shape go from layer to layer, and the backend writes down which kernels
they launch with which arrays; the following ones only launch these kernels again. What they compute is the same, bit
for bit. That is so where all layers do nothing else than launch kernels (`is_replayable`), and as long as nothing has
changed: no attribute of any layer, none of its methods, nor the array of any parameter. Otherwise a batch goes from
layer to layer.

The arrays belong to the recording: a model keeps the activations of the last few shapes that it saw.
"""

import functools
import sys
import threading
from typing import Any

import numpy as np

from fastcnn.nn import calls
from fastcnn.nn.parameter import Parameter

_KEPT = 4  # shapes: of the whole and the last batches of training and of testing
_HARMLESS = {
    "__init__", "__module__", "__doc__", "__dict__", "__weakref__", "__qualname__",
    "__annotations__", "__annotate__", "__annotate_func__", "__firstlineno__", "__static_attributes__",
}  # fmt: skip

_changes = 0  # of public attributes of any module in this process


def note_change() -> None:
    """Some module is not what it was."""
    global _changes
    _changes += 1


def changes() -> int:
    """How often `note_change` was called: where it is the same as before, no module has changed."""
    return _changes


def is_replayable(module) -> bool:
    """Whether the passes of a module itself, as it is now, do nothing else than launch kernels of the backend.

    Its class says so in ``replayable``. A class that extends one that does says nothing unless it repeats it: only
    ``__init__`` and plain values may be new, as nobody knows what another method or a property does. The same goes for
    methods that were replaced, on the object or on the class.
    """
    return _has_known_methods(module) and module.replayable


def _has_known_methods(module) -> bool:
    kind: Any = type(module)
    return _is_known(kind) and calls.is_as_defined(module)


@functools.cache
def _is_known(kind) -> bool:
    for cls in kind.__mro__:
        attributes = vars(cls)
        if "replayable" in attributes:
            return True
        if any(
            callable(value) or hasattr(value, "__get__") for name, value in attributes.items() if name not in _HARMLESS
        ):
            return False
    return False


def find(model, backend, x: np.ndarray) -> "Recording | None":
    """The model's recording for batches like ``x``, perhaps one yet to be made; None if there can be none."""
    if not hasattr(backend, "recording"):
        return None
    recordings, key = vars(model).setdefault("_recordings", {}), (backend, x.shape, x.dtype)
    found = recordings.get(key)
    if found is None or not found.is_current():
        recordings.pop(key, None)
        while len(recordings) >= _KEPT:
            del recordings[next(iter(recordings))]
        found = recordings[key] = Recording(model, backend)
    return found if found.is_replayable(model) else None


class Recording:
    """The passes of a model over batches of one shape.

    Who calls `forward` and `backward` holds the ``lock``. Nothing here leads back to the model, so that its memory is
    free when its last reference is gone.
    """

    def __init__(self, model, backend):
        self.lock = threading.Lock()
        self._backend, self._changes = backend, _changes
        modules = list(model.modules())
        self._inside = [module for module in modules if module is not model]
        self._classes = [(kind, kind.passes) for kind in {type(module) for module in modules}]
        held = [value for _, value in model.named_state() if isinstance(value, Parameter)]
        self._parameters = [(parameter, parameter.data) for parameter in held]
        once = len(set(map(id, held))) == len(held)  # else their gradients are added up, in NumPy
        arrays = all(isinstance(data, np.ndarray) for _, data in self._parameters)  # else layers will say so
        self._sound = once and arrays and all(map(_has_known_methods, modules))
        self._forward: Any = None  # launches, their first and last arrays, and the call of the model
        self._backward: dict[bool, _Backward] = {}  # by whether there is a gradient of the input

    def is_current(self) -> bool:
        """Whether nothing has changed since."""
        return (
            self._changes == _changes
            and all(parameter.data is data for parameter, data in self._parameters)
            and all(calls.passes(kind) == defined for kind, defined in self._classes)
        )

    def is_replayable(self, model) -> bool:
        """Whether the layers, as they are now, do nothing else than launch kernels, and with the parameters themselves.

        Of a parameter that is read-only or strided, kernels are given a copy.
        """
        return (
            self._sound
            and model.replayable
            and all(module.replayable for module in self._inside)
            and all(data.flags.carray for _, data in self._parameters)
        )

    def forward(self, model, x: np.ndarray) -> np.ndarray:
        """Output of the model."""
        backend = self._backend
        if self._forward is None:
            native = backend.pack(x)
            with backend.recording() as launches:
                y, call = calls.run(model, native, backend)
            self._forward = launches, native, y, call
        else:
            launches, native, y, _ = self._forward
            backend.repack(x, native)
            backend.replay(launches)
        return backend.unpack(y)

    def backward(self, dy: np.ndarray, input_grad: bool) -> np.ndarray | None:
        """Add the gradients of all parameters, and return that of the input if asked, for the last `forward`."""
        backend = self._backend
        recorded = self._backward.get(input_grad)
        if recorded is None or not recorded.is_free():  # somebody has a gradient of before, or it is to be added to
            recorded = self._record_backward(dy, input_grad)
        else:
            backend.repack(dy, recorded.dy)
            backend.replay(recorded.launches)
        for parameter, grad in recorded.grads:
            parameter.accumulate(grad)
        return backend.unpack(recorded.dx) if input_grad else None

    @property
    def call(self):
        """That of the model, which remembers the last `forward`."""
        return self._forward[-1]

    def _record_backward(self, dy: np.ndarray, input_grad: bool) -> "_Backward":
        before = [(parameter, parameter.grad) for parameter, _ in self._parameters]
        for parameter, _ in before:
            parameter.grad = None
        try:
            native = self._backend.pack(dy)
            with self._backend.recording() as launches:
                dx = self.call.backward(native, self._backend, input_grad)
            grads = [(parameter, parameter.grad) for parameter, _ in before if parameter.grad is not None]
        finally:
            for parameter, grad in before:
                parameter.grad = grad
        self._backward[input_grad] = recorded = _Backward(launches, native, dx, grads)
        return recorded


class _Backward:
    """Launches of a backward pass, their first and last arrays, and the gradients that they leave."""

    def __init__(self, launches, dy, dx, grads):
        self.launches, self.dy, self.dx, self.grads = launches, dy, dx, grads
        self._references = self._count()

    def is_free(self) -> bool:
        """Whether nobody else, nor a parameter, has any of the gradients: a replay overwrites them."""
        return self._count() == self._references

    def _count(self) -> list[int]:
        """References to each gradient, and to the array to which it and all its views refer."""
        return [count for _, grad in self.grads for count in (sys.getrefcount(grad), sys.getrefcount(grad.base))]
