"""Launches of kernels, written down so that they can be made again.

What a layer does to the same arrays a second time is to launch the same kernels with the same arguments. Finding out
which they are takes Python longer than a small kernel runs: at batch 128 it is a fifth of LeNet-5's training step.
"""

import functools
import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from fastcnn.backends.numba_direct import cache


class Launches(list[tuple[Callable, tuple]]):
    """Kernels and their arguments.

    Attributes
    ----------
    batches : list of ndarray
        Memory that was taken for batches meanwhile: launches write it, and nothing else is kept there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[np.ndarray] = []


class _Recorder(threading.local):
    launches: Launches | None = None


_recorder = _Recorder()


def launcher(dispatcher: Callable) -> Callable:
    """The kernel, written down where its thread is recording."""

    @functools.wraps(dispatcher)
    def launch(*args) -> None:
        dispatcher(*args)
        if _recorder.launches is not None:
            _recorder.launches.append((dispatcher, args))

    return launch


def note(batch: np.ndarray) -> np.ndarray:
    """The memory of a batch, written down where its thread is recording."""
    if _recorder.launches is not None:
        _recorder.launches.batches.append(batch)
    return batch


@contextmanager
def recording() -> Iterator[Launches]:
    """Write down the launches that this thread makes within the block."""
    _recorder.launches, kernels = Launches(), cache.kernels
    try:
        yield _recorder.launches
    finally:
        _recorder.launches = None
    if cache.kernels != kernels:
        gc.collect()  # what compiling leaves behind refers to the arrays, and would count as somebody who has them


def replay(launches: list[tuple[Callable, tuple]]) -> None:
    """Make the launches again, in their order."""
    for kernel, args in launches:
        kernel(*args)
