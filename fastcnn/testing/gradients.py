"""Derivatives by central differences."""

import copy
from collections.abc import Callable

import numpy as np

from fastcnn import _validate
from fastcnn.nn import Module
from fastcnn.testing.tolerances import ROUNDINGS


def central_difference(function: Callable, x: np.ndarray, direction: np.ndarray, step: float = 1e-5) -> float:
    """Derivative of ``function`` at `x` along `direction`: ``(f(x + step * d) - f(x - step * d)) / (2 * step)``.

    It must equal ``(gradient * direction).sum()``. Along a random direction any wrong entry of the gradient shows, at
    the cost of two calls.

    Parameters
    ----------
    function : callable
        From an array of the shape of `x` to a float.
    x, direction : ndarray of one shape, float64
    step : float, default 1e-5
        Near the cube root of the machine epsilon, where the errors of truncation and of rounding are alike.

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.testing import central_difference
    >>> slope = central_difference(lambda x: float((x**2).sum()), np.array([3.0, 1.0]), np.array([1.0, 0.0]))
    >>> round(slope, 6)
    6.0
    """
    return (function(x + step * direction) - function(x - step * direction)) / (2 * step)


def gradcheck(layer: Module, x: np.ndarray, *, step: float = 1e-5, seed: int = 0) -> None:
    """Assert that the gradients of a layer's input and parameters are those of what it computes, in this backend.

    The loss is a sum of the outputs with random weights; each gradient is held against the central difference of the
    loss along a random direction of about unit length. Every pass is one of a copy of the layer, so that a layer that
    draws from a generator of its own draws the same each time. Frozen parameters are left out.

    Parameters
    ----------
    layer : Module
        Its parameters must be float64; it is not changed.
    x : ndarray of shape (N, C, H, W), (N, C, L) or (N, features), float64
        A batch at which the output is differentiable: not on a bend of a ReLU, nor with a tie in a max-pooling.
    step : float, default 1e-5
        How far `central_difference` goes. In a deep model some ReLU bends on the way: 1e-7 is shorter, and less exact.
    seed : int, default 0
        Of the weights and directions.

    Raises
    ------
    TypeError
        If `x` or a parameter is not float64: in float32, differences say nothing.
    AssertionError
        If a gradient is missing, or is not the derivative.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> from fastcnn.testing import gradcheck
    >>> rng = np.random.default_rng(0)
    >>> gradcheck(nn.Linear(4, 3, rng=rng, dtype=np.float64), rng.standard_normal((5, 4)))
    """
    x = _validate.floats("x", x)
    for name, dtype in {"x": x.dtype, **{name: held.dtype for name, held in layer.named_parameters()}}.items():
        if dtype != np.float64:
            raise TypeError(f"`{name}` must be float64, not {dtype}.")
    rng, called = np.random.default_rng(seed), copy.deepcopy(layer)
    y = called(x)
    dy = rng.standard_normal(y.shape)
    dx = called.backward(dy)
    noise = ROUNDINGS * np.finfo(float).eps * np.abs(y * dy).sum() / step  # what rounding makes of the difference

    def check(what: str, gradient: np.ndarray | None, start: np.ndarray, loss: Callable) -> None:
        if gradient is None:
            raise AssertionError(f"{type(layer).__name__}.backward gives no gradient of {what}.")
        direction = rng.standard_normal(start.shape) / np.sqrt(start.size)  # a short way, on which little bends
        slope, parts = central_difference(loss, start, direction, step), gradient * direction
        if not abs(parts.sum() - slope) <= 1e-6 * np.abs(parts).sum() + noise:
            raise AssertionError(
                f"The gradient of {what} of {type(layer).__name__} is {parts.sum():.9g} along a random direction, but "
                f"the central difference is {slope:.9g}."
            )

    check("the input", dx, x, lambda x: (copy.deepcopy(layer)(x) * dy).sum())
    for name, parameter in called.named_parameters():
        if not parameter.requires_grad:
            continue

        def loss(values: np.ndarray, name=name) -> float:
            moved = copy.deepcopy(layer)
            dict(moved.named_parameters())[name].data = values
            return (moved(x) * dy).sum()

        check(f"`{name}`", parameter.grad, parameter.data, loss)
