"""The checks of a layer in one backend."""

import copy
import pickle
from collections.abc import Callable

import numpy as np

from fastcnn._threads import get_num_threads, set_num_threads
from fastcnn.backends import load, use_backend
from fastcnn.nn import Module, last_call
from fastcnn.testing.gradients import gradcheck
from fastcnn.testing.tolerances import tolerance
from fastcnn.testing.trial import Trial, same_bits

THREADS = (1, 2, 5)


def _check_forms(trial: Trial) -> None:
    y, N, dtype = trial.y, len(trial.x), trial.x.dtype
    trial.require(y.dtype == dtype, f"the output is {y.dtype}, but the input is {dtype}.")
    trial.require(len(y) == N, f"the output has shape {y.shape}, but the batch has {N} rows.")
    layer = trial.copy()
    dx, grads = trial.one_pass(layer)[1:3]
    trial.require(
        dx is not None and dx.shape == trial.x.shape and dx.dtype == dtype,
        f"the gradient of the input is {_form(dx)}, but the input is {_form(trial.x)}.",
    )
    for name, parameter in layer.named_parameters():
        grad = grads[name]
        trial.require(
            grad.shape == parameter.shape and grad.dtype == parameter.dtype,
            f"the gradient of `{name}` is {_form(grad)}, but `{name}` is {_form(parameter.data)}.",
        )


def _check_arguments(trial: Trial) -> None:
    """Check arguments in the backend's own layout, in which other layers pass and save them."""
    backend, layer = load(trial.backend), trial.copy()
    x, dy = backend.pack(trial.x.copy()), backend.pack(trial.dy.copy())
    before = {name: parameter.data.copy() for name, parameter in layer.named_parameters()}

    def check(what: str) -> None:
        trial.require(same_bits(backend.unpack(x), trial.x), f"{what} changes the input.")
        trial.require(same_bits(backend.unpack(dy), trial.dy), f"{what} changes the gradient of the output.")
        for name, parameter in layer.named_parameters():
            trial.require(same_bits(parameter.data, before[name]), f"{what} changes `{name}`.")

    trial.attempt("forward_native", layer.forward_native, x, backend)
    check("forward")
    trial.attempt("backward_native", layer.backward_native, dy, backend, True)
    check("backward")


def _check_gradients(trial: Trial) -> None:
    if trial.x.dtype == np.float64:  # float32 is too inexact for differences
        try:
            with use_backend(trial.backend):
                gradcheck(trial.copy(), trial.x, step=trial.step)
        except AssertionError as error:
            raise AssertionError(trial.said(str(error))) from None


def _check_accumulation(trial: Trial) -> None:
    layer, alone = trial.copy(), trial.one_pass(trial.copy())
    held = {name: trial.rng.standard_normal(p.shape).astype(p.dtype) for name, p in layer.named_parameters()}
    for name, parameter in layer.named_parameters():
        parameter.grad = held[name].copy()
    taken = [parameter.grad for parameter in layer.parameters()]
    for (name, found), array in zip(trial.one_pass(layer).grads.items(), taken, strict=True):
        trial.require(same_bits(array, held[name]), f"backward changes the array that held the gradient of `{name}`.")
        added = _is_sum(found, held[name], alone.grads[name])
        trial.require(added, f"the gradient of `{name}` is not added to the existing one.")


def _check_input_grad(trial: Trial) -> None:
    found = trial.one_pass(trial.copy(), input_grad=False)
    trial.require(found.dx is None, "backward returns a gradient of the input without `input_grad`, not None.")
    trial.require_same(found, trial.one_pass(trial.copy()), "without `input_grad`")


def _check_requires_grad(trial: Trial) -> None:
    """Check with all parameters frozen, and with every second one."""
    alone = trial.one_pass(trial.copy())
    names = list(alone.grads)
    for frozen in (names, names[::2], names[1::2]):
        for input_grad in (True, False):
            layer = trial.copy()
            for name, parameter in layer.named_parameters():
                parameter.requires_grad = name not in frozen
            trial.attempt("forward", layer, trial.x.copy())
            dx = trial.attempt("backward", layer.backward, trial.dy.copy(), input_grad=input_grad)
            expected = alone.dx if input_grad else None
            trial.require(same_bits(dx, expected), f"the gradient of the input differs with {frozen} frozen.")
            for name, parameter in layer.named_parameters():
                expected = None if name in frozen else alone.grads[name]
                trial.require(
                    same_bits(parameter.grad, expected),
                    f"backward gives `{name}` a gradient, but it requires none; add gradients with `accumulate`."
                    if name in frozen
                    else f"the gradient of `{name}` differs with {frozen} frozen.",
                )


def _check_two_calls(trial: Trial) -> None:
    """Check that the layer can be called twice before going back through the first call and then the second."""
    layer, other = trial.copy(), np.flip(trial.x).copy()
    first = trial.one_pass(layer)
    layer.zero_grad()
    trial.attempt("forward", layer, other)
    second, grads = trial.attempt("backward", layer.backward, trial.dy.copy()), trial.gradients(layer)
    model = _TwoCalls(trial.copy(), other)
    trial.attempt("forward", model, trial.x.copy())
    dx = trial.attempt("backward", model.backward, trial.dy.copy())
    right = {
        "the input": same_bits(dx, first.dx) and same_bits(model.second, second),
        **{f"`{n}`": _is_sum(g, first.grads[n], grads[n]) for n, g in trial.gradients(model.layer).items()},
    }
    for what, is_right in right.items():
        trial.require(
            is_right,
            f"the gradient of {what} is wrong if one pass calls the layer twice: a call must save arrays in attributes "
            "that it sets, not in a list, dictionary or array that all calls share.",
        )


class _TwoCalls(Module):
    """Calls a layer with its input and with another batch, and stores the gradient of the latter."""

    def __init__(self, layer: Module, other: np.ndarray) -> None:
        self.layer, self.other = layer, other
        self.second = other

    def why_unrecorded(self) -> str:
        return "it packs a batch of its own"

    def forward_native(self, x, backend):
        y = self.layer.forward_native(x, backend)
        self._calls = [last_call(self.layer)]
        self.layer.forward_native(backend.pack(self.other), backend)
        self._calls.append(last_call(self.layer))
        return y

    def backward_native(self, dy, backend, input_grad):
        first, second = self._calls
        dx = first.backward(dy, backend, True)
        self.second = backend.unpack(second.backward(dy, backend, True)).copy()
        return dx


def _check_state(trial: Trial) -> None:
    layer = trial.copy()
    state = trial.attempt("state_dict", layer.state_dict)
    for name, held in layer.named_state():
        trial.require(name in state, f"state_dict leaves out `{name}`.")
        trial.require(
            not np.shares_memory(state[name], held.data), f"state_dict returns `{name}` itself but must return a copy."
        )
        held.data[...] = held.data + 1
    trial.attempt("load_state_dict", layer.load_state_dict, state)
    trial.require_same(trial.one_pass(layer), trial.one_pass(trial.copy()), "after load_state_dict of its own state")


def _check_copies(trial: Trial) -> None:
    """Check copies of a layer that has computed a batch."""
    ways: dict[str, Callable[[Module], Module]] = {
        "copy.deepcopy": copy.deepcopy,
        "pickle": lambda layer: pickle.loads(pickle.dumps(layer)),
    }
    for what, duplicate in ways.items():
        layer = trial.copy()
        trial.one_pass(layer)
        twin = trial.attempt(what, duplicate, layer)
        state = dict(twin.named_state())
        for name, held in layer.named_state():
            trial.require(name in state, f"{what} returns a layer without `{name}`.")
            same = np.shares_memory(state[name].data, held.data)
            trial.require(not same, f"{what} returns a layer that shares `{name}`.")
        layer.zero_grad()
        twin.zero_grad()
        trial.require_same(trial.one_pass(twin), trial.one_pass(layer), f"in a copy by {what}")


def _check_bits(trial: Trial) -> None:
    for found, expected in zip(trial.two_passes(), trial.two_passes(), strict=True):
        trial.require_same(found, expected, "in an equal copy; it may draw only from generators that are attributes")


def _check_threads(trial: Trial) -> None:
    if trial.backend != "numba":  # the order of BLAS's sums depends on the number of threads
        return
    before, expected = get_num_threads(), trial.two_passes()
    try:
        for threads in THREADS:
            set_num_threads(threads)
            for found, as_before in zip(trial.two_passes(), expected, strict=True):
                trial.require_same(found, as_before, f"on {threads} threads from that on {before}")
    finally:
        set_num_threads(before)


def _form(array: np.ndarray | None) -> str:
    return "None" if array is None else f"{array.dtype} of shape {array.shape}"


def _is_sum(total: np.ndarray, a: np.ndarray, b: np.ndarray) -> bool:
    """Whether ``total`` is the sum of two arrays, up to the order of additions."""
    return bool((np.abs(total - (a + b)) <= tolerance(total.dtype, 8, np.abs(a).max() + np.abs(b).max())).all())


CHECKS = (
    _check_forms,
    _check_arguments,
    _check_gradients,
    _check_accumulation,
    _check_input_grad,
    _check_requires_grad,
    _check_two_calls,
    _check_state,
    _check_copies,
    _check_bits,
    _check_threads,
)
"""The checks of a layer, in order: each may rely on those before it."""
