"""Compilation of kernels.

A kernel is a function ``kernel(first, last, a, scratch)`` that computes the tasks first ... last - 1 of an operation.
No two tasks write to the same place, so it does not matter which thread runs a task. ``a`` has the arguments by name
(see `arguments`). ``scratch`` is the address of the thread's own memory, aligned to the vector size.

All compiler flags are set here. Fast-math is off: NaN, infinities and the order of every sum are preserved, so that
results do not depend on the number of threads.
"""

import functools
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numba
from numba import types

from fastcnn.backends.numba_direct.runtime import arguments, cache, recorder
from fastcnn.backends.numba_direct.runtime.step import Step, Tasks, divided

_FLAGS = {"error_model": "numpy", "nogil": True, "_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


class Kernel:
    """A function that Python launches on all threads.

    Attributes
    ----------
    name : str
    flushes : bool
        Whether it treats denormals as zero.
    stops : bool
        Whether it may raise an error, which stops the program: later steps do not run.
    writes : frozenset of str, or None
        Names of the arrays that it may change; None if it may change any.
    """

    def __init__(self, function: Callable, *, flushes: bool = False, stops: bool = False, writes: str | None = None):
        self.name, self.flushes, self.stops = function.__name__, flushes, stops
        self.writes = None if writes is None else frozenset(writes.split())
        self.__module__ = function.__module__
        self._dispatcher = numba.njit(**_FLAGS)(function)
        cache.attach(self._dispatcher)
        self._compiled: dict[tuple, tuple[int, str]] = {}  # address and record format, by the kinds of arguments

    def __call__(self, tasks: Tasks, /, scratch: int = 0, **given: Any) -> None:
        """Run the tasks; each thread has ``scratch`` bytes of its own memory."""
        if _thread.needed is None:
            recorder.launch(self, tasks, scratch, given)
        else:
            _thread.needed[self, arguments.described(dict(sorted(given.items())))[0]] = None

    def step(self, tasks: Tasks, scratch: int, given: dict[str, Any]) -> Step:
        """A step of a program that runs these tasks."""
        given = dict(sorted(given.items()))
        kinds, values, addresses = arguments.described(given)
        address, form = self.compile(kinds)
        record = struct.pack(f"{form}{len(addresses)}q", *values, *addresses)
        return Step(self, address, record, *divided(tasks), scratch, given)

    def compile(self, kinds: tuple) -> tuple[int, str]:
        """Address of the code for arguments of these kinds, and the format of their record."""
        return self._compiled.get(kinds) or self._compile(kinds)

    def _compile(self, kinds: tuple) -> tuple[int, str]:
        layout = arguments.layout(kinds)
        signature = types.intp, types.intp, layout.kind, types.intp
        self._dispatcher.compile(types.none(*signature))
        compiled = self._dispatcher.overloads[signature]
        address = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
        self._compiled[kinds] = address, layout.format
        return self._compiled[kinds]

    def __repr__(self) -> str:
        return f"{self.__module__.rpartition('.')[2]}.{self.name}"


class _Thread(threading.local):
    needed: dict[tuple[Kernel, tuple], None] | None = None


_thread = _Thread()


@contextmanager
def rehearsing() -> Iterator[dict[tuple[Kernel, tuple], None]]:
    """Inside this block, this thread's kernels do not run, so the values of all results are arbitrary.

    The dict that is yielded collects the kernels that would have run and the kinds of their arguments, so that they can
    be compiled. Programs that are recorded here do nothing, so discard the models.
    """
    before, _thread.needed = _thread.needed, {}
    try:
        yield _thread.needed
    finally:
        _thread.needed = before


def kernel(function: Callable | None = None, **options: Any) -> Any:
    """Make a kernel that keeps denormals; a decorator, with or without options of `Kernel`."""
    return Kernel(function, **options) if function else functools.partial(Kernel, **options)


def flushing_kernel(function: Callable | None = None, **options: Any) -> Any:
    """Make a kernel that treats denormals as zero; for kernels that multiply, as processors are slow with denormals."""
    return kernel(function, flushes=True, **options)


def stopping_kernel(function: Callable) -> Kernel:
    """Make a kernel that raises an error to stop a program."""
    return Kernel(function, stops=True)


inlined = numba.njit(inline="always", error_model="numpy")
"""Decorator of functions that are inlined into kernels."""
