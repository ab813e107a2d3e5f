"""What a thread writes down while it records a program, and where its kernels run."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastcnn._threads import get_num_threads
from fastcnn.backends.numba_direct.runtime import memory
from fastcnn.backends.numba_direct.runtime.buffers import whole_vectors
from fastcnn.backends.numba_direct.runtime.launches import Working, run_steps
from fastcnn.backends.numba_direct.runtime.step import Tasks


class Recorder:
    """What a thread does while it records.

    Attributes
    ----------
    parts : list of Step or callable
    allocated : list of ndarray
        Memory that it took meanwhile.
    given : list of ndarray
        What `given` told.
    called : list of ndarray
        What calls between the steps computed with.
    """

    def __init__(self) -> None:
        self.parts: list[Any] = []
        self.allocated: list[np.ndarray] = []
        self.given: list[np.ndarray] = []
        self.called: list[np.ndarray] = []


class _Thread(threading.local):
    def __init__(self) -> None:
        self.recorder: Recorder | None = None
        self.attempt: Recorder | None = None  # what would be launched; see `attempted`
        self.working = Working()
        self.table = np.array([[0, 0, 0, 0, 0, 1, 0]])  # a step alone


_thread = _Thread()


def launch(kernel: Any, tasks: Tasks, scratch: int, arguments: dict[str, Any]) -> None:
    """Run one step, and write it down where its thread is recording."""
    if _thread.attempt is not None:
        _thread.attempt.parts.append((kernel, tasks, arguments))
        return
    step = kernel.step(tasks, scratch, arguments)
    if _thread.recorder is not None:
        _thread.recorder.parts.append(step)
    at = memory.address(np.frombuffer(step.record, np.uint8))
    _thread.table[0, :4] = step.address, at, step.tasks, step.kernel.flushes
    threads = get_num_threads() if step.tasks > 1 else 1
    run_steps(_thread.table, [step.kernel], _thread.working, threads, whole_vectors(step.scratch))


def given(array: np.ndarray) -> np.ndarray:
    """The same array: numbers that Python works out, and works out again before each run of a program."""
    for recorder in filter(None, (_thread.attempt, _thread.recorder)):
        recorder.given.append(array)
    return array


def attempted(function: Callable[[], Any]) -> Recorder:
    """What a function would launch and tell, called so that it launches nothing."""
    before, _thread.attempt = _thread.attempt, Recorder()
    try:
        function()
        return _thread.attempt
    finally:
        _thread.attempt = before


def is_recording() -> bool:
    """Whether this thread is."""
    return _thread.recorder is not None


def perform(function: Callable[[], Any]) -> None:
    """Call a function that does what kernels cannot, now and whenever the program is run that is being recorded."""
    recorder = _thread.recorder
    if recorder is None:
        function()
        return
    recorder.parts.append(function)
    inside = Recorder()
    with recording(inside):
        function()
    recorder.called += [array for step in inside.parts for _, _, array in step.arrays()]


@contextmanager
def recording(recorder: Recorder | None) -> Iterator[None]:
    """Within this block, write down what this thread does, or do not."""
    before, _thread.recorder = _thread.recorder, recorder
    try:
        with memory.noting(recorder.allocated if recorder else None):
            yield
    finally:
        _thread.recorder = before
