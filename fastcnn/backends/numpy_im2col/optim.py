"""One step of each optimizer, in place, as PyTorch's documentation states it.

Every argument before the settings is a list with an item for each parameter. ``weight_decay`` times the parameter is
added to its gradient; ``decay`` is the part of itself that a parameter loses, whatever its gradient.
"""

import math

import numpy as np


@np.errstate(invalid="ignore")
def sgd_update(parameters, grads, velocities, lr, momentum, weight_decay, nesterov):
    """Step of stochastic gradient descent; ``velocities`` is None without momentum (``torch.optim.SGD``)."""
    for k, (parameter, grad) in enumerate(zip(parameters, grads, strict=True)):
        if weight_decay:
            grad = grad + weight_decay * parameter
        if velocities is not None:
            velocity = velocities[k]
            velocity *= momentum
            velocity += grad
            grad = grad + momentum * velocity if nesterov else velocity
        parameter -= lr * grad


@np.errstate(invalid="ignore")
def adam_update(parameters, grads, means, squares, largest, steps, lr, beta1, beta2, eps, weight_decay, decay=0.0):
    """Step of Adam, for each parameter its own (from 1) (``torch.optim.Adam``, and with ``decay`` ``AdamW``).

    ``largest`` is None without amsgrad.
    """
    lists = parameters, grads, means, squares, steps
    for k, (parameter, grad, mean, square, step) in enumerate(zip(*lists, strict=True)):
        if weight_decay:
            grad = grad + weight_decay * parameter
        mean *= beta1
        mean += (1 - beta1) * grad
        square *= beta2
        square += (1 - beta2) * np.square(grad)
        # Both moments start at 0; the divisions by 1 - beta**step undo the bias towards it.
        denominator = np.sqrt(square if largest is None else np.maximum(largest[k], square, out=largest[k]))
        denominator /= math.sqrt(1 - beta2**step)
        denominator += eps
        if decay:
            parameter -= decay * parameter
        parameter -= (lr / (1 - beta1**step)) * mean / denominator


@np.errstate(invalid="ignore")
def rmsprop_update(parameters, grads, squares, means, velocities, lr, alpha, eps, momentum, weight_decay):
    """Step of RMSprop; ``means`` is None unless centered, ``velocities`` without momentum (``torch.optim.RMSprop``)."""
    for k, (parameter, grad, square) in enumerate(zip(parameters, grads, squares, strict=True)):
        if weight_decay:
            grad = grad + weight_decay * parameter
        square *= alpha
        square += (1 - alpha) * np.square(grad)
        spread = square
        if means is not None:
            means[k] *= alpha
            means[k] += (1 - alpha) * grad
            spread = np.maximum(square - np.square(means[k]), 0)  # below 0 by rounding alone
        step = grad / (np.sqrt(spread) + eps)
        if velocities is not None:
            velocities[k] *= momentum
            velocities[k] += step
            step = velocities[k]
        parameter -= lr * step


@np.errstate(invalid="ignore")
def average_update(averages, parameters, decay):
    """Update of an exponential moving average: ``decay`` of it stays, the rest is that of the parameters."""
    for average, parameter in zip(averages, parameters, strict=True):
        average *= decay
        average += (1 - decay) * parameter


@np.errstate(over="ignore", invalid="ignore")
def squared_norm(arrays) -> float:
    """Sum of the squares of all numbers, in float64."""
    return float(sum(np.square(array, dtype=np.float64).sum() for array in arrays))


@np.errstate(invalid="ignore")  # 0 * inf
def scaled(arrays, factor):
    """New arrays, those that are given times a factor."""
    return [array * factor for array in arrays]
