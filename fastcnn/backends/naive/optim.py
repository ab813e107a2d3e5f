"""One step of each optimizer, in place, one number after the other, as PyTorch's documentation states it.

Every argument before the settings is a list with an item for each parameter.
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
def adam_update(parameters, grads, means, squares, steps, lr, beta1, beta2, eps, weight_decay):
    """Step of Adam, for each parameter its own (from 1); decay is added to the gradient (``torch.optim.Adam``)."""
    for parameter, grad, mean, square, step in zip(parameters, grads, means, squares, steps, strict=True):
        for i in np.ndindex(parameter.shape):
            p = np.float64(parameter[i])
            g = grad[i] + weight_decay * p
            m = beta1 * np.float64(mean[i]) + (1 - beta1) * g
            s = beta2 * np.float64(square[i]) + (1 - beta2) * g * g
            mean[i], square[i] = m, s
            m_hat = m / (1 - beta1**step)  # both moments start at 0: this undoes the bias towards it
            s_hat = s / (1 - beta2**step)
            parameter[i] = p - lr * m_hat / (np.sqrt(s_hat) + eps)
