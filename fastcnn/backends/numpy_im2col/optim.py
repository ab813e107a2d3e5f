"""One step of each optimizer, as in PyTorch's documentation; see `change` for when arrays change.

Every argument before the hyperparameters is a list with one item per parameter. ``weight_decay`` times the parameter is
added to its gradient. ``decay`` is decoupled weight decay: the fraction of itself that a parameter loses in the step.
"""

import math

import numpy as np

from fastcnn.backends.numpy_im2col.postponing import change


@np.errstate(invalid="ignore")
def sgd_update(parameters, grads, velocities, lr, momentum, weight_decay, nesterov):
    """Step of SGD (``torch.optim.SGD``); ``velocities`` is None without momentum."""
    for k, (parameter, grad) in enumerate(zip(parameters, grads, strict=True)):
        if weight_decay:
            grad = grad + weight_decay * parameter
        if velocities is not None:
            velocity = momentum * velocities[k] + grad
            change(velocities[k], velocity)
            grad = grad + momentum * velocity if nesterov else velocity
        change(parameter, parameter - lr * grad)


@np.errstate(invalid="ignore")
def adam_update(parameters, grads, means, squares, largest, steps, lr, beta1, beta2, eps, weight_decay, decay=0.0):
    """Step of Adam (``torch.optim.Adam``) or, with ``decay``, of AdamW (``torch.optim.AdamW``).

    ``steps`` has the number of this step for each parameter, from 1. ``largest`` is None without amsgrad.
    """
    lists = parameters, grads, means, squares, steps
    for k, (parameter, grad, mean, square, step) in enumerate(zip(*lists, strict=True)):
        if weight_decay:
            grad = grad + weight_decay * parameter
        m = beta1 * mean + (1 - beta1) * grad
        s = beta2 * square + (1 - beta2) * np.square(grad)
        change(mean, m)
        change(square, s)
        if largest is not None:
            s = np.maximum(largest[k], s)
            change(largest[k], s)
        # Both moments start at 0. The divisions by 1 - beta**step correct that bias.
        denominator = np.sqrt(s) / math.sqrt(1 - beta2**step) + eps
        p = parameter - decay * parameter if decay else parameter
        change(parameter, p - (lr / (1 - beta1**step)) * m / denominator)


@np.errstate(invalid="ignore")
def rmsprop_update(parameters, grads, squares, means, velocities, lr, alpha, eps, momentum, weight_decay):
    """Step of RMSprop (``torch.optim.RMSprop``).

    ``means`` is None unless centered, and ``velocities`` is None without momentum.
    """
    for k, (parameter, grad, square) in enumerate(zip(parameters, grads, squares, strict=True)):
        if weight_decay:
            grad = grad + weight_decay * parameter
        spread = alpha * square + (1 - alpha) * np.square(grad)
        change(square, spread)
        if means is not None:
            mean = alpha * means[k] + (1 - alpha) * grad
            change(means[k], mean)
            spread = np.maximum(spread - np.square(mean), 0)  # negative only by rounding
        step = grad / (np.sqrt(spread) + eps)
        if velocities is not None:
            step = momentum * velocities[k] + step
            change(velocities[k], step)
        change(parameter, parameter - lr * step)


@np.errstate(invalid="ignore")
def average_update(averages, parameters, decay):
    """Update exponential moving averages: ``decay * average + (1 - decay) * parameter``."""
    for average, parameter in zip(averages, parameters, strict=True):
        change(average, decay * average + (1 - decay) * parameter)


@np.errstate(over="ignore", invalid="ignore")
def squared_norm(arrays) -> float:
    """Sum of the squares of all elements, in float64."""
    return float(sum(np.square(array, dtype=np.float64).sum() for array in arrays))


@np.errstate(invalid="ignore")  # 0 * inf
def scaled(arrays, factor):
    """Return the arrays times a factor, as new arrays."""
    return [np.multiply(array, factor, out=np.empty_like(array)) for array in arrays]
