"""Running steps: a team of threads shares the tasks, or the calling thread runs them alone.

Every thread goes through all steps. In each step it takes a few tasks at a time. It starts with its own share, so that
data it wrote in one step is still in its cache in the next, and then takes tasks from other threads' shares. It goes on
when all tasks are done, whichever threads did them. In a chain (see `chains`) it takes a block of images through all
steps, then another block. The calling thread waits only for tasks that another thread has already taken. A thread that
is not scheduled, because another program uses its processor, takes none. A waiting thread polls for a while, because
waking up is slow, and then sleeps, so that its processor is free.

Numba's own threads (GNU OpenMP) must all enter and leave each launch. With another program on one of two processors,
LeNet-5's forward pass took 8 ms with them instead of 0.6, and takes 1.2 here. They do not survive a fork either.
"""

import atexit
import os
import threading

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastcnn.backends.numba_direct.runtime import cache
from fastcnn.backends.numba_direct.runtime.atomics import add, pause, read, sleep, wake, write
from fastcnn.backends.numba_direct.runtime.denormals import flush_denormals, restore_denormals

LINE = 8  # int64 values from counter to counter, so that each has its own cache line
_TURNS = 4  # parts of a thread's share of a step; other threads can take some of them
COLUMNS = 7  # of the table of steps
_ROW = COLUMNS * 8  # bytes of a row
_LOOKS = 2_000  # polls of a counter, about 50 microseconds, before a thread sleeps during a launch
_IDLE_LOOKS = 25_000  # polls before a thread sleeps between launches; most launches follow each other faster
_JOB, _OPEN, _INSIDE, _SLEEPERS = range(0, 4 * 64, 64)  # byte offsets of these counters in a team's memory
_WORK = 4 * LINE  # index of the first of: table, steps, counters, scratch, scratch_bytes, threads


def run(table: np.ndarray, counters: np.ndarray, scratch: np.ndarray, scratch_bytes: int) -> int:
    """Run the steps of a table until one fails; returns the number of the failed step, from 1, or 0.

    Parameters
    ----------
    table : ndarray of shape (steps, COLUMNS), int64
        For each step: address of the kernel, address of its arguments, number of tasks, whether denormals count as
        zero, number of blocks and of steps of a chain that begins here, and address of the step's moves, or 0.
    counters : ndarray of shape (steps, threads + 1, LINE), int64
        Memory for the counters of this run: what is taken of each thread's share, and what is done.
    scratch : ndarray of uint8
        ``scratch_bytes`` for each thread.
    """
    counters.fill(0)
    threads = counters.shape[1] - 1
    # If another Python thread is using the team, this thread runs all tasks itself, in the same shares.
    if threads > 1 and _team.lock.acquire(blocking=False):
        try:
            _launch(_team.with_threads(threads), table, counters, scratch, scratch_bytes, threads)
        finally:
            _team.lock.release()
    else:
        _do_all(table, counters, scratch, scratch_bytes, threads)
    return int(counters[0, threads, 1])


class _Team:
    """The threads other than the calling one; they wait for work."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._threads: list[threading.Thread] = []
        self._memory = np.zeros(_WORK + LINE, np.int64)

    def with_threads(self, threads: int) -> np.ndarray:
        """Start threads until there are enough, counting the calling one; returns the team's memory."""
        if not self._threads:
            _compiled_team()
        while len(self._threads) < threads - 1:
            arguments = self._memory, len(self._threads) + 1
            thread = threading.Thread(target=_serve, args=arguments, name="fastcnn", daemon=True)
            thread.start()
            self._threads.append(thread)
        return self._memory

    def end(self) -> None:
        """End the threads, before the interpreter unloads the code that they run."""
        with self.lock:
            if self._threads:
                _quit(self._memory)
            for thread in self._threads:
                thread.join()
            self._threads = []


_team = _Team()
atexit.register(lambda: _team.end())


def _after_fork() -> None:
    """Begin with a new team: the child process has none of the threads."""
    global _team
    _team = _Team()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@intrinsic
def _call(typingctx, kernel, first, last, record, scratch):
    """Call the code at an address as a kernel; returns its status, 0 for success."""

    def codegen(context, builder, signature, args):
        kernel, first, last, record, scratch = args
        bytes_pointer = ir.IntType(8).as_pointer()
        result, error = (context.call_conv.get_function_type(types.none, ()).args[i] for i in (0, 1))
        kind = ir.FunctionType(ir.IntType(32), [result, error, first.type, last.type, bytes_pointer, scratch.type])
        where = [cgutils.alloca_once(builder, pointer.pointee) for pointer in (result, error)]
        code = builder.inttoptr(kernel, kind.as_pointer())
        status = builder.call(code, [*where, first, last, builder.inttoptr(record, bytes_pointer), scratch])
        return builder.sext(status, ir.IntType(64))

    return types.intp(*(types.intp,) * 5), codegen


_compiled = numba.njit(error_model="numpy", nogil=True)


@_compiled
def _record(row, block, scratch):
    """Address of a step's arguments for a block; arrays that are moved point into the thread's own memory."""
    record, moves = read(row + 8), read(row + 48)
    if moves == 0:
        return record
    words, copy = read(moves + 8), scratch + read(moves + 16)
    for word in range(words):
        write(copy + 8 * word, read(record + 8 * word))
    for move in range(moves + 24, moves + 24 * (read(moves) + 1), 24):
        write(copy + 8 * read(move), scratch + read(move + 8) - block * read(move + 16))
    return copy


@_compiled
def _run_tasks(row, record, first, last, scratch):
    """Run some tasks of a step; returns the kernel's status."""
    flushes = read(row + 24)
    mode = flush_denormals() if flushes else np.uint64(0)
    status = _call(read(row), first, last, record, scratch)
    if flushes:
        restore_denormals(mode)
    return status


@_compiled
def _work(table, steps, counters, scratch, worker, threads):
    """The work of one thread; ``table``, ``counters`` and ``scratch``, the thread's own memory, are addresses."""
    line = 8 * LINE
    failed = counters + threads * line + 8
    i = 0
    while i < steps:
        row = table + i * _ROW
        tasks, blocks, length = read(row + 16), read(row + 32), read(row + 40)
        items = blocks if length > 1 else tasks
        shares = counters + i * (threads + 1) * line
        done = shares + threads * line
        sleepers = done + 16
        for turn in range(threads):
            owner = (worker + turn) % threads
            start, stop = owner * items // threads, (owner + 1) * items // threads
            some = 1 if length > 1 else (stop - start + _TURNS - 1) // _TURNS
            while start < stop:
                first = start + add(shares + owner * line, some)
                if first >= stop:
                    break
                last = min(first + some, stop)
                for j in range(length):
                    step = row + j * _ROW
                    each = read(step + 16) // blocks if length > 1 else 1  # tasks of an item
                    record = _record(step, first, scratch)
                    if _run_tasks(step, record, first * each, last * each, scratch) != 0 and read(failed) == 0:
                        write(failed, i + j + 1)
                if add(done, last - first) + last - first == items and read(sleepers) != 0:
                    wake(done)
        looks = 0
        while read(done) < items and looks < _LOOKS:
            pause()
            looks += 1
        if looks == _LOOKS:
            add(sleepers, 1)
            seen = read(done)
            while seen < items:
                sleep(done, seen)
                seen = read(done)
        if read(failed) != 0:
            break
        i += length


@_compiled
def _do_all(table, counters, scratch, scratch_bytes, threads):
    """Do the work of all threads on the calling one."""
    _work(table.ctypes.data, len(table), counters.ctypes.data, scratch.ctypes.data, 0, threads)


@_compiled
def _launch(team, table, counters, scratch, scratch_bytes, threads):
    """Offer work to the team and take part in it; return when no thread is working on it any more."""
    at = team.ctypes.data
    team[_WORK], team[_WORK + 1] = table.ctypes.data, len(table)
    team[_WORK + 2], team[_WORK + 3] = counters.ctypes.data, scratch.ctypes.data
    team[_WORK + 4], team[_WORK + 5] = scratch_bytes, threads
    job = read(at + _JOB) + 1
    write(at + _OPEN, job)
    write(at + _JOB, job)
    if read(at + _SLEEPERS) != 0:
        wake(at + _JOB)
    _work(table.ctypes.data, len(table), counters.ctypes.data, scratch.ctypes.data, 0, threads)
    write(at + _OPEN, 0)  # threads that have not joined by now stay out
    looks, inside = 0, read(at + _INSIDE)
    while inside != 0:
        if looks < _LOOKS:
            pause()
            looks += 1
        else:
            sleep(at + _INSIDE, inside)
        inside = read(at + _INSIDE)


@_compiled
def _serve(team, worker):
    """Main loop of a thread of the team: wait for work, then do it."""
    at, job = team.ctypes.data, 0
    while True:
        looks = 0
        while read(at + _JOB) == job and looks < _IDLE_LOOKS:
            pause()
            looks += 1
        if looks == _IDLE_LOOKS:
            add(at + _SLEEPERS, 1)
            while read(at + _JOB) == job:
                sleep(at + _JOB, job)
            add(at + _SLEEPERS, -1)
        job = read(at + _JOB)
        if job < 0:
            break
        add(at + _INSIDE, 1)  # from now on the caller waits for this thread, unless it has closed the job
        if read(at + _OPEN) == job and worker < team[_WORK + 5]:
            scratch = team[_WORK + 3] + worker * team[_WORK + 4]
            _work(team[_WORK], team[_WORK + 1], team[_WORK + 2], scratch, worker, team[_WORK + 5])
        if add(at + _INSIDE, -1) == 1 and read(at + _OPEN) == 0:
            wake(at + _INSIDE)


@_compiled
def _quit(team):
    """Tell the threads to end."""
    write(team.ctypes.data + _JOB, -1)
    wake(team.ctypes.data + _JOB)


for _function in (_do_all, _launch, _serve, _quit):
    cache.attach(_function)


def compile_all() -> None:
    """Compile the functions that run steps, by running no steps."""
    nothing = np.empty((0, COLUMNS), np.int64), np.empty((0, 2, LINE), np.int64), np.empty(0, np.uint8), 0
    _do_all(*nothing, 1)
    _launch(_compiled_team(), *nothing, 1)


def _compiled_team() -> np.ndarray:
    """The memory of a team that has ended; making it compiles the functions that the threads run."""
    ended = np.zeros(_WORK + LINE, np.int64)
    _quit(ended)
    _serve(ended, 1)
    return ended
