"""Gradient clipping."""

import math
from collections.abc import Iterable

import numpy as np

from fastcnn import _validate, backends
from fastcnn.nn import Parameter
from fastcnn.nn.parameter import set_grads
from fastcnn.optim.checks import check_grad, checked_parameters


def clip_grad_norm(params: Iterable[Parameter], max_norm: float, *, error_if_nonfinite: bool = False) -> float:
    """Scale all gradients by one factor if their norm is above ``max_norm``, as ``torch.nn.utils.clip_grad_norm_``.

    The norm is that of all gradients together, as one vector: the root of the sum of their squares, in float64. If it
    is larger than `max_norm`, all gradients are multiplied by ``max_norm / (norm + 1e-6)``. The results are new arrays,
    so references to the old gradients keep their values.

    Parameters
    ----------
    params : iterable of Parameter
        Such as ``model.parameters()``; parameters without a gradient do not count.
    max_norm : float
        At least 0.
    error_if_nonfinite : bool, default False
        Whether a norm that is inf or NaN is an error. Otherwise, as in PyTorch, a NaN makes all gradients NaN; an inf
        becomes NaN itself and makes all other values 0.

    Returns
    -------
    float
        The norm before clipping.

    Raises
    ------
    TypeError, ValueError
        If there are no parameters, a gradient does not have the shape and dtype of its parameter, or `max_norm` is out
        of range.
    FloatingPointError
        If `error_if_nonfinite` is True and the norm is not finite; no gradient has changed.

    References
    ----------
    R. Pascanu, T. Mikolov, Y. Bengio, "On the difficulty of training recurrent neural networks", ICML 2013, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn, optim
    >>> weight = nn.Parameter(np.zeros(2))
    >>> weight.grad = np.array([30.0, 40.0])
    >>> optim.clip_grad_norm([weight], max_norm=1.0)
    50.0
    >>> weight.grad.round(6)
    array([0.6, 0.8])
    """
    parameters, grads = _given(params)
    max_norm = _validate.number("max_norm", max_norm, 0, math.inf)
    strict = _validate.flag("error_if_nonfinite", error_if_nonfinite)
    backend = backends.load()
    norm = math.sqrt(backend.squared_norm(grads))
    if strict and not math.isfinite(norm):
        raise FloatingPointError(f"The norm of the gradients is {norm}; a gradient is not finite.")
    factor = max_norm / (norm + 1e-6)
    if not factor >= 1:
        set_grads(zip(parameters, backend.scaled(grads, factor), strict=True))
    return norm


def clip_grad_value(params: Iterable[Parameter], clip_value: float) -> None:
    """Clip each value of each gradient to ±``clip_value``, as ``torch.nn.utils.clip_grad_value_``.

    Parameters
    ----------
    params : iterable of Parameter
        Such as ``model.parameters()``; parameters without a gradient do not count.
    clip_value : float
        At least 0. NaN stays NaN.

    Raises
    ------
    TypeError, ValueError
        If there are no parameters, a gradient does not have the shape and dtype of its parameter, or `clip_value` is
        out of range; no gradient has changed.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn, optim
    >>> weight = nn.Parameter(np.zeros(3))
    >>> weight.grad = np.array([-30.0, 0.5, 40.0])
    >>> optim.clip_grad_value([weight], 1.0)
    >>> weight.grad
    array([-1. ,  0.5,  1. ])
    """
    clip_value = _validate.number("clip_value", clip_value, 0, math.inf)
    parameters, grads = _given(params)
    with np.errstate(over="ignore"):  # a limit above the numbers of float32
        clipped = [np.clip(grad, -clip_value, clip_value, out=np.empty_like(grad)) for grad in grads]
    set_grads(zip(parameters, clipped, strict=True))


def _given(params: Iterable[Parameter]) -> tuple[list[Parameter], list[np.ndarray]]:
    """Return the parameters that have a gradient, and their gradients."""
    parameters, grads = [], []
    for i, parameter in enumerate(checked_parameters(params)):
        if parameter.grad is not None:
            check_grad(i, parameter.grad, parameter.data)
            parameters.append(parameter)
            grads.append(np.asarray(parameter.grad, order="C"))
    return parameters, grads
