"""A layer on trial: it runs passes of copies of the layer and raises an AssertionError if one is wrong."""

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from fastcnn import backends
from fastcnn.nn import Module


class Pass(NamedTuple):
    """Results of a forward and a backward pass, and the layer's buffers after them."""

    y: np.ndarray
    dx: np.ndarray | None
    grads: dict[str, np.ndarray]
    buffers: dict[str, np.ndarray]

    def arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield all arrays, each with a description."""
        yield "the output", self.y
        if self.dx is not None:
            yield "the gradient of the input", self.dx
        for name, grad in self.grads.items():
            yield f"the gradient of `{name}`", grad
        for name, buffer in self.buffers.items():
            yield f"`{name}` after the pass", buffer


class Trial:
    """A layer that is checked on a batch, in a backend.

    Every pass uses a new copy of the given layer, so its running statistics and generators are in the same state each
    time.

    Parameters
    ----------
    layer : Module
    x : ndarray of shape (N, C, H, W), (N, C, L) or (N, features), float32 or float64
        Parameters, buffers and `dtype` attributes of the copies are set to its dtype.
    backend : str
    step : float
        Step of central differences.
    seed : int
        Seed of the output's gradient and of all other random numbers.
    """

    def __init__(self, layer: Module, x: np.ndarray, backend: str, step: float, seed: int) -> None:
        self.kind, self.x, self.backend, self.step = type(layer).__name__, x, backend, step
        self._layer = self.attempt("copy.deepcopy", copy.deepcopy, layer)
        self._layer.to(x.dtype)
        self.rng = np.random.default_rng(seed)
        self.y = self.attempt("forward", self.copy(), x.copy())
        self.dy = self.rng.standard_normal(np.shape(self.y)).astype(x.dtype)

    def copy(self) -> Module:
        """Return a copy of the given layer."""
        return self.attempt("copy.deepcopy", copy.deepcopy, self._layer)

    def attempt(self, what: str, function: Callable, *arguments: Any, **options: Any) -> Any:
        """Call a function of the layer in this backend; an exception becomes an AssertionError that names it."""
        try:
            with backends.use_backend(self.backend):
                return function(*arguments, **options)
        except Exception as error:
            raise AssertionError(self.said(f"{what} fails: {type(error).__name__}: {error}")) from error

    def one_pass(self, layer: Module, *, input_grad: bool = True) -> Pass:
        """Run a forward and a backward pass of a copy."""
        y = self.attempt("forward", layer, self.x.copy())
        dx = self.attempt("backward", layer.backward, self.dy.copy(), input_grad=input_grad)
        return Pass(y, dx, self.gradients(layer), {name: held.data.copy() for name, held in layer.named_buffers()})

    def two_passes(self) -> tuple[Pass, Pass]:
        """Run two passes of a new copy: if the backend records, the second one is a replay."""
        layer = self.copy()
        first = self.one_pass(layer)
        layer.zero_grad()
        return first, self.one_pass(layer)

    def gradients(self, layer: Module) -> dict[str, np.ndarray]:
        """Return the gradients of all parameters by name."""
        grads = {name: parameter.grad for name, parameter in layer.named_parameters()}
        for name, grad in grads.items():
            self.require(grad is not None, f"backward gives `{name}` no gradient.")
        return grads  # type: ignore[return-value]  # none of them is None

    def said(self, sentence: str) -> str:
        """Return the sentence with the layer, backend and dtype before it."""
        return f"{self.kind} ({self.backend}, {self.x.dtype}): {sentence}"

    def require(self, condition: bool, sentence: str) -> None:
        """Raise an AssertionError with the sentence unless the condition holds."""
        if not condition:
            raise AssertionError(self.said(sentence))

    def require_same(self, found: Pass, expected: Pass, where: str) -> None:
        """Require that two passes are bit-identical."""
        others = dict(expected.arrays())
        for what, array in found.arrays():
            self.require(same_bits(array, others[what]), f"{what} differs {where}.")


def same_bits(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    """Whether two arrays have the same shape, dtype and bytes, or both are None."""
    if a is None or b is None:
        return a is b
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
