"""Steps of the optimizers, in one pass over each parameter."""

import math

import numba
import numpy as np

from fastcnn.backends.numba_direct._jit import parallel_kernel


def sgd_update(
    parameter: np.ndarray,
    grad: np.ndarray,
    velocity: np.ndarray | None,
    lr: float,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    """See `fastcnn.optim.SGD`; changes ``parameter`` and ``velocity``."""
    number = parameter.dtype.type
    p, g = parameter.reshape(-1), grad.reshape(-1)
    if velocity is None:
        _sgd(p, g, number(lr), number(weight_decay))
    else:
        _sgd_momentum(p, g, velocity.reshape(-1), number(lr), number(momentum), number(weight_decay), nesterov)


def adam_update(
    parameter: np.ndarray,
    grad: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
) -> None:
    """See `fastcnn.optim.Adam`; changes ``parameter``, ``mean`` and ``square``."""
    number = parameter.dtype.type
    _adam(
        parameter.reshape(-1),
        grad.reshape(-1),
        mean.reshape(-1),
        square.reshape(-1),
        number(lr / (1 - beta1**step)),
        number(math.sqrt(1 - beta2**step)),
        number(beta1),
        number(1 - beta1),
        number(beta2),
        number(1 - beta2),
        number(eps),
        number(weight_decay),
    )


# Each kernel is parallel over elements: a thread writes only those it is given.


@parallel_kernel
def _sgd(parameter, grad, lr, weight_decay):
    for i in numba.prange(parameter.size):
        parameter[i] -= lr * (grad[i] + weight_decay * parameter[i])


@parallel_kernel
def _sgd_momentum(parameter, grad, velocity, lr, momentum, weight_decay, nesterov):
    for i in numba.prange(parameter.size):
        g = grad[i] + weight_decay * parameter[i]
        velocity[i] = momentum * velocity[i] + g
        parameter[i] -= lr * (g + momentum * velocity[i] if nesterov else velocity[i])


@parallel_kernel
def _adam(parameter, grad, mean, square, lr, correction, beta1, rest1, beta2, rest2, eps, weight_decay):
    for i in numba.prange(parameter.size):
        g = grad[i] + weight_decay * parameter[i]
        mean[i] = beta1 * mean[i] + rest1 * g
        square[i] = beta2 * square[i] + rest2 * g * g
        parameter[i] -= lr * mean[i] / (math.sqrt(square[i]) / correction + eps)
