"""One step of each optimizer, in place, as PyTorch's documentation states it.

Every argument before the settings is a list with an item for each parameter.
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
def adam_update(parameters, grads, means, squares, steps, lr, beta1, beta2, eps, weight_decay):
    """Step of Adam, for each parameter its own (from 1); decay is added to the gradient (``torch.optim.Adam``)."""
    for parameter, grad, mean, square, step in zip(parameters, grads, means, squares, steps, strict=True):
        if weight_decay:
            grad = grad + weight_decay * parameter
        mean *= beta1
        mean += (1 - beta1) * grad
        square *= beta2
        square += (1 - beta2) * np.square(grad)
        # Both moments start at 0; the divisions by 1 - beta**step undo the bias towards it.
        denominator = np.sqrt(square)
        denominator /= math.sqrt(1 - beta2**step)
        denominator += eps
        parameter -= (lr / (1 - beta1**step)) * mean / denominator
