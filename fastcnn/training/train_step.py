"""A whole training step: forward pass, loss, backward pass and the optimizer's step.

The first step on batches of a given shape makes these calls one by one, and the backend records them as a program.
Later steps run the program in one launch; only the optimizer's settings, such as the learning rate, are computed in
Python in between. The results are bit-identical to those of the separate calls.
"""

import math
import threading
from collections.abc import Iterable
from typing import Any

import numpy as np

from fastcnn import backends
from fastcnn._inputs import Batch, checked_batch, each, joined, listed
from fastcnn.functional.losses import Terms
from fastcnn.nn import Module, Parameter, calls, recording
from fastcnn.nn.parameter import collected, note_grads
from fastcnn.nn.undoing import all_or_nothing
from fastcnn.optim import Optimizer
from fastcnn.optim.optimizer import identical
from fastcnn.optim.postponing import postponed
from fastcnn.training.checks import check_parts

_Learned = tuple[np.ndarray, float, float]
_KEPT = 4  # programs kept: for full batches, for a smaller last batch, and two more


class TrainStep:
    """A training step in one call: ``loss = step(x, target)``.

    It does the same as ``value = loss(model(x), target)``, ``optimizer.zero_grad()``, ``model.backward(loss.backward(),
    input_grad=False)`` and ``optimizer.step()``, with the same result and the same gradients. In the "numba" backend
    the whole step is one program if the model's layers, the loss and the optimizer are fastcnn's.

    Parameters
    ----------
    model : Module
    optimizer : Optimizer
        Optimizer of the parameters of `model`.
    loss : callable
        A loss such as `fastcnn.nn.CrossEntropyLoss`; its reduction must be a mean or a sum.

    Attributes
    ----------
    output : ndarray of shape (N, ...), or None
        Output of the model for the last batch, from before the optimizer's step.

    Raises
    ------
    TypeError
        If `model` is no `Module`, `optimizer` is no `Optimizer`, or `loss` is a class or cannot be called.
    ValueError
        If the loss has ``reduction="none"``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn, optim, training
    >>> model = nn.Linear(2, 2, rng=np.random.default_rng(0), dtype=np.float64)
    >>> step = training.TrainStep(model, optim.SGD(model.parameters(), lr=1.0), nn.CrossEntropyLoss())
    >>> x, labels = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1])
    >>> first = step(x, labels)
    >>> step(x, labels) < first
    True
    """

    def __init__(self, model: Module, optimizer: Optimizer, loss):
        check_parts(model, optimizer, loss)
        if getattr(loss, "reduction", None) == "none":
            raise ValueError('`loss` has `reduction=\'none\'` but must be one number: use "mean" or "sum".')
        self.model, self.optimizer, self.loss = model, optimizer, loss
        self.output: np.ndarray | None = None
        self._lock = threading.Lock()
        self._state: Any = None  # a recording.State
        self._why: str | None = None  # why the model cannot be recorded
        self._made: dict[tuple, _Recorded] = {}
        self._memory = np.empty(0, np.uint8)

    def __call__(self, x: Batch, target: np.ndarray) -> float:
        """Train on a batch; return its loss from before the optimizer's step.

        Parameters
        ----------
        x, target : ndarray
            In the form that the model and the loss take; `x` is a tuple if the model has several inputs.

        Raises
        ------
        FloatingPointError
            If the loss is not finite. Parameters, gradients and optimizer are unchanged then, but the running
            statistics of batch normalization include the batch.
        MemoryError
            If memory runs out. Nothing has changed, so the same call may be repeated.
        TypeError, ValueError
            If the model, the loss or the optimizer raises it. Nothing has changed.
        """
        self.output, value, _ = self.learn(x, target)
        if not math.isfinite(value):
            raise FloatingPointError(f"The loss is {value}; the learning rate was {self.optimizer.lr:g}.")
        return value

    def learn(self, x: Batch, target: np.ndarray) -> _Learned:
        """Train on a batch if its loss is finite.

        Return the model's output, the loss, and the denominator of its mean (1 for a sum).
        """
        backend = backends.load()
        with self._lock:
            if not recording.can_record(backend) or self._why_unrecorded():
                return self._one_by_one(x, target)
            x, self.model._last, self.loss._last = checked_batch(x), None, None
            with self.model._memory(backend), all_or_nothing():
                return self._as_program(backend, x, target)

    @property
    def programs(self) -> list:
        """Programs for the shapes of batches so far, the last used one last; ``print(program)`` shows its steps."""
        return [made.program for made in self._made.values()]

    @property
    def unrecorded(self) -> str | None:
        """Why the steps cannot be recorded as a program in a backend that has programs; None if they can."""
        with self._lock:
            return self._why_unrecorded()

    def __reduce__(self):
        return TrainStep, (self.model, self.optimizer, self.loss)

    def _why_unrecorded(self) -> str | None:
        if self._state is None or not self._state.is_current(self.model):
            self._state, self._made = recording.State(self.model), {}
            self._why = self._why_no_model()
        if self._why:
            return self._why
        for role, thing in (("loss", self.loss), ("optimizer", self.optimizer)):
            if not recording.is_fastcnns(type(thing)):
                return f"the {role} is of a user-defined class, {type(thing).__name__}"
            if any(map(callable, vars(thing).values())):
                return f"a method of the {role} was replaced"
        return None

    def _why_no_model(self) -> str | None:
        for name, reason in recording.unrecorded(self.model).items():
            return f"{f'layer {name}' if name else 'the model'}: {reason}"
        places = [held for _, held in self.model.named_state() if isinstance(held, Parameter)]
        return "layers share a parameter" if len(set(places)) < len(places) else None

    def _one_by_one(self, x, target) -> _Learned:
        with all_or_nothing():
            y = self.model(x)
            value = float(self.loss(y, target))
            mean_over = getattr(self.loss, "mean_over", len(y))
            if math.isfinite(value):
                note_grads({*self.optimizer.params, *self.model.parameters()})
                self.optimizer.zero_grad()
                self.model.backward(self.loss.backward(), input_grad=False)
                self.optimizer.step()
        return y, value, mean_over

    def _as_program(self, backend, x, target) -> _Learned:
        form = backend, calls.form(x), self._state.modes(self.model)
        like = next((made.output for (known, _), made in self._made.items() if known == form), None)
        if like is not None:
            terms = self.loss._terms(like, target)
            key = form, _form(terms)
            made = self._made.pop(key, None)
            if made and made.renew(self.optimizer, backend):
                self._made[key] = made
                return self._run(made, x, terms)
        return self._record(backend, form, x, target)

    def _run(self, made: "_Recorded", x, terms: Terms) -> _Learned:
        y, loss, *grads = made.program(*listed(x), *_arrays(terms))
        value = float(loss)
        if math.isfinite(value):
            self._keep(zip(made.parameters, grads, strict=True))
            self.optimizer._count(made.places)
        return y, value, terms.mean_over

    def _record(self, backend, form: tuple, x, target) -> _Learned:
        one, *others = listed(x)
        inputs, found = [one, *map(np.copy, others)], []

        def first(*given: np.ndarray) -> list:
            native, call = calls.run(self.model, each(backend.pack, joined(given)), backend)
            y = backend.unpack(native)
            terms = self.loss._terms(y, target)
            for array in _arrays(terms):
                shared = any(np.may_share_memory(array, one) for one in inputs)
                inputs.append(array.copy() if shared else array)  # in later steps they are separate arrays
            *arrays, weights = inputs[len(given) :]
            terms = terms._replace(x=y, given=tuple(arrays), weights=weights)
            loss = terms.total(backend)
            if not math.isfinite(float(loss)):
                raise _NotFinite(y, float(loss), terms.mean_over)
            backend.stop_unless_finite(loss)
            dy = terms.gradient(backend)
            with collected() as gradients:
                call.backward(backend.pack(dy), backend, False)
            note_grads({*self.optimizer.params, *self.model.parameters()})
            self._keep(gradients)
            parameters, ready = [parameter for parameter, _ in gradients], self.optimizer._ready()
            made = _Recorded(y, parameters, len(self.optimizer.params), *ready)
            make_changes = postponed(
                backend,
                lambda: made.update(self.optimizer, backend),
                lambda: [*ready[1], *self.optimizer._arrays()],
            )
            found.append(((form, _form(terms)), made, terms.mean_over, make_changes))
            return [y, loss, *[grad for _, grad in gradients]]

        known = [*self._state.arrays, *self.optimizer._arrays()]
        try:
            with backend.Pool():  # frees the memory of the first step; later ones use `_room`
                program, (y, loss, *_) = backend.record(first, inputs, known)
        except _NotFinite as stopped:
            y, value, mean_over = stopped.args
            return y, value, mean_over
        program.share(self._room)
        key, made, mean_over, make_changes = found[0]
        made.program, self._made[key] = program, made
        while len(self._made) > _KEPT:
            del self._made[next(iter(self._made))]
        result = y, float(loss), mean_over
        make_changes()  # last, as it makes all changes or none
        self.optimizer._count(made.places)
        return result

    def _room(self, size: int) -> np.ndarray:
        """Memory shared by all programs, as only one runs at a time; replaced by a larger block if it is too small."""
        if size > self._memory.size:
            self._memory = np.empty(size, np.uint8)
        return self._memory

    def _keep(self, gradients: Iterable[tuple[Parameter, np.ndarray]]) -> None:
        """Replace the gradients of the optimizer's parameters by these."""
        self.optimizer.zero_grad()
        for parameter, grad in gradients:
            parameter.accumulate(grad)


class _Recorded:
    """A program, and what it depends on besides the model."""

    program: Any

    def __init__(self, output: np.ndarray, parameters: list[Parameter], count, places, arrays, grads):
        self.output, self.parameters = output, parameters
        self._count = count  # number of the optimizer's parameters
        self.places, self._arrays, self._grads = places, arrays, grads  # of the parameters that have a gradient
        self._settings: list = []  # the optimizer's, at the last `renew`

    def renew(self, optimizer: Optimizer, backend) -> bool:
        """Update the program to the optimizer's current settings; False if these need a different program."""
        if len(optimizer.params) != self._count:
            return False
        settings = optimizer._settings()
        if identical(settings, self._settings) and type(optimizer)._count is Optimizer._count:
            return True
        self._settings = settings
        return self.program.renew(lambda: self.update(optimizer, backend))

    def update(self, optimizer: Optimizer, backend) -> None:
        """Apply the optimizer's step to the gradients of the program."""
        optimizer._update(backend, self.places, self._arrays, self._grads)


class _NotFinite(Exception):
    """The loss of the first step is not finite; holds the model's output, the loss and the mean's denominator."""


def _arrays(terms: Terms) -> list[np.ndarray]:
    """Arrays of a loss that are inputs of the program."""
    return [*terms.given, terms.weights]


def _form(terms: Terms) -> tuple:
    """Properties of a loss that a program depends on."""
    return terms.operation, terms.options, *((array.shape, array.dtype) for array in _arrays(terms))
