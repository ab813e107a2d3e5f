"""One step of each optimizer, in place, as PyTorch's documentation states it."""

import math

import numpy as np


@np.errstate(invalid="ignore")
def sgd_update(parameter, grad, velocity, lr, momentum, weight_decay, nesterov):
    """Step of stochastic gradient descent; ``velocity`` is None without momentum (``torch.optim.SGD``)."""
    if weight_decay:
        grad = grad + weight_decay * parameter
    if velocity is not None:
        velocity *= momentum
        velocity += grad
        grad = grad + momentum * velocity if nesterov else velocity
    parameter -= lr * grad


@np.errstate(invalid="ignore")
def adam_update(parameter, grad, mean, square, step, lr, beta1, beta2, eps, weight_decay):
    """Step number ``step`` (from 1) of Adam; weight decay is added to the gradient (``torch.optim.Adam``)."""
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
