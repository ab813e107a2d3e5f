"""Steps of the optimizers: one launch for all parameters, in one pass over each.

Kernels take many arrays as one table of addresses, so that one compiled kernel serves models of any number of
parameters, and a step costs one launch. One launch for each of LeNet-5's ten parameters took 70 microseconds, this 15.
"""

import functools
import math
from collections.abc import Iterator

import numba
import numpy as np

from fastcnn.backends.numba_direct._jit import flat, kernel, one_at_a_time, parallel
from fastcnn.backends.numba_direct.denormals import flush_denormals, restore_denormals
from fastcnn.backends.numba_direct.simd import numbers_at

_TOGETHER = 16  # parameters of a launch
_CHUNK = 2048  # numbers that a task takes


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
    for rows in _launches(parameters, grads, velocities or grads):
        parameter, grad, velocity = map(_sixteen, zip(*rows, strict=True))
        number = parameter[0].dtype.type
        if velocities is None:
            _sgd(parameter, grad, number(lr), number(weight_decay))
        else:
            _sgd_momentum(parameter, grad, velocity, number(lr), number(momentum), number(weight_decay), nesterov)


def adam_update(
    parameters: list[np.ndarray],
    grads: list[np.ndarray],
    means: list[np.ndarray],
    squares: list[np.ndarray],
    steps: list[int],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
) -> None:
    """See `fastcnn.optim.Adam`; changes ``parameters``, ``means`` and ``squares``."""
    for rows in _launches(parameters, grads, means, squares, steps):
        *arrays, counts = zip(*rows, strict=True)
        dtype = arrays[0][0].dtype
        number = dtype.type
        _adam(
            *map(_sixteen, arrays),
            np.array([lr / (1 - beta1**step) for step in counts], dtype),
            np.array([math.sqrt(1 - beta2**step) for step in counts], dtype),
            number(beta1),
            number(1 - beta1),
            number(beta2),
            number(1 - beta2),
            number(eps),
            number(weight_decay),
        )


def _launches(parameters, *others) -> Iterator[list[tuple]]:
    """What belongs to each parameter in a row, as many rows of one dtype as a launch takes."""
    for dtype in {parameter.dtype: None for parameter in parameters}:
        rows = [row for row in zip(parameters, *others, strict=True) if row[0].dtype == dtype]
        for start in range(0, len(rows), _TOGETHER):
            yield rows[start : start + _TOGETHER]


def _sixteen(arrays: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """The arrays in one dimension, and empty ones: the length of a tuple is part of its type for Numba."""
    return (*map(flat, arrays), *_nothing(arrays[0].dtype)[len(arrays) :])


@functools.cache
def _nothing(dtype) -> tuple[np.ndarray, ...]:
    return (np.empty(0, dtype),) * _TOGETHER


@kernel
def _addresses(arrays):
    addresses = np.empty(len(arrays), np.int64)
    for k in range(len(arrays)):
        addresses[k] = arrays[k].ctypes.data
    return addresses


@kernel
def _tasks(arrays):
    """The first task of each array, last how many tasks there are; and the sizes of the arrays."""
    first_task, sizes = np.zeros(len(arrays) + 1, np.int64), np.empty(len(arrays), np.int64)
    for k in range(len(arrays)):
        sizes[k] = arrays[k].size
        first_task[k + 1] = first_task[k] + (sizes[k] + _CHUNK - 1) // _CHUNK
    return first_task, sizes


@kernel
def _share(task, first_task, sizes):
    """The array that a task is about, and its numbers from ``start`` to ``stop``."""
    k = 0
    while first_task[k + 1] <= task:
        k += 1
    start = (task - first_task[k]) * _CHUNK
    return k, start, min(start + _CHUNK, sizes[k])


@one_at_a_time
@kernel
def _sgd(parameters, grads, lr, weight_decay):
    first_task, sizes = _tasks(parameters)
    _sgd_chunks(
        _addresses(parameters), _addresses(grads), first_task, sizes, parameters[0], lr, weight_decay
    )  # fmt: skip


@parallel
def _sgd_chunks(parameters, grads, first_task, sizes, like, lr, weight_decay):
    """Parallel over chunks: a thread writes only its chunk of one parameter."""
    for task in numba.prange(first_task[-1]):
        mode = flush_denormals()
        k, start, stop = _share(np.intp(task), first_task, sizes)
        parameter, grad = numbers_at(parameters[k], like), numbers_at(grads[k], like)
        for i in range(start, stop):
            parameter[i] -= lr * (grad[i] + weight_decay * parameter[i])
        restore_denormals(mode)


@one_at_a_time
@kernel
def _sgd_momentum(parameters, grads, velocities, lr, momentum, weight_decay, nesterov):
    first_task, sizes = _tasks(parameters)
    _sgd_momentum_chunks(
        _addresses(parameters), _addresses(grads), _addresses(velocities), first_task, sizes, parameters[0],
        lr, momentum, weight_decay, nesterov,
    )  # fmt: skip


@parallel
def _sgd_momentum_chunks(parameters, grads, velocities, first_task, sizes, like, lr, momentum, weight_decay, nesterov):
    """Parallel over chunks: a thread writes only its chunk of one parameter and its velocity."""
    for task in numba.prange(first_task[-1]):
        mode = flush_denormals()
        k, start, stop = _share(np.intp(task), first_task, sizes)
        parameter, grad = numbers_at(parameters[k], like), numbers_at(grads[k], like)
        velocity = numbers_at(velocities[k], like)
        for i in range(start, stop):
            g = grad[i] + weight_decay * parameter[i]
            velocity[i] = momentum * velocity[i] + g
            parameter[i] -= lr * (g + momentum * velocity[i] if nesterov else velocity[i])
        restore_denormals(mode)


@one_at_a_time
@kernel
def _adam(parameters, grads, means, squares, lrs, corrections, beta1, rest1, beta2, rest2, eps, weight_decay):
    first_task, sizes = _tasks(parameters)
    _adam_chunks(
        _addresses(parameters), _addresses(grads), _addresses(means), _addresses(squares), first_task, sizes,
        parameters[0], lrs, corrections, beta1, rest1, beta2, rest2, eps, weight_decay,
    )  # fmt: skip


@parallel
def _adam_chunks(
    parameters, grads, means, squares, first_task, sizes, like, lrs, corrections,
    beta1, rest1, beta2, rest2, eps, weight_decay,
):  # fmt: skip
    """Parallel over chunks: a thread writes only its chunk of one parameter and its moments."""
    for task in numba.prange(first_task[-1]):
        mode = flush_denormals()
        k, start, stop = _share(np.intp(task), first_task, sizes)
        parameter, grad = numbers_at(parameters[k], like), numbers_at(grads[k], like)
        mean, square = numbers_at(means[k], like), numbers_at(squares[k], like)
        lr, correction = lrs[k], corrections[k]
        for i in range(start, stop):
            g = grad[i] + weight_decay * parameter[i]
            mean[i] = beta1 * mean[i] + rest1 * g
            square[i] = beta2 * square[i] + rest2 * g * g
            parameter[i] -= lr * mean[i] / (math.sqrt(square[i]) / correction + eps)
        restore_denormals(mode)
