"""Launch kernels, at compiled speed, with copies of their arrays that have guards on both sides.

Within `guarded`, every kernel that Python launches gets copies made by `place`. Its results are copied back only if the
guards are unchanged. Memory for results and for scratch is filled with NaN first, so that elements that are never
written become visible. A kernel must already be compiled for arrays of the same types.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from fastcnn.backends import numba_direct
from fastcnn.backends.numba_direct.runtime import launches, memory, recorder
from fastcnn.backends.numba_direct.runtime.compile import Kernel

BAND = 1 << 14  # bytes on either side; more than any image of the case tables has, except one
ALIGNMENT = 64

_PREFIX = f"{numba_direct.__name__}."
MODULES = [importlib.import_module(info.name) for info in pkgutil.walk_packages(numba_direct.__path__, _PREFIX)]


def name_of(kernel: Kernel) -> str:
    """Return the module and name of a kernel."""
    return f"{kernel.__module__.removeprefix(_PREFIX)}.{kernel.name}"


_FOUND = {name_of(value) for module in MODULES for value in vars(module).values() if isinstance(value, Kernel)}
LAUNCHED = {name for name in _FOUND if not name.startswith("peak.")}
"""All kernels except those that measure the machine."""


def poison(dtype: np.dtype):
    """Return a value that is noticed when it is read: NaN, or an integer that is not a valid index or count."""
    if dtype == np.uint8:  # untyped memory; these bytes are NaN in float32 and float64
        return 0xFF
    return np.nan if dtype.kind == "f" else -3


class Band:
    """A copy of an array between two bands of poison."""

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
        """Check that nothing was written outside the array."""
        for part, before, name in zip(self._sides, self._before, ("before", "after"), strict=True):
            if part.tobytes() != before:
                changed = np.flatnonzero(part.view(np.uint8) != np.frombuffer(before, np.uint8))
                wrong = np.unique(changed // part.itemsize)
                raise AssertionError(f"{where} writes {name} its array {self.array.shape}: {wrong[:5]}")


class _Copies:
    """Guarded copies of the arrays of a kernel; an array that is passed twice gets one copy."""

    def __init__(self, place: Callable):
        self._place, self._copies = place, {}

    def of(self, value):
        """Return the argument that the kernel gets instead."""
        if not isinstance(value, np.ndarray) or not value.size:
            return value
        key = value.__array_interface__["data"][0], value.size, value.dtype
        if key not in self._copies:
            self._copies[key] = value, self._place(value), value.tobytes()
        return self._copies[key][1].array.reshape(value.shape)

    def bring_back(self, where: str) -> None:
        """Check the guards, then copy the changes of the kernel back to the arrays."""
        for array, copy, before in self._copies.values():
            copy.check(where)
            if copy.array.tobytes() != before:  # else keep the array, which the kernel may have changed by its address
                array[...] = copy.array


@contextmanager
def guarded(place: Callable = Band) -> Iterator[set]:
    """Launch all kernels with guarded copies of their arrays; yield a set that collects the kernels' names."""
    launched, originals = set(), []

    def launch(kernel, tasks: int, scratch: int, arguments: dict) -> None:
        where, copies = name_of(kernel), _Copies(place)
        launched.add(where)
        given = {
            name: list(map(copies.of, value)) if isinstance(value, list) else copies.of(value)
            for name, value in arguments.items()
        }
        working = recorder._thread.working = _PoisonedWorking()
        original(kernel, tasks, scratch + BAND, given)
        copies.bring_back(where)
        working.check(scratch, where)

    def change(owner, name, value):
        originals.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    original = recorder.launch
    change(recorder, "launch", launch)
    aligned = memory.aligned
    for module in MODULES:
        for name, value in list(vars(module).items()):
            if value is aligned:
                change(module, name, _poisoned(aligned))
    for name in ("empty", "empty_like"):
        change(np, name, _poisoned(getattr(np, name)))
    try:
        yield launched
    finally:
        recorder._thread.working = launches.Working()
        for owner, name, value in reversed(originals):
            setattr(owner, name, value)


class _PoisonedWorking(launches.Working):
    """Scratch memory for one launch, filled with poison."""

    def of(self, steps: int, threads: int, scratch_bytes: int):
        counters, scratch = super().of(steps, threads, scratch_bytes)
        scratch[:] = poison(scratch.dtype)
        self._each = scratch.reshape(threads, -1)
        return counters, scratch

    def check(self, scratch: int, where: str) -> None:
        """Check that no thread has written into the band after its scratch memory."""
        wrong = np.flatnonzero((self._each[:, scratch:] != poison(self._each.dtype)).any(0))
        if len(wrong):
            raise AssertionError(f"{where} writes after its scratch memory of {scratch} bytes: {wrong[:5]}")


def placed(value, copies: list, place: Callable = Band):
    """Put guards around the arrays in arguments, except batches in the backend's layout; ``copies`` gets the guards.

    This is for the kernels of optimizers, which take addresses instead of arrays.
    """
    if isinstance(value, np.ndarray):
        copies.append(place(value))
        return copies[-1].array
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(placed(item, copies, place) for item in value)
    return value


def _poisoned(allocate: Callable) -> Callable:
    """Wrap a function that allocates memory: fill the memory with poison."""

    def poisoned(*args, **options):
        array = allocate(*args, **options)
        if array.dtype.kind in "fiu":
            array[...] = poison(array.dtype)
        return array

    return poisoned
