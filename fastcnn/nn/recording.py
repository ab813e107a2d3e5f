"""Recordings: the first passes of a model over batches of a form become programs, which later passes run.

A form is a shape and a dtype. The first forward and the first backward pass for a form go from layer to layer while the
backend records what they do. Later passes run the recorded program (see ``record`` in the backend), with bit-identical
results. This works for fastcnn's own layers, whose passes only call the backend. A recording holds as long as nothing
has changed: no attribute or method of a layer, and no array or ``requires_grad`` of a parameter.

Layers that cannot be recorded, such as user-defined ones, are called. A `Sequential` then records the stretches of
layers between them. `unrecorded` lists these layers.
"""

import functools
import itertools
import operator
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastcnn._convolution import get_convolution
from fastcnn._inputs import each, joined, listed
from fastcnn.nn import calls
from fastcnn.nn.parameter import Buffer, Parameter, accumulate, collected
from fastcnn.nn.undoing import all_or_nothing, note_arrays

_KEPT = 8  # recordings: enough for full and last batches in training and in testing
_HARMLESS = {
    "__init__", "__module__", "__doc__", "__dict__", "__weakref__", "__qualname__",
    "__annotations__", "__annotate__", "__annotate_func__", "__firstlineno__", "__static_attributes__",
}  # fmt: skip


def unrecorded(model) -> dict[str, str]:
    """Return the layers of a model that are called one by one, and why.

    Parameters
    ----------
    model : Module

    Returns
    -------
    dict of str to str
        Names of layers and reasons; "" is the model itself. Empty if each pass is a single program.

    Examples
    --------
    >>> from fastcnn import nn
    >>> class Absolute(nn.Module):
    ...     def forward_native(self, x, backend):
    ...         return backend.leaky_relu(x, -1.0)
    >>> nn.unrecorded(nn.Sequential(nn.Linear(3, 2), Absolute()))
    {'1': 'Absolute is a user-defined class'}
    """
    reasons = {name: why_not(module) for name, module in model.named_modules(remove_duplicate=False)}
    return {name: reason for name, reason in reasons.items() if reason}


def why_not(module) -> str | None:
    """Return why the passes of a module, apart from the modules inside, cannot be recorded, or None if they can."""
    kind: Any = type(module)
    if not _is_known(kind):
        return f"{kind.__name__} is a user-defined class"
    if not calls.is_as_defined(module):
        return "its methods were replaced"
    if not all(isinstance(held.data, np.ndarray) and held.data.flags.carray for held in _held(module)):
        return "one of its arrays is read-only or strided"
    return module.why_unrecorded()


def _held(module) -> list[Parameter | Buffer]:
    """Return the parameters and buffers of a module itself."""
    return [value for value in vars(module).values() if isinstance(value, (Parameter, Buffer))]


def is_fastcnns(cls: Any) -> bool:
    """Whether a class is defined in fastcnn."""
    return cls.__module__.partition(".")[0] == "fastcnn" and vars(sys.modules[cls.__module__]).get(cls.__name__) is cls


@functools.cache
def _is_known(kind: Any) -> bool:
    """Whether a class is fastcnn's, or a subclass that adds only ``__init__`` and plain values."""
    own = itertools.takewhile(lambda cls: not is_fastcnns(cls), kind.__mro__)
    added = [value for cls in own for name, value in vars(cls).items() if name not in _HARMLESS]
    return not any(callable(value) or hasattr(value, "__get__") for value in added)


def is_recordable(model) -> bool:
    """Whether the passes of a model can be recorded as a whole."""
    return not any(map(why_not, model.modules()))


class _Thread(threading.local):
    layer_by_layer = False


_thread = _Thread()


@contextmanager
def layer_by_layer() -> Iterator[None]:
    """Within this block, this thread records nothing and runs no program: it calls each layer."""
    before, _thread.layer_by_layer = _thread.layer_by_layer, True
    try:
        yield
    finally:
        _thread.layer_by_layer = before


def can_record(backend) -> bool:
    """Whether the backend can record, and this thread may and is not recording already."""
    layer_by_layer = _thread.layer_by_layer or calls.is_observed()
    return hasattr(backend, "record") and not layer_by_layer and not backend.is_recording()


def made_anew(backend, shape: tuple[int, ...], dtype, make):
    """Return ``make()`` in the backend's layout; a recorded program calls it again in each pass."""
    if not hasattr(backend, "perform"):
        return backend.pack(make())
    native = backend.empty(shape, dtype)
    backend.perform(lambda: backend.repack(make(), native))
    return native


class State:
    """The state of a model on which its recordings depend. It holds no reference to the model itself."""

    def __init__(self, model):
        modules = list(model.modules())
        self._inside = [module for module in modules if module is not model]
        self._held = [held for module in modules for held in _held(module)]
        self.arrays = [held.data for held in self._held]
        self.buffers = [held.data for held in self._held if isinstance(held, Buffer)]
        self._parameters = [held for held in self._held if isinstance(held, Parameter)]
        self._flags = [parameter.requires_grad for parameter in self._parameters]
        self._classes = [(kind, *calls.passes(kind)) for kind in {type(module) for module in modules}]
        self._versions = self._now(model)

    def is_current(self, model) -> bool:
        """Whether nothing has changed since this state was taken."""
        return (
            self._now(model) == self._versions
            and all(map(operator.is_, [held.data for held in self._held], self.arrays))
            and [parameter.requires_grad for parameter in self._parameters] == self._flags
            and all(kind.forward_native is f and kind.backward_native is b for kind, f, b in self._classes)
        )

    def modes(self, model) -> tuple:
        """Return how convolutions are computed, and which modules are in training mode."""
        return (get_convolution(), model.training, *[module.training for module in self._inside])

    def _now(self, model) -> list[int]:
        return [model._version, *[module._version for module in self._inside]]


class Recordings:
    """A model's recordings, by the form of the batch and the modes of the layers.

    Parameters
    ----------
    native : bool
        Whether batches are in the backend's layout.
    """

    def __init__(self, *, native: bool):
        self._native, self._lock = native, threading.Lock()
        self._state: State | None = None
        self._made: dict[tuple, _Recording] | None = None  # None if the model cannot be recorded

    def take(self, model, backend, x) -> "Use | None":
        """Return a use of a recording for batches like ``x``, or None if the model cannot be recorded."""
        with self._lock:
            state = self._state
            if state is None or not state.is_current(model):
                state = self._state = State(model)
                self._made = {} if is_recordable(model) else None
            if self._made is None:
                return None
            modes = state.modes(model)
            key = backend, calls.form(x), modes
            found = self._made.pop(key, None)
            if found is None or not found.is_free():
                found = _Recording(backend, state, native=self._native, training=any(modes[1:]))
            self._made[key] = found  # at the end: the least recently used one is dropped first
            while len(self._made) > _KEPT:
                del self._made[next(iter(self._made))]
            return Use(found)


class Use:
    """A forward pass of a recording and the backward passes after it. While it exists, the recording is in use."""

    __slots__ = ("__weakref__", "_input_grad", "_recording")

    def __init__(self, recording: "_Recording"):
        self._recording, recording.use = recording, weakref.ref(self)
        self._input_grad: bool | None = None  # of the last backward pass

    @property
    def call(self):
        """The recorded call of the model, with the arrays that the forward pass saved."""
        return self._recording.call

    def is_current(self, model) -> bool:
        """Whether the model has not changed since the forward pass was recorded."""
        return self._recording.state.is_current(model)

    def forward(self, model, x):
        """Return the output of the model."""
        return self._recording.forward(model, x)

    def backward(self, dy, input_grad: bool):
        """Add the gradients of the parameters; return that of the input, or None without ``input_grad``."""
        self._input_grad = input_grad
        return self._recording.backward(dy, input_grad)

    def programs(self) -> tuple[Any, Any]:
        """Return the programs of the forward pass and of the last backward pass, or None for one that did not run."""
        return self._recording.programs(self._input_grad)


def programs(made) -> dict[str, list]:
    """Return the programs of a forward pass and of the backward pass after it, in the order in which they run.

    Parameters
    ----------
    made : Use or Call
        The forward pass of the model.
    """
    pairs = [use.programs() for use in _uses(made)]
    forward, backward = [pair[0] for pair in pairs], [pair[1] for pair in reversed(pairs)]
    return {"forward": forward, "backward": [program for program in backward if program is not None]}


def _uses(made) -> Iterator[Use]:
    """Yield the use of a model, or the uses of its parts."""
    if isinstance(made, Use):
        yield made
    elif isinstance(made, calls.Call):
        yield from _uses(vars(made.twin).get("_use"))
        for call in made.inside:
            yield from _uses(call)


class _Recording:
    """The passes of a model over batches of one form."""

    def __init__(self, backend, state: State, *, native: bool, training: bool):
        self.state, self._backend = state, backend
        self._changes = state.buffers if training else []  # arrays that the forward program may change
        self._enter, self._leave = (backend.copy, backend.copy) if native else (backend.pack, backend.unpack)
        self._copy = backend.copy if native else np.copy
        self._forward: Any = None  # the program
        self._backward: dict[bool, tuple] = {}  # program and parameters, by ``input_grad``
        self.use: Any = None  # weak reference to the last `Use`
        self.call: Any = None

    def is_free(self) -> bool:
        return self.use is None or self.use() is None

    def forward(self, model, x):
        if self._forward is None:
            first, *others = listed(x)
            inputs = first, *map(self._copy, others)  # copies: inputs may be the same array here, but not in a program
            with all_or_nothing():
                self._forward, (y,) = self._record(functools.partial(self._first, model), inputs, [])
        else:
            note_arrays(self._changes)
            with all_or_nothing():
                (y,) = self._forward(*listed(x))
        return y

    def backward(self, dy, input_grad: bool):
        if input_grad in self._backward:
            program, parameters = self._backward[input_grad]
            results = program(dy)
        else:
            parameters = []
            back = functools.partial(self._back, parameters, input_grad)
            program, results = self._record(back, (dy,), self._forward.allocated)
            self._backward[input_grad] = program, parameters
        inputs = len(results) - len(parameters)
        accumulate(zip(parameters, results[inputs:], strict=True))
        return joined(tuple(results[:inputs]))

    def programs(self, input_grad: bool | None) -> tuple[Any, Any]:
        return self._forward, None if input_grad is None else self._backward[input_grad][0]

    def _first(self, model, *inputs) -> list:
        native, self.call = calls.run(model, each(self._enter, joined(inputs)), self._backend)
        return [self._leave(native)]

    def _back(self, parameters: list, input_grad: bool, dy) -> list:
        with collected() as gradients:
            dx = self.call.backward(self._enter(dy), self._backend, input_grad)
        parameters += [parameter for parameter, _ in gradients]
        return [*listed(each(self._leave, dx) if input_grad else None), *[grad for _, grad in gradients]]

    def _record(self, function, inputs: tuple, known: list[np.ndarray]) -> tuple[Any, list]:
        return self._backend.record(function, inputs, [*self.state.arrays, *known])
