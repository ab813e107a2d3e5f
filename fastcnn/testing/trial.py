"""A layer on trial: passes of copies of it, and what is said where one is wrong."""

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from fastcnn import backends
from fastcnn.nn import Module


class Pass(NamedTuple):
    """What a forward and a backward pass give, and what they leave in the layer's buffers."""

    y: np.ndarray
    dx: np.ndarray | None
    grads: dict[str, np.ndarray]
    buffers: dict[str, np.ndarray]

    def arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        """All of them, each with the words for it."""
        yield "the output", self.y
        if self.dx is not None:
            yield "the gradient of the input", self.dx
        for name, grad in self.grads.items():
            yield f"the gradient of `{name}`", grad
        for name, buffer in self.buffers.items():
            yield f"`{name}` after the pass", buffer


class Trial:
    """A layer that is checked on a batch, in a backend.

    Every pass is one of a copy, which begins as the layer was given: its running statistics, and the generators that it
    draws from, are the same each time.

    Parameters
    ----------
    layer : Module
    x : ndarray of shape (N, C, H, W), (N, C, L) or (N, features), float32 or float64
        Parameters, buffers and `dtype` attributes of the copies are set to its dtype.
    backend : str
    step : float
        Of central differences.
    seed : int
        Of the output's gradient, and of what else is drawn.
    """

    def __init__(self, layer: Module, x: np.ndarray, backend: str, step: float, seed: int) -> None:
        self.kind, self.x, self.backend, self.step = type(layer).__name__, x, backend, step
        self._layer = self.attempt("copy.deepcopy", copy.deepcopy, layer)
        self._layer.to(x.dtype)
        self.rng = np.random.default_rng(seed)
        self.y = self.attempt("forward", self.copy(), x.copy())
        self.dy = self.rng.standard_normal(np.shape(self.y)).astype(x.dtype)

    def copy(self) -> Module:
        """The layer as it was given."""
        return self.attempt("copy.deepcopy", copy.deepcopy, self._layer)

    def attempt(self, what: str, function: Callable, *arguments: Any, **options: Any) -> Any:
        """What a part of the layer returns, in this backend; an error is the layer's fault."""
        try:
            with backends.use_backend(self.backend):
                return function(*arguments, **options)
        except Exception as error:
            raise AssertionError(self.said(f"{what} fails: {type(error).__name__}: {error}")) from error

    def one_pass(self, layer: Module, *, input_grad: bool = True) -> Pass:
        """A forward and a backward pass of a copy."""
        y = self.attempt("forward", layer, self.x.copy())
        dx = self.attempt("backward", layer.backward, self.dy.copy(), input_grad=input_grad)
        return Pass(y, dx, self.gradients(layer), {name: held.data.copy() for name, held in layer.named_buffers()})

    def two_passes(self) -> tuple[Pass, Pass]:
        """Passes of a new copy: where a backend records, the second one is a replay."""
        layer = self.copy()
        first = self.one_pass(layer)
        layer.zero_grad()
        return first, self.one_pass(layer)

    def gradients(self, layer: Module) -> dict[str, np.ndarray]:
        """Of all parameters by name."""
        grads = {name: parameter.grad for name, parameter in layer.named_parameters()}
        for name, grad in grads.items():
            self.require(grad is not None, f"backward gives `{name}` no gradient.")
        return grads  # type: ignore[return-value]  # none of them is None

    def said(self, sentence: str) -> str:
        """The sentence, and of what it is true."""
        return f"{self.kind} ({self.backend}, {self.x.dtype}): {sentence}"

    def require(self, condition: bool, sentence: str) -> None:
        """Raise an AssertionError that says the sentence, unless the condition holds."""
        if not condition:
            raise AssertionError(self.said(sentence))

    def require_same(self, found: Pass, expected: Pass, where: str) -> None:
        """Hold a pass against another one, bit for bit."""
        others = dict(expected.arrays())
        for what, array in found.arrays():
            self.require(same_bits(array, others[what]), f"{what} has other bits {where}.")


def same_bits(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    """Whether two arrays hold the same bytes in the same form, or there are none."""
    if a is None or b is None:
        return a is b
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
