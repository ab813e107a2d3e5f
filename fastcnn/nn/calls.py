"""Values that a layer saves for its backward pass are stored for each call, not on the layer.

``forward_native`` stores what the gradient needs in attributes (``self._x = x``), and ``backward_native`` reads them.
Between the two the layer may be called again: a model may use it in two places, it may compute another batch, or two
threads may share the model. So each call runs on a twin of the layer: an object of the same class with the same
parameters, buffers, options and inner layers, but with new private attributes of its own. `Module` arranges this by
wrapping every ``forward_native`` and ``backward_native`` that a class defines with `forward` and `backward` below.

The gradient of a call is computed on its twin. A container stores the calls of its layers (`last_call`) and goes back
through them (`Call.backward`). That does nothing if neither the gradient of the input nor that of a parameter is
needed. A container may also call ``backward_native`` of a layer directly, if it called the layer exactly once in the
same pass; otherwise that is an error. The shape of each returned array is compared with that of the call before the
next kernel reads the array.

`observed` gives functions access to the input, the output and the output gradient of every layer.
"""

import functools
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastcnn import _validate
from fastcnn._inputs import each, listed

PASSES = ("forward_native", "backward_native")
KEPT_BY_DOORS = ("_last", "_recordings", "_pool", "_direct")
"""Private attributes that belong to no call; `Module.forward` and a direct ``forward_native`` set them."""


Form = tuple  # (class, shape, dtype), which a gradient shares with its activation; for several inputs, a tuple of these
Observer = Callable[[Any, Any, Callable[[], Any]], Any]
GradientObserver = Callable[["Call", Any], None]
_NOTHING = object()


class Call:
    """One call of a layer.

    Attributes
    ----------
    twin : Module
        The object on which the call ran. Its attributes hold what the call saved.
    inside : list of Call
        The calls of other layers within this one.
    x, y : Form
        The forms of its input and of its output.
    """

    __slots__ = ("_layer", "inside", "twin", "x", "y")

    x: Form
    y: Form

    def __init__(self, layer) -> None:
        self._layer = weakref.ref(layer)  # weak, because a model stores its last call
        self.twin: Any = _twin(layer)
        self.inside: list[Call] = []

    def is_of(self, layer) -> bool:
        """Whether this is a call of ``layer``."""
        return self._layer() is layer

    def learns(self) -> bool:
        """Whether a parameter of the twin requires its gradient."""
        return self.twin.learns()

    def backward(self, dy, backend=None, input_grad: bool = True) -> Any:
        """Add the gradients of the parameters; return that of the input, or None without ``input_grad``.

        Without a backend, as in the ``backward`` of a layer written in NumPy, gradients are plain arrays.
        """
        if backend is None:
            return by_door(lambda dy, inside: self.backward(dy, inside, input_grad), dy, input_grad)
        _running.chosen = self
        try:
            return self._layer().backward_native(dy, backend, input_grad)  # type: ignore[union-attr]  # caller holds it
        finally:
            _running.chosen = None


class _Outermost:
    """The parent of calls that no other call makes."""

    twin = None

    def __init__(self) -> None:
        self.inside: list[Call] = []


class _Missing:
    """Placeholder for a call that was not recorded, as when a function replaced the layer's ``forward_native``."""

    def __init__(self, layer) -> None:
        self._name, self._learns = type(layer).__name__, layer.learns()

    def learns(self) -> bool:
        """Whether a parameter of the layer requires its gradient."""
        return self._learns

    def backward(self, dy, backend=None, input_grad: bool = True):
        """Raise an error."""
        raise RuntimeError(
            f"This {self._name} has no recorded forward pass: its forward_native was replaced by another function, or "
            "another layer was called before `nn.last_call`."
        )


class _Running(threading.local):
    """The passes that a thread is running."""

    call: "Call | _Outermost | None" = None
    chosen: Call | None = None  # the call that the next ``backward_native`` goes back through
    kept = True  # whether calls are stored for a backward pass
    observe: "Observer | None" = None
    observe_gradient: "GradientObserver | None" = None
    backend: Any = None  # set during a pass of a layer written in NumPy


_running = _Running()


def run(layer, x, backend) -> tuple[Any, "Call | _Missing"]:
    """Call a layer, independently of the calls that this thread is running; return its output and the call."""
    outer, _running.call = _running.call, _Outermost()
    try:
        with by_arrays(None):
            return layer.forward_native(x, backend), last_call(layer)
    except (TypeError, ValueError) as error:
        if outer is None:
            _note_place(error, layer, x)
        raise
    finally:
        _running.call = outer


def _note_place(error: Exception, model, x) -> None:
    """Add to an error which layer of the model raised it, and the shape of the model's input."""
    layer = vars(error).pop("_layer", model)
    modules = set(layer.modules())  # a fused unit is no layer of the model, but those inside it are
    names = [name for name, module in model.named_modules() if module in modules]
    if layer is model or not names:
        return
    if layer in set(model.modules()):
        names = names[:1]
    place = f"layer {names[0]}" if len(names) == 1 else f"layers {' and '.join(names)}"
    shape = each(lambda one: one.shape, x)
    wanted, given = getattr(model, "input_shape", None), shape[1:]
    if isinstance(wanted, tuple) and wanted != given and not isinstance(x, tuple):
        kind = "images" if len(wanted) == 3 else "signals"
        what = f", which was made for {kind} of shape {wanted}, but these have {given}{_padding(wanted, given)}"
    else:
        what = f"; its input has shape {shape}"
    error.add_note(f"Raised in {place} of the model{what}.")


def _padding(wanted: tuple, given: tuple) -> str:
    """Say how to pad images, if that gives them the shape that a model was made for."""
    if len(given) != 3 or len(wanted) != 3 or given[0] != wanted[0]:
        return ""
    missing = {whole - part for whole, part in zip(wanted[1:], given[1:], strict=True)}
    pixels = missing.pop()
    return f"; data.pad_images(images, {pixels // 2}) pads them" if not missing and pixels > 0 == pixels % 2 else ""


def last_call(layer) -> "Call | _Missing":
    """Return the latest call of a layer. A custom layer needs it to go back through a layer that it calls repeatedly.

    Parameters
    ----------
    layer : Module
        The layer that was called last. Use this function in the same ``forward`` or ``forward_native``, right after
        the call.

    Returns
    -------
    Call
        Its ``backward(dy)``, or ``backward(dy, backend, input_grad)`` for native arrays, goes back through this call.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> class Twice(nn.Module):
    ...     def __init__(self, layer):
    ...         self.layer = layer
    ...
    ...     def forward(self, x):
    ...         x = self.layer(x)
    ...         self._first = nn.last_call(self.layer)
    ...         x = self.layer(x)
    ...         self._second = nn.last_call(self.layer)
    ...         return x
    ...
    ...     def backward(self, dy):
    ...         return self._first.backward(self._second.backward(dy))
    >>> model = Twice(nn.LeakyReLU(0.5))
    >>> model(np.array([[-4.0, 1.0]])), model.backward(np.array([[1.0, 1.0]]))
    (array([[-1.,  1.]]), array([[0.25, 1.  ]]))
    """
    inside = _running.call.inside if _running.call else []
    return inside[-1] if inside and inside[-1].is_of(layer) else _Missing(layer)


def is_running(layer) -> bool:
    """Whether ``layer`` is the twin of the call that this thread is running."""
    return _running.call is not None and _running.call.twin is layer


def shapes_of_inputs() -> list[tuple[int, ...]]:
    """Return the shapes of the inputs of the running call."""
    call: Any = _running.call
    forms = call.x if isinstance(call.x[0], tuple) else (call.x,)
    return [shape for _, shape, _ in forms]


@contextmanager
def by_arrays(backend) -> Iterator[None]:
    """Within this block, ``forward`` and ``backward`` of layers join the running call (see `fastcnn.nn.in_numpy`)."""
    before, _running.backend = _running.backend, backend
    try:
        yield
    finally:
        _running.backend = before


def by_door(backward_native: Callable, dy, input_grad: bool) -> Any:
    """Run a native backward pass within one on arrays; return the gradient of the input as arrays, or None.

    Raises
    ------
    RuntimeError
        If no pass on arrays is running.
    """
    inside = backend_inside()
    if inside is None:
        raise RuntimeError("`Call.backward` needs `backend`, except within the backward of a layer written in NumPy.")
    dx = backward_native(inside.pack(_validate.floats("dy", dy)), inside)
    return each(lambda native: np.array(inside.unpack(native)), dx) if input_grad else None


def backend_inside() -> Any:
    """Return the backend of the pass on arrays that this thread is running, or None."""
    return _running.backend


@contextmanager
def forgetting() -> Iterator[None]:
    """Within this block, no calls are stored, as no backward pass will follow."""
    before, _running.kept = _running.kept, False
    try:
        yield
    finally:
        _running.kept = before


@contextmanager
def observed(observe: Observer, observe_gradient: GradientObserver | None = None) -> Iterator[None]:
    """Within this block, ``observe(layer, x, forward)`` replaces each call of a layer in this thread.

    It must return the output of ``forward()``. Layers are called one by one, neither fused nor recorded. Each backward
    pass begins with ``observe_gradient(call, dy)``; `current` returns the same call to `observe`.
    """
    before = _running.observe, _running.observe_gradient
    _running.observe, _running.observe_gradient = observe, observe_gradient
    try:
        yield
    finally:
        _running.observe, _running.observe_gradient = before


def current() -> "Call | _Outermost | None":
    """The call that this thread is in the middle of."""
    return _running.call


def is_observed() -> bool:
    """Whether calls in this thread are observed."""
    return _running.observe is not None


def forward(function):
    """Wrap the ``forward_native`` of a class so that each call runs on a twin of the layer."""

    @functools.wraps(function)
    def forward_native(self, x, backend, **options):
        outer = _running.call
        if outer is not None and outer.twin is self:  # called by super(): still the same call
            return function(self, x, backend, **options)
        if isinstance(x, tuple) and not self.several_inputs:
            raise ValueError(
                f"{type(self).__name__} takes one input but was given {len(x)}; a Parallel gives each branch one."
            )
        call = _running.call = Call(self)
        observe = _running.observe
        try:
            if observe is None:
                y = function(call.twin, x, backend, **options)
            else:
                y = observe(self, x, lambda: function(call.twin, x, backend, **options))
        except (TypeError, ValueError) as error:
            vars(error).setdefault("_layer", self)  # the innermost one, for `_note_place`
            raise
        finally:
            _running.call = outer
        kind = type(listed(x)[0])
        if type(y) is not kind:
            raise TypeError(
                f"{_name(self, 'forward_native')} returned a {type(y).__name__} but must return a native activation, "
                f"a {kind.__name__} like its input; `backend.pack` makes one of an array."
            )
        call.x, call.y = form(x), form(y)
        _write_back(call.twin, self)
        if _running.kept:
            if outer is None:
                vars(self)["_direct"] = call
            else:
                outer.inside.append(call)
        return y

    forward_native.is_wrapped = True  # type: ignore[attr-defined]
    return forward_native


def backward(function):
    """Wrap the ``backward_native`` of a class so that it runs on the twin of its call."""

    @functools.wraps(function)
    def backward_native(self, dy, backend, input_grad):
        outer = _running.call
        if outer is not None and outer.twin is self:
            return function(self, dy, backend, input_grad)
        call = _running.chosen
        if call is not None and call.is_of(self):
            _running.chosen = None
        else:
            call = _only(self, outer)
        if form(dy) != call.y:
            raise ValueError(
                f"{_name(self, 'backward_native')} was given a gradient of {_said(form(dy))}, but the output of its "
                f"call has {_said(call.y)}."
            )
        if _running.observe_gradient is not None:
            _running.observe_gradient(call, dy)
        if not input_grad and not call.learns():
            return None
        _running.call = call
        try:
            dx = function(call.twin, dy, backend, input_grad)
        finally:
            _running.call = outer
        if input_grad and (dx is None or form(dx) != call.x):
            what = "None" if dx is None else f"a gradient of {_said(form(dx))}"
            raise ValueError(
                f"{_name(self, 'backward_native')} returned {what}, but the input of its call has {_said(call.x)}."
            )
        _write_back(call.twin, self)
        return dx

    backward_native.is_wrapped = True  # type: ignore[attr-defined]
    return backward_native


def is_as_defined(layer) -> bool:
    """Whether a layer still has the methods of its class's definition; someone may have replaced them."""
    kind = type(layer)
    return kind.passes == passes(kind) and not any(callable(getattr(kind, name, None)) for name in vars(layer))


def passes(kind: type) -> tuple:
    """Return ``forward_native`` and ``backward_native`` of a class as they are now."""
    return tuple(getattr(kind, name) for name in PASSES)


def wrap(kind: type) -> None:
    """Make both methods of a new class run on twins, even if a class that is not a Module defines them."""
    for name, around in zip(PASSES, (forward, backward), strict=True):
        if not hasattr(getattr(kind, name), "is_wrapped"):
            setattr(kind, name, around(vars(kind).get(name) or _inherited(kind, name)))
    kind.passes = passes(kind)  # type: ignore[attr-defined]


def _inherited(kind: type, name: str):
    """Return a method that calls the one of a base class that is not a Module."""

    def inherited(self, *arguments, **options):
        return getattr(super(kind, self), name)(*arguments, **options)

    inherited.is_made = True  # type: ignore[attr-defined]  # generated here, not written by a user
    return inherited


def form(x) -> Form:
    """Return the form of an activation, or a tuple of the forms of several."""
    return each(lambda one: (type(one), one.shape, one.dtype), x)


def _said(form: Form) -> str:
    if isinstance(form[0], tuple):
        return f"a tuple of {' and '.join(map(_said, form))}"
    kind, shape, dtype = form
    return f"shape {shape} and dtype {dtype} ({kind.__name__})"


def _twin(layer):
    twin = object.__new__(type(layer))
    attributes = twin.__dict__
    attributes.update(layer.__dict__)
    for name in KEPT_BY_DOORS:
        if name in attributes:
            del attributes[name]
    return twin


def _write_back(twin, layer) -> None:
    """Copy the changes of a pass to its layer: public attributes, and private ones that the layer had before."""
    own = layer.__dict__
    for name, value in twin.__dict__.items():
        before = own.get(name, _NOTHING)
        if before is not value and (before is not _NOTHING or name[0] != "_"):
            own[name] = value


def _only(layer, outer: "Call | _Outermost | None") -> Call:
    """Return the only call that a direct ``backward_native`` can go back through."""
    if outer is None:
        direct = vars(layer).get("_direct")
        made = [direct] if direct else []
    else:
        made = [call for call in outer.inside if call.is_of(layer)]
    if len(made) == 1:
        return made[0]
    who = f"this forward pass of {type(outer.twin).__name__}" if outer is not None and outer.twin else "a forward pass"
    if not made:
        raise RuntimeError(f"{_name(layer, 'backward_native')} needs a forward_native before it, in {who}.")
    raise RuntimeError(
        f"{_name(layer, 'backward_native')} is ambiguous: {who} called the layer {len(made)} times. Store each call "
        "with `nn.last_call(layer)` right after it and go back by `call.backward`, or use a separate layer for each "
        "call."
    )


def _name(layer, method: str) -> str:
    return f"{type(layer).__name__}.{method}"
