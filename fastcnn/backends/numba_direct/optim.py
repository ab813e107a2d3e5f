"""Steps of the optimizers: one launch for all parameters, in one pass over each.

Kernels take many arrays as one table of their addresses, so that one compiled kernel serves models of any number of
parameters, and a step costs one launch. One launch for each of LeNet-5's ten parameters took 70 microseconds, this 15.
"""

import functools
import math
import weakref
from collections.abc import Iterator

import numba
import numpy as np

from fastcnn.backends.numba_direct._jit import flat, kernel, parallel_kernel
from fastcnn.backends.numba_direct.denormals import flush_denormals, restore_denormals
from fastcnn.backends.numba_direct.simd import numbers_at

_CHUNK = 2048  # numbers that a task takes
_KEPT = 64  # tables of addresses


def sgd_update(
    parameters: list[np.ndarray],
    grads: list[np.ndarray],
    velocities: list[np.ndarray] | None,
    lr: float,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
    decay: float = 0.0,
) -> None:
    """See `fastcnn.optim.SGD`; changes ``parameters`` and ``velocities``."""
    for parameter, grad, velocity in _of_one_dtype(parameters, grads, velocities or grads):
        number = parameter[0].dtype.type
        tables = _addresses(parameter), _addresses(grad)
        if velocities is None:
            _sgd(*tables, *_tasks(parameter), number(lr), number(weight_decay), number(decay))
        else:
            numbers = number(lr), number(momentum), number(weight_decay), number(decay)
            _sgd_momentum(*tables, _addresses(velocity), *_tasks(parameter), *numbers, nesterov)


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
    decay: float = 0.0,
) -> None:
    """See `fastcnn.optim.Adam` and `AdamW`; changes ``parameters``, ``means`` and ``squares``."""
    for *arrays, counts in _of_one_dtype(parameters, grads, means, squares, steps):
        dtype = arrays[0][0].dtype
        number = dtype.type
        _adam(
            *map(_addresses, arrays),
            *_tasks(arrays[0]),
            np.array([lr / (1 - beta1**step) for step in counts], dtype),
            np.array([math.sqrt(1 - beta2**step) for step in counts], dtype),
            number(beta1),
            number(1 - beta1),
            number(beta2),
            number(1 - beta2),
            number(eps),
            number(weight_decay),
            number(decay),
        )


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
    for arrays in _of_one_dtype(parameters, grads, squares, means or grads, velocities or grads):
        number = arrays[0][0].dtype.type
        _rmsprop(
            *map(_addresses, arrays),
            *_tasks(arrays[0]),
            number(lr),
            number(alpha),
            number(1 - alpha),
            number(eps),
            number(momentum),
            number(weight_decay),
            means is not None,
            velocities is not None,
        )


def _of_one_dtype(parameters, *others) -> Iterator[list]:
    """The lists, once for each dtype of the parameters, with what belongs to those."""
    dtypes = dict.fromkeys(parameter.dtype for parameter in parameters)
    if len(dtypes) == 1:
        yield [parameters, *others]
        return
    for dtype in dtypes:
        rows = [row for row in zip(parameters, *others, strict=True) if row[0].dtype == dtype]
        yield list(map(list, zip(*rows, strict=True)))


_tables: dict[tuple, tuple] = {}  # by the arrays' identities: weak references to them, and their addresses


def _addresses(arrays: list[np.ndarray]) -> np.ndarray:
    """Where each of the arrays begins, which are the same from step to step: asking takes longer than looking up."""
    key = tuple(map(id, arrays))
    references, addresses = _tables.get(key, ((), None))
    if addresses is None or not all(r() is array for r, array in zip(references, arrays, strict=True)):
        addresses = np.array([array.__array_interface__["data"][0] for array in arrays])
        while len(_tables) >= _KEPT:
            del _tables[next(iter(_tables))]
        _tables[key] = [weakref.ref(array) for array in arrays], addresses
    return addresses


def _tasks(parameters: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first task of each parameter, last how many tasks there are; their sizes; and an array of their dtype."""
    return *_first_tasks(tuple(parameter.size for parameter in parameters)), flat(parameters[0])


@functools.lru_cache(_KEPT)
def _first_tasks(sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    return np.cumsum([0, *(-(-size // _CHUNK) for size in sizes)]), np.array(sizes)


@kernel
def _share(task, first_task, sizes):
    """The array that a task is about, and its numbers from ``start`` to ``stop``."""
    k = 0
    while first_task[k + 1] <= task:
        k += 1
    start = (task - first_task[k]) * _CHUNK
    return k, start, min(start + _CHUNK, sizes[k])


@parallel_kernel
def _sgd(parameters, grads, first_task, sizes, like, lr, weight_decay, decay):
    """Parallel over chunks: a thread writes only its chunk of one parameter."""
    for task in numba.prange(first_task[-1]):
        mode = flush_denormals()
        k, start, stop = _share(np.intp(task), first_task, sizes)
        parameter, grad = numbers_at(parameters[k], like), numbers_at(grads[k], like)
        for i in range(start, stop):
            parameter[i] -= lr * (grad[i] + weight_decay * parameter[i]) + decay * parameter[i]
        restore_denormals(mode)


@parallel_kernel
def _sgd_momentum(
    parameters, grads, velocities, first_task, sizes, like, lr, momentum, weight_decay, decay, nesterov
):  # fmt: skip
    """Parallel over chunks: a thread writes only its chunk of one parameter and its velocity."""
    for task in numba.prange(first_task[-1]):
        mode = flush_denormals()
        k, start, stop = _share(np.intp(task), first_task, sizes)
        parameter, grad = numbers_at(parameters[k], like), numbers_at(grads[k], like)
        velocity = numbers_at(velocities[k], like)
        for i in range(start, stop):
            g = grad[i] + weight_decay * parameter[i]
            velocity[i] = momentum * velocity[i] + g
            step = g + momentum * velocity[i] if nesterov else velocity[i]
            parameter[i] -= lr * step + decay * parameter[i]
        restore_denormals(mode)


@parallel_kernel
def _adam(
    parameters, grads, means, squares, first_task, sizes, like, lrs, corrections,
    beta1, rest1, beta2, rest2, eps, weight_decay, decay,
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
            parameter[i] -= lr * mean[i] / (math.sqrt(square[i]) / correction + eps) + decay * parameter[i]
        restore_denormals(mode)


@parallel_kernel
def _rmsprop(
    parameters, grads, squares, means, velocities, first_task, sizes, like,
    lr, alpha, rest, eps, momentum, weight_decay, centered, moving,
):  # fmt: skip
    """Parallel over chunks: a thread writes only its chunk of one parameter and its states."""
    for task in numba.prange(first_task[-1]):
        mode = flush_denormals()
        k, start, stop = _share(np.intp(task), first_task, sizes)
        parameter, grad = numbers_at(parameters[k], like), numbers_at(grads[k], like)
        square, mean = numbers_at(squares[k], like), numbers_at(means[k], like)
        velocity = numbers_at(velocities[k], like)
        for i in range(start, stop):
            g = grad[i] + weight_decay * parameter[i]
            square[i] = alpha * square[i] + rest * g * g
            spread = square[i]
            if centered:
                mean[i] = alpha * mean[i] + rest * g
                spread -= mean[i] * mean[i]
                spread = like.dtype.type(0) if spread < 0 else spread  # by rounding alone; NaN stays
            step = g / (math.sqrt(spread) + eps)
            if moving:
                velocity[i] = momentum * velocity[i] + step
                step = velocity[i]
            parameter[i] -= lr * step
        restore_denormals(mode)
