"""A model's passes over batches of one shape, recorded when they are first made and replayed from then on.

The first forward and the first backward of a shape go from layer to layer, and the backend writes down which kernels
they launch with which arrays; the following ones only launch these kernels again. What they compute is the same, bit
for bit. That is so where all layers do nothing else than launch kernels (`Module.replayable`), and as long as nothing
has changed: no attribute of any layer, nor the array of any parameter. Otherwise a batch goes from layer to layer.

The arrays belong to the recording: a model keeps the activations of the last few shapes that it saw.
"""

import sys
import threading

import numpy as np

_KEPT = 4  # shapes: of the whole and the last batches of training and of testing

_changes = 0  # of public attributes of any module in this process


def note_change() -> None:
    """Some module is not what it was."""
    global _changes
    _changes += 1


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
    return found if found.is_replayable() else None


class Recording:
    """The passes of a model over batches of one shape.

    Who calls `forward` and `backward` holds the ``lock``.
    """

    def __init__(self, model, backend):
        self.lock = threading.Lock()
        self._model, self._backend, self._changes = model, backend, _changes
        self._modules = list(_computing(model))
        self._parameters = [(parameter, parameter.data) for parameter in model.parameters()]
        once = len({id(parameter) for parameter, _ in self._parameters}) == len(self._parameters)
        self._sound = once and all(data.flags.carray for _, data in self._parameters)  # else there are copies and sums
        self._forward = None
        self._backward = {}  # by whether there is a gradient of the input

    def is_current(self) -> bool:
        """Whether nothing has changed since."""
        return self._changes == _changes and all(parameter.data is data for parameter, data in self._parameters)

    def is_replayable(self) -> bool:
        """Whether the layers, as they are now, do nothing else than launch kernels."""
        return self._sound and all(module.replayable for module in self._modules)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Output of the model."""
        backend = self._backend
        if self._forward is None:
            native = backend.pack(x)
            with backend.recording() as launches:
                y = self._model.forward_native(native, backend)
            self._forward = launches, native, y
            self._memories = [(module, _memory(module)) for module in self._modules]
        else:
            launches, native, y = self._forward
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

    def restore(self) -> None:
        """Let the layers remember this forward pass: they may have seen other batches since it was recorded."""
        for module, memory in self._memories:
            vars(module).update(memory)

    def _record_backward(self, dy: np.ndarray, input_grad: bool) -> "_Backward":
        self.restore()
        before = [(parameter, parameter.grad) for parameter, _ in self._parameters]
        for parameter, _ in before:
            parameter.grad = None
        try:
            native = self._backend.pack(dy)
            with self._backend.recording() as launches:
                dx = self._model.backward_native(native, self._backend, input_grad)
            grads = [(parameter, parameter.grad) for parameter, _ in before if parameter.grad is not None]
        finally:
            for parameter, grad in before:
                parameter.grad = grad
        self._backward[input_grad] = recorded = _Backward(launches, native, dx, grads)
        return recorded


def _computing(model):
    """All modules, and the fused ones that compute in the place of some."""
    for module in model.modules():
        yield module
        yield from (unit for unit in getattr(module, "units", ()) if unit not in module.layers)


def _memory(module) -> dict:
    """What a layer remembers of its last batch."""
    doors = ("_last", "_recordings")
    return {name: value for name, value in vars(module).items() if name.startswith("_") and name not in doors}


def forget(module) -> None:
    """Let a layer forget its last batch."""
    for name in _memory(module):
        del vars(module)[name]


class _Backward:
    """Launches of a backward pass, their first and last arrays, and the gradients that they leave."""

    def __init__(self, launches, dy, dx, grads):
        self.launches, self.dy, self.dx, self.grads = launches, dy, dx, grads
        self._references = self._count()

    def is_free(self) -> bool:
        """Whether nobody else, nor a parameter, has any of the gradients: a replay overwrites them."""
        return self._count() == self._references

    def _count(self) -> list[int]:
        """References to each gradient, and to the memory in which it and all its views lie."""
        return [count for _, grad in self.grads for count in (sys.getrefcount(grad), sys.getrefcount(grad.base))]
