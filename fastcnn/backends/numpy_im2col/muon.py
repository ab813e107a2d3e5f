"""One step of Muon; see `change` for when arrays change."""

import math

import numpy as np

from fastcnn.backends.numpy_im2col.postponing import change


@np.errstate(over="ignore", invalid="ignore")
def muon_update(parameters, grads, velocities, rates, momentum, nesterov, decay, coefficients, steps, eps):
    """See the "naive" backend."""
    for parameter, grad, velocity, rate in zip(parameters, grads, velocities, rates, strict=True):
        v = momentum * velocity + (1 - momentum) * grad
        change(velocity, v)
        direction = momentum * v + (1 - momentum) * grad if nesterov else v
        matrix = direction.reshape(math.prod(parameter.shape[:1]), -1)
        step = _orthogonal(matrix, coefficients, steps, eps).reshape(parameter.shape)
        change(parameter, parameter - decay * parameter - rate * step)


def _orthogonal(matrix, coefficients, steps, eps):
    """Find a matrix with the singular vectors of ``matrix`` and singular values near 1, by Newton–Schulz iteration."""
    a, b, c = coefficients
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    norm = np.sqrt(np.square(x, dtype=np.float64).sum())  # of float64, which holds the norm of all numbers of float32
    x = (x / max(norm, np.float64(eps))).astype(x.dtype)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.T if tall else x
