"""Steps of the optimizers and other operations on all parameters: one launch for all, one pass over each.

Kernels take many arrays as one list. So one compiled kernel serves models of any number of parameters, and a step costs
one launch. One launch for each of LeNet-5's ten parameters took 70 microseconds; one for all takes 15. An optimizer has
no arrays for state that it does not keep; an empty tuple makes Numba compile the kernel without it. Hyperparameters may
change from step to step, so they are passed as an array.
"""

import functools
import math
from collections.abc import Iterator

import numpy as np

from fastcnn.backends.numba_direct.kernels.plan import constant
from fastcnn.backends.numba_direct.runtime.arguments import numbers_at
from fastcnn.backends.numba_direct.runtime.compile import Kernel, flushing_kernel, inlined, kernel
from fastcnn.backends.numba_direct.runtime.recorder import given

_CHUNK = 2048  # elements of a task


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
    for arrays in _of_one_dtype(parameters, grads, velocities):
        _launch(_sgd, arrays, settings, moving=moving, nesterov=nesterov)


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
    for *arrays, counts in _of_one_dtype(parameters, grads, means, squares, largest, steps):
        dtype = arrays[0][0].dtype
        lrs = given(np.array([lr / (1 - beta1**step) for step in counts], dtype))
        corrections = given(np.array([math.sqrt(1 - beta2**step) for step in counts], dtype))
        _launch(_adam, arrays, settings, lrs=lrs, corrections=corrections, amsgrad=amsgrad)


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
    for arrays in _of_one_dtype(parameters, grads, squares, means, velocities):
        _launch(_rmsprop, arrays, settings, centered=centered, moving=moving)


def average_update(averages: list[np.ndarray], parameters: list[np.ndarray], decay: float) -> None:
    """See `fastcnn.optim.ExponentialMovingAverage`; changes ``averages``."""
    for arrays in _of_one_dtype(averages, parameters):
        _launch(_average, arrays, (decay, 1 - decay))


def squared_norm(arrays: list[np.ndarray]) -> float:
    """See `fastcnn.optim.clip_grad_norm`."""
    total = 0.0
    for (some,) in _of_one_dtype(arrays):
        sums = np.empty(sum(-(-array.size // _CHUNK) for array in some))
        _launch(_sum_squares, [some], (), scratch=_CHUNK * sums.itemsize, sums=sums)
        total += float(sums.sum())
    return total


def scaled(arrays: list[np.ndarray], factor: float) -> list[np.ndarray]:
    """See `fastcnn.optim.clip_grad_norm`."""
    found = [np.empty_like(array) for array in arrays]
    for some in _of_one_dtype(arrays, found):
        _launch(_scale, some, (factor,))
    return found


def _of_one_dtype(parameters: list[np.ndarray], *others: list | None) -> Iterator[list]:
    """Split the lists by the dtype of the parameters; a list that is None becomes one of None for each parameter."""
    lists = parameters, *(other or [None] * len(parameters) for other in others)
    dtypes = dict.fromkeys(parameter.dtype for parameter in parameters)
    if len(dtypes) == 1:
        yield list(lists)
        return
    for dtype in dtypes:
        rows = [row for row in zip(*lists, strict=True) if row[0].dtype == dtype]
        yield list(map(list, zip(*rows, strict=True)))


def _launch(kernel: Kernel, lists: list[list], settings: tuple[float, ...], **more) -> None:
    """Run a kernel on lists of arrays with one item per parameter; the settings are converted to their dtype."""
    like = lists[0][0]
    first_tasks, sizes = _tasks(tuple(array.size for array in lists[0]))
    arrays = [array for some in lists for array in some]
    numbers = given(np.array(settings, like.dtype))
    kernel(
        int(first_tasks[-1]), arrays=arrays, first_tasks=first_tasks, sizes=sizes, like=like, settings=numbers, **more
    )


@functools.lru_cache(64)
def _tasks(sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The first task of each array, followed by the total number of tasks; and the sizes."""
    return constant(np.cumsum([0, *(-(-size // _CHUNK) for size in sizes)])), constant(np.array(sizes))


@inlined
def _chunk(task, first_tasks, sizes):
    """The index of a task's parameter, and ``start`` and ``stop`` of its elements."""
    k = 0
    while first_tasks[k + 1] <= task:
        k += 1
    start = (task - first_tasks[k]) * _CHUNK
    return k, start, min(start + _CHUNK, sizes[k])


@inlined
def _array(i, k, a):
    """The array in list ``i`` for parameter k."""
    return numbers_at(a.arrays[i * a.sizes.size + k], a.sizes[k], a.like)


@flushing_kernel
def _sgd(first, last, a, scratch):
    lr, momentum, weight_decay = a.settings[0], a.settings[1], a.settings[2]
    moving, nesterov = a.moving, a.nesterov
    for task in range(first, last):
        k, start, stop = _chunk(task, a.first_tasks, a.sizes)
        parameter, grad, velocity = _array(0, k, a), _array(1, k, a), _array(2, k, a)
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
        k, start, stop = _chunk(task, a.first_tasks, a.sizes)
        parameter, grad, mean, square = _array(0, k, a), _array(1, k, a), _array(2, k, a), _array(3, k, a)
        largest = _array(4, k, a)
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
        k, start, stop = _chunk(task, a.first_tasks, a.sizes)
        parameter, grad, square = _array(0, k, a), _array(1, k, a), _array(2, k, a)
        mean, velocity = _array(3, k, a), _array(4, k, a)
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
        k, start, stop = _chunk(task, a.first_tasks, a.sizes)
        average, parameter = _array(0, k, a), _array(1, k, a)
        for i in range(start, stop):
            average[i] = decay * average[i] + rest * parameter[i]


@kernel
def _sum_squares(first, last, a, scratch):
    """Sum the squares of a chunk in float64: add the second half to the first until one number is left."""
    sums = a.sums
    squares = numbers_at(scratch, _CHUNK, sums)
    for task in range(first, last):
        k, start, stop = _chunk(task, a.first_tasks, a.sizes)
        array = _array(0, k, a)
        for i in range(stop - start):
            number = sums.dtype.type(array[start + i])
            squares[i] = number * number
        for i in range(stop - start, _CHUNK):
            squares[i] = 0
        half = _CHUNK // 2
        while half > 0:
            for i in range(half):
                squares[i] += squares[half + i]
            half //= 2
        sums[task] = squares[0]


@kernel
def _scale(first, last, a, scratch):
    factor = a.settings[0]
    for task in range(first, last):
        k, start, stop = _chunk(task, a.first_tasks, a.sizes)
        array, out = _array(0, k, a), _array(1, k, a)
        for i in range(start, stop):
            out[i] = array[i] * factor
