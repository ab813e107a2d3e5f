"""What a layer remembers from forward to backward belongs to a call of it, not to the layer.

``forward_native`` leaves what the gradient needs in attributes (``self._x = x``), and ``backward_native`` reads them.
Between the two the layer may be called again: it stands at two places of a model, somebody looks at what it makes of
another batch, or two threads share the model. So each call runs on a twin of the layer: an object of the same class
with the same parameters, buffers, options and inner layers, whose new private attributes are its own. `Module` sees to
that: it puts the two functions here around every ``forward_native`` and ``backward_native`` that a class defines.

The gradient of a call is computed on its twin. A container keeps the calls of its layers (`last_call`) and goes back
through them (`Call.backward`), which does nothing where nothing is wanted: neither the input's gradient nor that of a
parameter. One that calls ``backward_native`` of a layer directly gets the call that it made in the
same pass, or an error if it made none or several. Whatever a layer returns is held against the shapes of its call
before the next kernel sees it.

Who wants to see what each layer makes of a batch asks for it with `observed`.
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
"""Private attributes that are no memory of a call: what `Module.forward` keeps, and a direct ``forward_native``."""


Form = tuple  # kind, shape and dtype: what a gradient has in common with its activation; of several inputs, those
Observer = Callable[[Any, Any, Callable[[], Any]], Any]
_NOTHING = object()


class Call:
    """One call of a layer.

    Attributes
    ----------
    twin : Module
        What ran, and what the call remembers.
    inside : list of Call
        The calls of other layers that it made.
    x, y : Form
        Of what it was given, and of its output.
    """

    __slots__ = ("_layer", "inside", "twin", "x", "y")

    x: Form
    y: Form

    def __init__(self, layer) -> None:
        self._layer = weakref.ref(layer)  # a model keeps its last call: nothing may lead back from there
        self.twin: Any = _twin(layer)
        self.inside: list[Call] = []

    def is_of(self, layer) -> bool:
        """Whether this layer was called."""
        return self._layer() is layer

    def learns(self) -> bool:
        """Whether a parameter that was used requires its gradient."""
        return self.twin.learns()

    def backward(self, dy, backend=None, input_grad: bool = True) -> Any:
        """Gradient of the input, or None, from that of the output; the parameters' gradients are added.

        Without a backend, in the ``backward`` of a layer in NumPy, gradients are plain arrays.
        """
        if backend is None:
            return by_door(lambda dy, inside: self.backward(dy, inside, input_grad), dy, input_grad)
        _running.chosen = self
        try:
            return self._layer().backward_native(dy, backend, input_grad)  # type: ignore[union-attr]  # its twin has it
        finally:
            _running.chosen = None


class _Outermost:
    """Around a call that is not made by another one."""

    twin = None

    def __init__(self) -> None:
        self.inside: list[Call] = []


class _Missing:
    """In the place of a call that there is not: another function stands in the place of the layer's."""

    def __init__(self, layer) -> None:
        self._name, self._learns = type(layer).__name__, layer.learns()

    def learns(self) -> bool:
        """Whether there is a parameter that requires its gradient."""
        return self._learns

    def backward(self, dy, backend=None, input_grad: bool = True):
        """Refuse."""
        raise RuntimeError(
            f"This {self._name} has no memory of its forward pass: its forward_native was replaced, or called more "
            "than once, by a function that is not its own."
        )


class _Running(threading.local):
    """What a thread is in the middle of."""

    call: "Call | _Outermost | None" = None
    chosen: Call | None = None  # to which the next ``backward_native`` of its layer belongs
    kept = True  # whether calls are kept for a backward pass
    observe: "Observer | None" = None
    backend: Any = None  # of the layer written in NumPy in whose pass it is


_running = _Running()


def run(layer, x, backend) -> tuple[Any, "Call | _Missing"]:
    """Output of a layer, and the call; it has nothing to do with the calls that this thread is in the middle of."""
    outer, _running.call = _running.call, _Outermost()
    try:
        with by_arrays(None):
            return layer.forward_native(x, backend), last_call(layer)
    finally:
        _running.call = outer


def last_call(layer) -> "Call | _Missing":
    """The call of a layer that has just been made, for a layer of one's own that calls it several times.

    Parameters
    ----------
    layer : Module
        Which was called last, by the ``forward`` or ``forward_native`` in which this is asked.

    Returns
    -------
    Call
        Its ``backward(dy)``, or ``backward(dy, backend, input_grad)`` of native arrays, goes back through this call.

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
    """Whether this thread is in the middle of a call, and ``layer`` is what runs in it: a twin."""
    return _running.call is not None and _running.call.twin is layer


def shapes_of_inputs() -> list[tuple[int, ...]]:
    """Of what the layer was given whose call is running, one input or several."""
    call: Any = _running.call
    forms = call.x if isinstance(call.x[0], tuple) else (call.x,)
    return [shape for _, shape, _ in forms]


@contextmanager
def by_arrays(backend) -> Iterator[None]:
    """Within this, a pass goes through the doors of layers (see `fastcnn.nn.in_numpy`), which are parts of its call."""
    before, _running.backend = _running.backend, backend
    try:
        yield
    finally:
        _running.backend = before


def by_door(backward_native: Callable, dy, input_grad: bool) -> Any:
    """What a native backward pass of a layer gives in the middle of one by arrays, as arrays; None without a gradient.

    Raises
    ------
    RuntimeError
        Outside of a pass by arrays.
    """
    inside = backend_inside()
    if inside is None:
        raise RuntimeError("A call goes back by `backward(dy)` within the backward of a layer in NumPy only.")
    dx = backward_native(inside.pack(_validate.floats("dy", dy)), inside)
    return each(lambda native: np.array(inside.unpack(native)), dx) if input_grad else None


def backend_inside() -> Any:
    """The backend of the pass by arrays that this thread is in the middle of, if it is."""
    return _running.backend


@contextmanager
def forgetting() -> Iterator[None]:
    """Within this, no call is kept: there will be no backward pass."""
    before, _running.kept = _running.kept, False
    try:
        yield
    finally:
        _running.kept = before


@contextmanager
def observed(observe: Observer) -> Iterator[None]:
    """Within this, each call of a layer in this thread goes through ``observe(layer, x, forward)``.

    It returns the output, that of ``forward()``. Layers are called one by one, neither fused nor recorded.
    """
    before, _running.observe = _running.observe, observe
    try:
        yield
    finally:
        _running.observe = before


def is_observed() -> bool:
    """Whether this thread's calls are."""
    return _running.observe is not None


def forward(function):
    """A class's ``forward_native``, run on a twin of its layer."""

    @functools.wraps(function)
    def forward_native(self, x, backend, **options):
        outer = _running.call
        if outer is not None and outer.twin is self:  # by super(): still the same call
            return function(self, x, backend, **options)
        if isinstance(x, tuple) and not self.several_inputs:
            raise ValueError(
                f"{type(self).__name__} takes one input but is given {len(x)}; branches of a Parallel take one each."
            )
        call = _running.call = Call(self)
        observe = _running.observe
        try:
            if observe is None:
                y = function(call.twin, x, backend, **options)
            else:
                y = observe(self, x, lambda: function(call.twin, x, backend, **options))
        finally:
            _running.call = outer
        kind = type(listed(x)[0])
        if type(y) is not kind:
            raise TypeError(
                f"{_name(self, 'forward_native')} returned a {type(y).__name__} but must return a native activation, "
                f"as the {kind.__name__} that it is given; `backend.pack` makes one."
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
    """A class's ``backward_native``, run on the twin of the call to which it belongs."""

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
                f"{_name(self, 'backward_native')} was given a gradient of {_said(form(dy))}, but the output to which "
                f"it belongs has {_said(call.y)}."
            )
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
                f"{_name(self, 'backward_native')} returned {what}, but the input to which it belongs has "
                f"{_said(call.x)}."
            )
        _write_back(call.twin, self)
        return dx

    backward_native.is_wrapped = True  # type: ignore[attr-defined]
    return backward_native


def is_as_defined(layer) -> bool:
    """Whether the methods of a layer are those that its class was defined with: none was replaced since."""
    kind = type(layer)
    return kind.passes == passes(kind) and not any(callable(getattr(kind, name, None)) for name in vars(layer))


def passes(kind: type) -> tuple:
    """The two methods of a class, as they are now."""
    return tuple(getattr(kind, name) for name in PASSES)


def wrap(kind: type) -> None:
    """Let the two methods of a new class run on twins, wherever it has them from."""
    for name, around in zip(PASSES, (forward, backward), strict=True):
        if not hasattr(getattr(kind, name), "is_wrapped"):
            setattr(kind, name, around(vars(kind).get(name) or _inherited(kind, name)))
    kind.passes = passes(kind)  # type: ignore[attr-defined]


def _inherited(kind: type, name: str):
    """A method that comes from a class that is no module."""

    def inherited(self, *arguments, **options):
        return getattr(super(kind, self), name)(*arguments, **options)

    inherited.is_made = True  # type: ignore[attr-defined]  # by nobody who wrote a layer
    return inherited


def form(x) -> Form:
    """That of an activation, or of each of several."""
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
    """Give a layer what a pass changed of it: public attributes, and private ones that it had before."""
    own = layer.__dict__
    for name, value in twin.__dict__.items():
        before = own.get(name, _NOTHING)
        if before is not value and (before is not _NOTHING or name[0] != "_"):
            own[name] = value


def _only(layer, outer: "Call | _Outermost | None") -> Call:
    """The one call to which a direct ``backward_native`` can belong."""
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
        f"{_name(layer, 'backward_native')} cannot know to which call it belongs: {who} called the layer {len(made)} "
        "times. Take each with `nn.last_call(layer)` right after it, and go back by `call.backward`; or let each place "
        "have a layer of its own."
    )


def _name(layer, method: str) -> str:
    return f"{type(layer).__name__}.{method}"
