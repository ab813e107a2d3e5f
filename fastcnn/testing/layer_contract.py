"""The contract of a layer, which custom ones must also keep."""

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

    Copies of the layer are checked in each backend, first in float64 and then in float32. Their parameters, buffers and
    attributes named ``dtype`` are set to that dtype.

    * The output and the gradients have the right shapes and dtypes, and neither the input nor the output's gradient is
      changed.
    * The gradients of the input and of every parameter are the derivatives (see `gradcheck`).
    * The parameters' gradients are added to existing ones, and are the same without ``input_grad``.
    * Parameters that require no gradient get none and do not affect the other gradients.
    * Two calls in one pass do not share saved arrays.
    * ``load_state_dict`` restores its state; a copy and a pickled layer have the same output and share no arrays with
      it.
    * Two equal copies have bit-identical results, also when called again and, in the "numba" backend, on 1, 2 and 5
      threads.
    * All backends agree within the `tolerance` for sums over all values of `x` and of the parameters and 64 roundings.
      The magnitude is the largest value of the outputs, or of the gradients.

    Parameters
    ----------
    layer : Module
        In training or evaluation mode, in which it is checked; it is not changed. Its class must be importable, for
        pickle. It may draw random numbers, but only from generators that are attributes, which are copied with it.
    x : ndarray of shape (N, C, H, W), (N, C, L) or (N, features), float32 or float64
        A batch at which the output is differentiable: not at the bend of a ReLU, and without ties in a max-pooling.
    backends : sequence of {"naive", "numpy", "numba"}, optional
        By default all of them; all must agree with the first.
    dtypes : sequence of {"float64", "float32"}, optional
        By default both; give only one for a layer that does not work with the other. Gradients are compared with
        central differences in float64 only.
    step : float, default 1e-5
        As in `gradcheck`.
    seed : int, default 0
        Seed of the output's gradient and of all other random numbers.

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
    AssertionError: Scale (numpy, float64): the gradient of `factor` is not added to the existing one.
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
                trial.require(same_bits(array, others[what]), f"{what} differs from that of {first}.")
                continue
            try:
                assert_close(array, others[what], length, np.full(array.shape, scale))
            except AssertionError as error:
                raise AssertionError(trial.said(f"{what} differs from that of {first}: {error}")) from None
