"""One step of Muon, in place and element by element."""

import math

import numpy as np


@np.errstate(invalid="ignore")  # inf or NaN in the input may give NaN; that is no error
def muon_update(parameters, grads, velocities, rates, momentum, nesterov, decay, coefficients, steps, eps):
    """Step of Muon (``torch.optim.Muon``).

    Every argument up to ``rates`` is a list with one item per parameter. ``rates`` has their learning rates, and
    ``decay`` is the fraction of itself that a parameter loses in the step.
    """
    for parameter, grad, velocity, rate in zip(parameters, grads, velocities, rates, strict=True):
        direction = np.empty(parameter.shape)
        for i in np.ndindex(parameter.shape):
            g = np.float64(grad[i])
            v = momentum * np.float64(velocity[i]) + (1 - momentum) * g
            velocity[i] = v
            direction[i] = momentum * v + (1 - momentum) * g if nesterov else v
        matrix = direction.reshape(math.prod(parameter.shape[:1]), -1)
        step = _orthogonal(matrix, coefficients, steps, eps).reshape(parameter.shape)
        for i in np.ndindex(parameter.shape):
            p = np.float64(parameter[i])
            parameter[i] = p - decay * p - rate * step[i]


def _orthogonal(matrix, coefficients, steps, eps):
    """Find a matrix with the singular vectors of ``matrix`` and singular values near 1, by Newton–Schulz iteration."""
    a, b, c = coefficients
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / max(np.sqrt(sum(number * number for number in x.flat)), eps)
    for _ in range(steps):
        gram = _product(x, x.T)
        x = a * x + _product(b * gram + c * _product(gram, gram), x)
    return x.T if tall else x


def _product(a, b):
    """Multiply two matrices."""
    rows, columns = a.tolist(), b.T.tolist()  # Python's numbers are faster than NumPy's
    return np.array([[sum(x * y for x, y in zip(row, column, strict=True)) for column in columns] for row in rows])
