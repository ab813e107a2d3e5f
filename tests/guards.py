"""Kernels at compiled speed, launched with copies of their arrays that have guards on both sides.

Within `guarded`, every kernel that Python launches is given copies that `place` makes, and what it leaves in them comes
back only if the guards are as they were. Memory that is handed out for results is filled with NaN first, so that an
element that nobody writes shows. A kernel must have been compiled before, for arrays of the same types.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from numba.core.dispatcher import Dispatcher

from fastcnn.backends import numba_direct
from fastcnn.backends.numba_direct import memory
from fastcnn.backends.numba_direct.plan import Plan

BAND = 1 << 14  # bytes on either side: more than the largest image of the case tables has, but one
ALIGNMENT = 64

_PREFIX = f"{numba_direct.__name__}."
MODULES = [importlib.import_module(info.name) for info in pkgutil.walk_packages(numba_direct.__path__, _PREFIX)]


def _compiled(value) -> Dispatcher | None:
    """What Numba compiles, if the value is that or launches it."""
    found = inspect.unwrap(value, stop=lambda function: isinstance(function, Dispatcher))
    return found if isinstance(found, Dispatcher) else None


KERNELS = {
    f"{module.__name__.removeprefix(_PREFIX)}.{name}": value
    for module in MODULES
    for name, value in vars(module).items()
    if _compiled(value) and _compiled(value).py_func.__module__ == module.__name__
}
"""All compiled functions, by module and name; some of them only other kernels call."""

LAUNCHED = {
    key for key, value in KERNELS.items() if value is not _compiled(value) and not key.startswith("peak.")
}  # fmt: skip
"""Those that Python launches on all threads, but for those that measure the machine."""


def poison(dtype: np.dtype):
    """What shows wherever it is read: NaN; of whole numbers, one that is no place, no index and no count."""
    return np.nan if dtype.kind == "f" else -3


class Band:
    """A copy of an array between two stretches of poison."""

    def __init__(self, array: np.ndarray):
        side = BAND // array.itemsize
        memory = np.empty(array.nbytes + 2 * BAND + ALIGNMENT, np.uint8)
        start = -memory.__array_interface__["data"][0] % ALIGNMENT
        self._all = memory[start : start + array.nbytes + 2 * BAND].view(array.dtype)
        self._all[:] = poison(array.dtype)
        self._sides = self._all[:side], self._all[side + array.size :]
        self.array = self._all[side : side + array.size].reshape(array.shape)
        self.array[...] = array
        self._before = [part.tobytes() for part in self._sides]

    def check(self, where: str) -> None:
        """That nothing was written beside the array."""
        for part, before, name in zip(self._sides, self._before, ("before", "after"), strict=True):
            if part.tobytes() != before:
                wrong = np.flatnonzero(part.view(np.uint8) != np.frombuffer(before, np.uint8)) // part.itemsize
                raise AssertionError(f"{where} writes {name} its array {self.array.shape}: {wrong[:5]}")


@contextmanager
def guarded(place: Callable = Band) -> Iterator[set]:
    """Launch all kernels with guarded copies of their arrays; what is yielded gets the names of those that are."""
    launched, originals = set(), []

    def guard(key, kernel):
        def launch(*args):
            launched.add(key)
            copies = {}  # an array that is given twice stays one
            for array in args:
                if isinstance(array, np.ndarray) and array.size:
                    copies.setdefault(_identity(array), (array, place(array), array.tobytes()))
            given = [copies[_identity(a)][1].array if isinstance(a, np.ndarray) and a.size else a for a in args]
            result = kernel(*given)
            for array, copy, before in copies.values():
                copy.check(key)
                if copy.array.tobytes() != before:  # the array itself may have changed, by its address
                    array[...] = copy.array
            return result

        return launch

    def change(owner, name, value):
        originals.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    by_kernel = {id(kernel): guard(key, kernel) for key, kernel in KERNELS.items()}
    for module in MODULES:
        for name, value in list(vars(module).items()):
            if id(value) in by_kernel:
                change(module, name, by_kernel[id(value)])
            elif value is memory.aligned:
                change(module, name, _poisoned(memory.aligned))
    for name in ("empty", "empty_like"):
        change(np, name, _poisoned(getattr(np, name)))
    plan = Plan.__call__
    change(Plan, "__call__", lambda self, *arrays: plan(self._replace(kernel=by_kernel[id(self.kernel)]), *arrays))
    try:
        yield launched
    finally:
        for owner, name, value in reversed(originals):
            setattr(owner, name, value)


def placed(value, copies: list, place: Callable = Band):
    """Arguments, with guards around their arrays but for batches in the backend's layout; ``copies`` gets what did it.

    Optimizers' kernels take addresses instead of arrays.
    """
    if isinstance(value, np.ndarray):
        copies.append(place(value))
        return copies[-1].array
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(placed(item, copies, place) for item in value)
    return value


def _identity(array: np.ndarray) -> tuple:
    return array.__array_interface__["data"], array.shape, array.dtype


def _poisoned(allocate: Callable) -> Callable:
    """The function that hands out memory, with poison in it."""

    def poisoned(*args, **options):
        array = allocate(*args, **options)
        if array.dtype.kind in "fiu" and array.dtype != np.uint8:
            array[...] = poison(array.dtype)
        return array

    return poisoned
