"""One step of each optimizer, in place and element by element, as in PyTorch's documentation.

Every argument before the hyperparameters is a list with one item per parameter. ``weight_decay`` times the parameter is
added to its gradient. ``decay`` is decoupled weight decay: the fraction of itself that a parameter loses in the step.
"""

import numpy as np


@np.errstate(invalid="ignore")  # inf or NaN in the input may give NaN; that is no error
def sgd_update(parameters, grads, velocities, lr, momentum, weight_decay, nesterov):
    """Step of SGD (``torch.optim.SGD``); ``velocities`` is None without momentum."""
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
    """Step of Adam (``torch.optim.Adam``) or, with ``decay``, of AdamW (``torch.optim.AdamW``).

    ``steps`` has the number of this step for each parameter, from 1. ``largest`` is None without amsgrad.
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
            m_hat = m / (1 - beta1**step)  # bias correction, as both moments start at 0
            s_hat = s / (1 - beta2**step)
            parameter[i] = p - decay * p - lr * m_hat / (np.sqrt(s_hat) + eps)


@np.errstate(invalid="ignore")
def rmsprop_update(parameters, grads, squares, means, velocities, lr, alpha, eps, momentum, weight_decay):
    """Step of RMSprop (``torch.optim.RMSprop``).

    ``means`` is None unless centered, and ``velocities`` is None without momentum.
    """
    for k, (parameter, grad, square) in enumerate(zip(parameters, grads, squares, strict=True)):
        for i in np.ndindex(parameter.shape):
            p = np.float64(parameter[i])
            g = grad[i] + weight_decay * p
            s = alpha * np.float64(square[i]) + (1 - alpha) * g * g
            square[i] = s
            if means is not None:
                m = alpha * np.float64(means[k][i]) + (1 - alpha) * g
                means[k][i] = m
                s = 0.0 if s < m * m else s - m * m  # negative only by rounding; NaN stays NaN
            d = g / (np.sqrt(s) + eps)
            if velocities is not None:
                d = momentum * np.float64(velocities[k][i]) + d
                velocities[k][i] = d
            parameter[i] = p - lr * d


@np.errstate(over="ignore", invalid="ignore")
def average_update(averages, parameters, decay):
    """Update exponential moving averages: ``decay * average + (1 - decay) * parameter``."""
    for average, parameter in zip(averages, parameters, strict=True):
        for i in np.ndindex(average.shape):
            average[i] = decay * np.float64(average[i]) + (1 - decay) * np.float64(parameter[i])


@np.errstate(over="ignore", invalid="ignore")
def squared_norm(arrays) -> float:
    """Sum of the squares of all elements, in float64."""
    return float(sum((np.float64(number) ** 2 for array in arrays for number in array.flat), np.float64(0)))


@np.errstate(over="ignore", invalid="ignore")
def scaled(arrays, factor):
    """Return the arrays times a factor, as new arrays."""
    found = [np.empty_like(array) for array in arrays]
    for array, out in zip(arrays, found, strict=True):
        for i in np.ndindex(array.shape):
            out[i] = np.float64(array[i]) * factor
    return found
