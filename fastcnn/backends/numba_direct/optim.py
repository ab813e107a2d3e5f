"""Steps of the optimizers and other operations on all parameters."""

import math

import numpy as np

from fastcnn.backends.numba_direct.kernels.lists import CHUNK, array_of, chunk, launch, of_one_dtype
from fastcnn.backends.numba_direct.runtime.arguments import numbers_at
from fastcnn.backends.numba_direct.runtime.compile import flushing_kernel, kernel
from fastcnn.backends.numba_direct.runtime.memory import aligned
from fastcnn.backends.numba_direct.runtime.recorder import given


def sgd_update(
    parameters: list[np.ndarray],
    grads: list[np.ndarray],
    velocities: list[np.ndarray] | None,
    lr: float,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    """See `fastcnn.optim.SGD`; changes ``parameters`` and ``velocities``."""
    moving = (0,) * (velocities is not None)
    settings = lr, momentum, weight_decay
    for arrays in of_one_dtype(parameters, grads, velocities):
        launch(_sgd, arrays, settings, moving=moving, nesterov=nesterov)


def adam_update(
    parameters: list[np.ndarray],
    grads: list[np.ndarray],
    means: list[np.ndarray],
    squares: list[np.ndarray],
    largest: list[np.ndarray] | None,
    steps: list[int],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decay: float = 0.0,
) -> None:
    """See `fastcnn.optim.Adam` and `AdamW`; changes ``parameters``, ``means``, ``squares`` and ``largest``."""
    amsgrad = (0,) * (largest is not None)
    settings = beta1, 1 - beta1, beta2, 1 - beta2, eps, weight_decay, decay
    for *arrays, counts in of_one_dtype(parameters, grads, means, squares, largest, steps):
        dtype = arrays[0][0].dtype
        lrs = given(np.array([lr / (1 - beta1**step) for step in counts], dtype))
        corrections = given(np.array([math.sqrt(1 - beta2**step) for step in counts], dtype))
        launch(_adam, arrays, settings, lrs=lrs, corrections=corrections, amsgrad=amsgrad)


def rmsprop_update(
    parameters: list[np.ndarray],
    grads: list[np.ndarray],
    squares: list[np.ndarray],
    means: list[np.ndarray] | None,
    velocities: list[np.ndarray] | None,
    lr: float,
    alpha: float,
    eps: float,
    momentum: float,
    weight_decay: float,
) -> None:
    """See `fastcnn.optim.RMSprop`; changes ``parameters``, ``squares``, ``means`` and ``velocities``."""
    centered, moving = (0,) * (means is not None), (0,) * (velocities is not None)
    settings = lr, alpha, 1 - alpha, eps, momentum, weight_decay
    for arrays in of_one_dtype(parameters, grads, squares, means, velocities):
        launch(_rmsprop, arrays, settings, centered=centered, moving=moving)


def average_update(averages: list[np.ndarray], parameters: list[np.ndarray], decay: float) -> None:
    """See `fastcnn.optim.ExponentialMovingAverage`; changes ``averages``."""
    for arrays in of_one_dtype(averages, parameters):
        launch(_average, arrays, (decay, 1 - decay))


def squared_norm(arrays: list[np.ndarray]) -> float:
    """See `fastcnn.optim.clip_grad_norm`."""
    total = 0.0
    for (some,) in of_one_dtype(arrays):
        total += float(sums_of_squares(some).sum())
    return total


def sums_of_squares(arrays: list[np.ndarray]) -> np.ndarray:
    """Sums of the squares of each chunk of arrays of one dtype, in float64."""
    sums = aligned((sum(-(-array.size // CHUNK) for array in arrays),), np.dtype(np.float64))
    launch(_sum_squares, [arrays], (), scratch=CHUNK * sums.itemsize, sums=sums)
    return sums


def scaled(arrays: list[np.ndarray], factor: float) -> list[np.ndarray]:
    """See `fastcnn.optim.clip_grad_norm`."""
    found = [np.empty_like(array) for array in arrays]
    for some in of_one_dtype(arrays, found):
        launch(_scale, some, (factor,))
    return found


@flushing_kernel
def _sgd(first, last, a, scratch):
    lr, momentum, weight_decay = a.settings[0], a.settings[1], a.settings[2]
    moving, nesterov = a.moving, a.nesterov
    for task in range(first, last):
        k, start, stop = chunk(task, a.first_tasks, a.sizes)
        parameter, grad, velocity = array_of(0, k, a), array_of(1, k, a), array_of(2, k, a)
        for i in range(start, stop):
            step = grad[i] + weight_decay * parameter[i]
            if len(moving) > 0:
                velocity[i] = momentum * velocity[i] + step
                step = step + momentum * velocity[i] if nesterov else velocity[i]
            parameter[i] -= lr * step


@flushing_kernel
def _adam(first, last, a, scratch):
    beta1, rest1, beta2, rest2 = a.settings[0], a.settings[1], a.settings[2], a.settings[3]
    eps, weight_decay, decay, lrs, corrections = a.settings[4], a.settings[5], a.settings[6], a.lrs, a.corrections
    amsgrad = a.amsgrad
    for task in range(first, last):
        k, start, stop = chunk(task, a.first_tasks, a.sizes)
        parameter, grad, mean, square = array_of(0, k, a), array_of(1, k, a), array_of(2, k, a), array_of(3, k, a)
        largest = array_of(4, k, a)
        lr, correction = lrs[k], corrections[k]
        for i in range(start, stop):
            g = grad[i] + weight_decay * parameter[i]
            mean[i] = beta1 * mean[i] + rest1 * g
            square[i] = beta2 * square[i] + rest2 * g * g
            spread = square[i]
            if len(amsgrad) > 0:
                before = largest[i]
                spread = before if before >= spread or before != before else spread  # NaN in either stays
                largest[i] = spread
            parameter[i] -= lr * mean[i] / (math.sqrt(spread) / correction + eps) + decay * parameter[i]


@flushing_kernel
def _rmsprop(first, last, a, scratch):
    lr, alpha, rest = a.settings[0], a.settings[1], a.settings[2]
    eps, momentum, weight_decay = a.settings[3], a.settings[4], a.settings[5]
    centered, moving, zero = a.centered, a.moving, a.like.dtype.type(0)
    for task in range(first, last):
        k, start, stop = chunk(task, a.first_tasks, a.sizes)
        parameter, grad, square = array_of(0, k, a), array_of(1, k, a), array_of(2, k, a)
        mean, velocity = array_of(3, k, a), array_of(4, k, a)
        for i in range(start, stop):
            g = grad[i] + weight_decay * parameter[i]
            square[i] = alpha * square[i] + rest * g * g
            spread = square[i]
            if len(centered) > 0:
                mean[i] = alpha * mean[i] + rest * g
                spread -= mean[i] * mean[i]
                spread = zero if spread < 0 else spread  # negative only by rounding; NaN stays NaN
            step = g / (math.sqrt(spread) + eps)
            if len(moving) > 0:
                velocity[i] = momentum * velocity[i] + step
                step = velocity[i]
            parameter[i] -= lr * step


@kernel
def _average(first, last, a, scratch):
    decay, rest = a.settings[0], a.settings[1]
    for task in range(first, last):
        k, start, stop = chunk(task, a.first_tasks, a.sizes)
        average, parameter = array_of(0, k, a), array_of(1, k, a)
        for i in range(start, stop):
            average[i] = decay * average[i] + rest * parameter[i]


@kernel
def _sum_squares(first, last, a, scratch):
    """Sum the squares of a chunk in float64: add the second half to the first until one number is left."""
    sums = a.sums
    squares = numbers_at(scratch, CHUNK, sums)
    for task in range(first, last):
        k, start, stop = chunk(task, a.first_tasks, a.sizes)
        array = array_of(0, k, a)
        for i in range(stop - start):
            number = sums.dtype.type(array[start + i])
            squares[i] = number * number
        for i in range(stop - start, CHUNK):
            squares[i] = 0
        half = CHUNK // 2
        while half > 0:
            for i in range(half):
                squares[i] += squares[half + i]
            half //= 2
        sums[task] = squares[0]


@kernel
def _scale(first, last, a, scratch):
    factor = a.settings[0]
    for task in range(first, last):
        k, start, stop = chunk(task, a.first_tasks, a.sizes)
        array, out = array_of(0, k, a), array_of(1, k, a)
        for i in range(start, stop):
            out[i] = array[i] * factor
