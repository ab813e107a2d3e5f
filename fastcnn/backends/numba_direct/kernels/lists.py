"""Kernels on lists of arrays: one launch for all, one pass over each.

One compiled kernel serves models of any number of parameters, and a step of an optimizer costs one launch. One launch
for each of LeNet-5's ten parameters took 70 microseconds; one for all takes 15. An optimizer has no arrays for state
that it does not keep; an empty tuple makes Numba compile the kernel without it. Hyperparameters may change from step to
step, so they are passed as an array.
"""

import functools
from collections.abc import Iterator

import numpy as np

from fastcnn.backends.numba_direct.kernels.plan import constant
from fastcnn.backends.numba_direct.runtime.arguments import numbers_at
from fastcnn.backends.numba_direct.runtime.compile import Kernel, inlined
from fastcnn.backends.numba_direct.runtime.recorder import given

CHUNK = 2048  # elements of a task


def of_one_dtype(parameters: list[np.ndarray], *others: list | None) -> Iterator[list]:
    """Split the lists by the dtype of the parameters; a list that is None becomes one of None for each parameter."""
    lists = parameters, *(other or [None] * len(parameters) for other in others)
    dtypes = dict.fromkeys(parameter.dtype for parameter in parameters)
    if len(dtypes) == 1:
        yield list(lists)
        return
    for dtype in dtypes:
        rows = [row for row in zip(*lists, strict=True) if row[0].dtype == dtype]
        yield list(map(list, zip(*rows, strict=True)))


def launch(kernel: Kernel, lists: list[list], settings: tuple[float, ...], **more) -> None:
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
    return constant(np.cumsum([0, *(-(-size // CHUNK) for size in sizes)])), constant(np.array(sizes))


@inlined
def chunk(task, first_tasks, sizes):
    """The index of a task's parameter, and ``start`` and ``stop`` of its elements."""
    k = 0
    while first_tasks[k + 1] <= task:
        k += 1
    start = (task - first_tasks[k]) * CHUNK
    return k, start, min(start + CHUNK, sizes[k])


@inlined
def array_of(i, k, a):
    """The array in list ``i`` for parameter k."""
    return numbers_at(a.arrays[i * a.sizes.size + k], a.sizes[k], a.like)
