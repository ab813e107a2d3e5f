"""One step of each optimizer, in place, one number after the other, as PyTorch's documentation states it.

Every argument before the settings is a list with an item for each parameter. ``weight_decay`` times the parameter is
added to its gradient; ``decay`` is the part of itself that a parameter loses, whatever its gradient.
"""

import numpy as np


@np.errstate(invalid="ignore")  # an inf or NaN that came in may make a NaN: no fault of ours
def sgd_update(parameters, grads, velocities, lr, momentum, weight_decay, nesterov):
    """Step of stochastic gradient descent; ``velocities`` is None without momentum (``torch.optim.SGD``)."""
    for k, (parameter, grad) in enumerate(zip(parameters, grads, strict=True)):
        for i in np.ndindex(parameter.shape):
            p = np.float64(parameter[i])
            d = grad[i] + weight_decay * p
            if velocities is not None:
                v = momentum * np.float64(velocities[k][i]) + d
                velocities[k][i] = v
                d = d + momentum * v if nesterov else v
            parameter[i] = p - lr * d


@np.errstate(invalid="ignore")
def adam_update(parameters, grads, means, squares, largest, steps, lr, beta1, beta2, eps, weight_decay, decay=0.0):
    """Step of Adam, for each parameter its own (from 1) (``torch.optim.Adam``, and with ``decay`` ``AdamW``).

    ``largest`` is None without amsgrad.
    """
    lists = parameters, grads, means, squares, steps
    for k, (parameter, grad, mean, square, step) in enumerate(zip(*lists, strict=True)):
        for i in np.ndindex(parameter.shape):
            p = np.float64(parameter[i])
            g = grad[i] + weight_decay * p
            m = beta1 * np.float64(mean[i]) + (1 - beta1) * g
            s = beta2 * np.float64(square[i]) + (1 - beta2) * g * g
            mean[i], square[i] = m, s
            if largest is not None:
                s = np.maximum(np.float64(largest[k][i]), s)
                largest[k][i] = s
            m_hat = m / (1 - beta1**step)  # both moments start at 0: this undoes the bias towards it
            s_hat = s / (1 - beta2**step)
            parameter[i] = p - decay * p - lr * m_hat / (np.sqrt(s_hat) + eps)


@np.errstate(invalid="ignore")
def rmsprop_update(parameters, grads, squares, means, velocities, lr, alpha, eps, momentum, weight_decay):
    """Step of RMSprop; ``means`` is None unless centered, ``velocities`` without momentum (``torch.optim.RMSprop``)."""
    for k, (parameter, grad, square) in enumerate(zip(parameters, grads, squares, strict=True)):
        for i in np.ndindex(parameter.shape):
            p = np.float64(parameter[i])
            g = grad[i] + weight_decay * p
            s = alpha * np.float64(square[i]) + (1 - alpha) * g * g
            square[i] = s
            if means is not None:
                m = alpha * np.float64(means[k][i]) + (1 - alpha) * g
                means[k][i] = m
                s = 0.0 if s < m * m else s - m * m  # by rounding alone; NaN stays
            d = g / (np.sqrt(s) + eps)
            if velocities is not None:
                d = momentum * np.float64(velocities[k][i]) + d
                velocities[k][i] = d
            parameter[i] = p - lr * d


@np.errstate(over="ignore", invalid="ignore")
def average_update(averages, parameters, decay):
    """Update of an exponential moving average: ``decay`` of it stays, the rest is that of the parameters."""
    for average, parameter in zip(averages, parameters, strict=True):
        for i in np.ndindex(average.shape):
            average[i] = decay * np.float64(average[i]) + (1 - decay) * np.float64(parameter[i])


@np.errstate(over="ignore", invalid="ignore")
def squared_norm(arrays) -> float:
    """Sum of the squares of all numbers, in float64."""
    return float(sum((np.float64(number) ** 2 for array in arrays for number in array.flat), np.float64(0)))


@np.errstate(over="ignore", invalid="ignore")
def scaled(arrays, factor):
    """New arrays, those that are given times a factor."""
    found = [np.empty_like(array) for array in arrays]
    for array, out in zip(arrays, found, strict=True):
        for i in np.ndindex(array.shape):
            out[i] = np.float64(array[i]) * factor
    return found
