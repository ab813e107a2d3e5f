"""Recording the steps of a thread, and running them one by one."""

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastcnn._threads import get_num_threads
from fastcnn.backends.numba_direct.runtime import memory
from fastcnn.backends.numba_direct.runtime.buffers import whole_vectors
from fastcnn.backends.numba_direct.runtime.launch import COLUMNS
from fastcnn.backends.numba_direct.runtime.launches import Working, run_steps
from fastcnn.backends.numba_direct.runtime.step import Step, Tasks


class Recorder:
    """The steps and arrays that a thread records.

    Attributes
    ----------
    parts : list of Step or callable
        The steps, and Python calls between them.
    allocated : list of ndarray
        Arrays that were allocated meanwhile.
    given : list of ndarray
        Arrays that were passed to `given`.
    called : list of ndarray
        Arrays that Python calls between the steps used.
    """

    def __init__(self) -> None:
        self.parts: list[Any] = []
        self.allocated: list[np.ndarray] = []
        self.given: list[np.ndarray] = []
        self.called: list[np.ndarray] = []


def _table(steps: int) -> np.ndarray:
    """A table of steps that are in no chain and have no moves; see `run`."""
    table = np.zeros((steps, COLUMNS), np.int64)
    table[:, 5] = 1
    return table


class _Thread(threading.local):
    def __init__(self) -> None:
        self.recorder: Recorder | None = None
        self.attempt: Recorder | None = None  # collects launches instead of running them; see `attempted`
        self.waiting: list[Step] | None = None  # steps that `ready` runs
        self.working = Working()
        self.table = _table(1)


_thread = _Thread()


def launch(kernel: Any, tasks: Tasks, scratch: int, arguments: dict[str, Any]) -> None:
    """Run one step, and record it if this thread is recording."""
    if _thread.attempt is not None:
        _thread.attempt.parts.append((kernel, tasks, arguments))
        return
    step = kernel.step(tasks, scratch, arguments)
    if _thread.recorder is not None:
        _thread.recorder.parts.append(step)
    if _thread.waiting is not None:
        _thread.waiting.append(step)
        return
    run_step(step)


def run_step(step: Step) -> None:
    """Run one step; an error before it starts, such as MemoryError, changes nothing."""
    _thread.table[0, :4] = _row(step)
    threads = get_num_threads() if step.tasks > 1 else 1
    run_steps(_thread.table, [step.kernel], _thread.working, threads, whole_vectors(step.scratch))


@contextmanager
def waiting() -> Iterator[list[Step]]:
    """Inside this block, this thread's steps do not run, but are appended to the list that is yielded."""
    before, _thread.waiting = _thread.waiting, []
    try:
        yield _thread.waiting
    finally:
        _thread.waiting = before


def _row(step: Step) -> tuple[int, ...]:
    """The first columns of a step's row in a table."""
    at = memory.address(np.frombuffer(step.record, np.uint8))
    return step.address, at, step.tasks, step.kernel.flushes


def ready(steps: list[Step]) -> Callable[[], Any]:
    """Make a function that runs steps in one launch, without allocating memory; keep the steps until then."""
    table = _table(len(steps))
    table[:, :4] = [_row(step) for step in steps]
    threads = get_num_threads() if any(step.tasks > 1 for step in steps) else 1
    scratch_bytes, working = max(whole_vectors(step.scratch) for step in steps), Working()
    working.of(len(steps), threads, scratch_bytes)
    return functools.partial(run_steps, table, [step.kernel for step in steps], working, threads, scratch_bytes)


def given(array: np.ndarray) -> np.ndarray:
    """Mark values that Python computes again before each run of a program; returns the same array."""
    for recorder in filter(None, (_thread.attempt, _thread.recorder)):
        recorder.given.append(array)
    return array


def attempted(function: Callable[[], Any]) -> Recorder:
    """Call a function without launching kernels; returns what it would launch, allocated, and passed to `given`."""
    before, _thread.attempt = _thread.attempt, Recorder()
    try:
        with memory.noting(_thread.attempt.allocated):
            function()
        return _thread.attempt
    finally:
        _thread.attempt = before


def is_recording() -> bool:
    """Whether this thread is recording."""
    return _thread.recorder is not None


def perform(function: Callable[[], Any]) -> None:
    """Call a Python function now and, if this thread is recording, in each run of the recorded program."""
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
    """Inside this block, record what this thread does, or nothing if ``recorder`` is None."""
    before, _thread.recorder = _thread.recorder, recorder
    try:
        with memory.noting(recorder.allocated if recorder else None):
            yield
    finally:
        _thread.recorder = before
