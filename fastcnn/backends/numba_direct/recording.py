"""Launches of kernels, written down so that they can be made again.

What a layer does to the same arrays a second time is to launch the same kernels with the same arguments. Finding out
which they are takes Python longer than a small kernel runs: at batch 128 it is a fifth of LeNet-5's training step.
"""

import functools
import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fastcnn.backends.numba_direct import cache

Launches = list[tuple[Callable, tuple]]  # kernels and their arguments


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


@contextmanager
def recording() -> Iterator[Launches]:
    """Write down the launches that this thread makes within the block."""
    _recorder.launches, kernels = [], cache.kernels
    try:
        yield _recorder.launches
    finally:
        _recorder.launches = None
    if cache.kernels != kernels:
        gc.collect()  # what compiling leaves behind refers to the arrays, and would count as somebody who has them


def replay(launches: Launches) -> None:
    """Make the launches again, in their order."""
    for kernel, args in launches:
        kernel(*args)
