"""What every layer keeps to, one's own too."""

from collections.abc import Sequence

import numpy as np

from fastcnn import _validate
from fastcnn.backends import names
from fastcnn.nn import Module
from fastcnn.testing.layer_checks import CHECKS
from fastcnn.testing.tolerances import ROUNDINGS, assert_close
from fastcnn.testing.trial import Pass, Trial, same_bits


def check_layer(
    layer: Module,
    x: np.ndarray,
    *,
    backends: Sequence[str] = names(),
    dtypes: Sequence[str] = ("float64", "float32"),
    step: float = 1e-5,
    seed: int = 0,
) -> None:
    """Assert that a layer, or a whole model, keeps the contract of a `fastcnn.nn.Module`.

    Copies of the layer are checked in each backend, in float64 and then in float32, to which their parameters, buffers
    and attributes of the name ``dtype`` are set:

    * The output and the gradients have the right shapes and dtypes, and neither the input nor the output's gradient is
      changed.
    * The gradients of the input and of every parameter are the derivatives (see `gradcheck`).
    * The parameters' gradients are added to those that are there, and are the same without ``input_grad``.
    * Parameters that require no gradient get none, and change nothing about the other gradients.
    * Two calls in one pass each have a memory of their own.
    * Its state comes back through ``load_state_dict``; a copy and a pickled layer give the same output, and share no
      arrays with it.
    * Two equal copies give the same bits, also when they are called again. In the "numba" backend so they do on 1, 2
      and 5 threads.
    * All backends agree to the `tolerance` of sums over all numbers of `x` and of the parameters and 64 roundings, as
      large as the largest number of the outputs, or of the gradients.

    Parameters
    ----------
    layer : Module
        In training or evaluation mode, as it is to be checked; it is not changed. Its class must be importable, for
        pickle. It may draw, but only from generators that are attributes, which are copied with it.
    x : ndarray of shape (N, C, H, W), (N, C, L) or (N, features), float32 or float64
        A batch at which the output is differentiable: not on a bend of a ReLU, nor with a tie in a max-pooling.
    backends : sequence of {"naive", "numpy", "numba"}, optional
        By default all of them; the first is the one that others must agree with.
    dtypes : sequence of {"float64", "float32"}, optional
        By default both; one for a layer that is made for a dtype, whatever its parameters hold. Gradients are held
        against central differences in float64 alone.
    step : float, default 1e-5
        As in `gradcheck`.
    seed : int, default 0
        Of the output's gradient, and of the other numbers that are drawn.

    Raises
    ------
    AssertionError
        If the layer breaks the contract; the message says how, and where.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> from fastcnn.testing import check_layer
    >>> check_layer(nn.Tanh(), np.array([[1.0, -2.0]]))
    >>> class Scale(nn.Module):
    ...     def __init__(self):
    ...         self.factor = nn.Parameter(np.array([2.0]))
    ...
    ...     def forward(self, x):
    ...         self._x = x
    ...         return x * self.factor.data
    ...
    ...     def backward(self, dy):
    ...         self.factor.grad = (dy * self._x).sum(keepdims=True).reshape(1)
    ...         return dy * self.factor.data
    >>> check_layer(Scale(), np.array([[1.0, -2.0]]), backends=["numpy"])
    Traceback (most recent call last):
        ...
    AssertionError: Scale (numpy, float64): the gradient of `factor` is not added to the one that is there.
    """
    x = _validate.floats("x", x)
    for dtype in dtypes:
        passes = []
        for name in backends:
            trial = Trial(layer, x.astype(dtype), name, step, seed)
            for check in CHECKS:
                check(trial)
            passes.append(trial.two_passes())
            _check_agreement(trial, passes[-1], passes[0], backends[0])


def _check_agreement(trial: Trial, found: Sequence[Pass], expected: Sequence[Pass], first: str) -> None:
    length = ROUNDINGS + trial.x.size + sum(parameter.size for parameter in trial.copy().parameters())
    for a, b in zip(found, expected, strict=True):
        gradients = [trial.dy, a.dx, *a.grads.values()]
        largest = max(float(np.abs(array).max()) for array in gradients if array is not None)
        others = dict(b.arrays())
        for what, array in a.arrays():
            scale = largest if "gradient" in what else np.abs(others[what]).max()
            if array.dtype.kind != "f":  # a count
                trial.require(same_bits(array, others[what]), f"{what} is not that of {first}.")
                continue
            try:
                assert_close(array, others[what], length, np.full(array.shape, scale))
            except AssertionError as error:
                raise AssertionError(trial.said(f"{what} is not that of {first}: {error}")) from None
