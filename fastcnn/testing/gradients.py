"""Derivatives by central differences."""

import copy
from collections.abc import Callable

import numpy as np

from fastcnn import _validate
from fastcnn.nn import Module
from fastcnn.testing.tolerances import ROUNDINGS


def central_difference(function: Callable, x: np.ndarray, direction: np.ndarray, step: float = 1e-5) -> float:
    """Derivative of ``function`` at `x` along `direction`: ``(f(x + step * d) - f(x - step * d)) / (2 * step)``.

    It must equal ``(gradient * direction).sum()``. A random direction reveals any wrong entry of the gradient, at the
    cost of two calls.

    Parameters
    ----------
    function : callable
        It takes an array of the shape of `x` and returns a float.
    x, direction : ndarray of one shape, float64
    step : float, default 1e-5
        The default is near the cube root of the machine epsilon, where truncation and rounding errors are similar.

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
    """Assert that the gradients of a layer's input and parameters are the derivatives, in the current backend.

    The loss is a sum of the outputs with random weights. Each gradient is compared with the central difference of the
    loss along a random direction of about unit length. Every pass uses a new copy of the layer, so a layer with its own
    generator draws the same numbers each time. Frozen parameters are skipped.

    Parameters
    ----------
    layer : Module
        Its parameters must be float64; it is not changed.
    x : ndarray of shape (N, C, H, W), (N, C, L) or (N, features), float64
        A batch at which the output is differentiable: not at the bend of a ReLU, and without ties in a max-pooling.
    step : float, default 1e-5
        Step of `central_difference`. In a deep model some ReLU may bend within it. Then use 1e-7, which is less exact.
    seed : int, default 0
        Seed of the weights and directions.

    Raises
    ------
    TypeError
        If `x` or a parameter is not float64; float32 is too inexact for central differences.
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
    noise = ROUNDINGS * np.finfo(float).eps * np.abs(y * dy).sum() / step  # rounding error of the difference

    def check(what: str, gradient: np.ndarray | None, start: np.ndarray, loss: Callable) -> None:
        if gradient is None:
            raise AssertionError(f"{type(layer).__name__}.backward gives no gradient of {what}.")
        direction = rng.standard_normal(start.shape) / np.sqrt(start.size)  # short, so that few ReLUs bend
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
