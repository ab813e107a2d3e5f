"""Let one allocation fail, and check that whatever needed it lost nothing.

`array_fails` lets an allocation of memory for a NumPy array fail. `Operation.sweep` does so for every allocation of a
list of actions, one at a time. Each time it says whether the action that failed changed anything, and whether repeating
it, and doing all actions after it, ends in the same state as without a failure.
"""

import ctypes
import itertools
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import fastcnn
from tests.damage import little_memory

PACKAGE = Path(fastcnn.__file__).parent


class Failure:
    """The allocation that is to fail.

    Attributes
    ----------
    count : int
        Number of allocations so far.
    place : str or None
        Which line of fastcnn asked for the memory, once the failure has happened.
    """

    def __init__(self, number: int):
        self._number, self.count = number, 0
        self.place: str | None = None

    def is_now(self) -> bool:
        """Count an allocation; return whether it is to fail."""
        self.count += 1
        if self.count == self._number + 1:
            self.place = _place(traceback.walk_stack(sys._getframe(2)))
        return self.count == self._number + 1


def _place(frames: Iterable[tuple[Any, int]]) -> str:
    """Return the innermost line of fastcnn, or else the innermost line; frames begin with the innermost one."""
    places = [(Path(frame.f_code.co_filename), line) for frame, line in frames]
    for path, line in places:
        if path.is_relative_to(PACKAGE):
            return f"{path.relative_to(PACKAGE)}:{line}"
    return f"{places[0][0].name}:{places[0][1]}"


# NumPy allocates the memory of arrays by functions that can be replaced ("NEP 49: Data allocation strategies").

_Size, _Pointer = ctypes.c_size_t, ctypes.c_void_p
_FUNCTIONS = {"malloc": (_Size,), "calloc": (_Size, _Size), "realloc": (_Pointer, _Size)}
_NAME = b"mem_handler"  # of the capsules that hold handlers


class _Handler(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char * 127), ("version", ctypes.c_uint8), ("ctx", _Pointer)]
    _fields_ += [(name, _Pointer) for name in (*_FUNCTIONS, "free")]


def _python(name: str, result, *arguments):
    return ctypes.PYFUNCTYPE(result, *arguments)((name, ctypes.pythonapi))


_get_pointer = _python("PyCapsule_GetPointer", _Pointer, ctypes.py_object, ctypes.c_char_p)
_new_capsule = _python("PyCapsule_New", ctypes.py_object, _Pointer, ctypes.c_char_p, _Pointer)
_API = ctypes.cast(_get_pointer(np._core._multiarray_umath._ARRAY_API, None), ctypes.POINTER(_Pointer))
_set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(_API[304])  # PyDataMem_SetHandler
_get_handler = ctypes.PYFUNCTYPE(ctypes.py_object)(_API[305])  # PyDataMem_GetHandler
_usual = _Handler.from_address(_get_pointer(_get_handler(), _NAME))
_failure: Failure | None = None


def _failing(name: str, arguments: tuple):
    """Return the usual function of this name, which returns a null pointer if its allocation is to fail."""
    usual = ctypes.PYFUNCTYPE(_Pointer, _Pointer, *arguments)(getattr(_usual, name))

    def allocate(*given):
        return None if _failure and _failure.is_now() else usual(*given)

    return ctypes.CFUNCTYPE(_Pointer, _Pointer, *arguments)(allocate)


_functions = {name: _failing(name, arguments) for name, arguments in _FUNCTIONS.items()}
_own = _Handler(b"fails", 1, _usual.ctx, free=_usual.free)
for _name, _function in _functions.items():
    setattr(_own, _name, ctypes.cast(_function, _Pointer).value)
_capsule = _new_capsule(ctypes.addressof(_own), _NAME, None)


@contextmanager
def array_fails(number: int) -> Iterator[Failure]:
    """Within this block, let an allocation of this thread for an array fail; it has this number, from 0."""
    global _failure
    _failure = failure = Failure(number)
    before = _set_handler(_capsule)
    try:
        yield failure
    finally:
        _set_handler(before)
        _failure = None


@contextmanager
def object_fails(number: int) -> Iterator[Failure]:
    """Within this block, let an allocation for a Python object fail; CPython's own tests use this mechanism."""
    import _testcapi

    _testcapi.set_nomemory(number + 20, number + 21)  # after those of entering this block
    try:
        yield Failure(number)
    finally:
        _testcapi.remove_mem_hooks()


@contextmanager
def no_room(number: int) -> Iterator[Failure]:
    """Within this block, let this process have only as much more memory as ``number`` times 256 kB."""
    with little_memory(number << 18):
        yield Failure(number)


class Outcome(NamedTuple):
    """What happened when an allocation failed.

    Attributes
    ----------
    place : str
        Which line of fastcnn asked for the memory.
    result : str
        "lost" if the action changed nothing, "done" if it is complete although it raised an error, "unnoticed" if it
        raised none; or how the state is wrong.
    """

    place: str
    result: str


Action = Callable[[Any], Any]
State = dict[str, bytes]


class Operation(NamedTuple):
    """Actions, the object that they act on, and its state.

    Attributes
    ----------
    make : callable
        Returns a new object, always in the same state.
    actions : sequence of callable
        Called with the object, in this order.
    state : callable
        Returns everything that actions change.
    backend : str
    """

    make: Callable[[], Any]
    actions: Sequence[Action]
    state: Callable[[Any], State]
    backend: str = "numpy"

    def sweep(self, fails=array_fails, stride: int = 1, patience: int = 0) -> Iterator[Outcome]:
        """Let each ``stride``-th allocation fail, each time on a new object.

        End when there is none left, that is, when there was no failure for more than ``patience`` times in a row.
        Python catches some failures itself, so a failure of an object may be missing before the end.
        """
        with fastcnn.use_backend(self.backend):
            states, missing = self.states(), 0
            for number in itertools.count(0, stride):
                outcome = self.trial(states, fails(number))
                missing = 0 if outcome else missing + 1
                if missing > patience:
                    return
                if outcome:
                    yield outcome

    def states(self) -> list[State]:
        """Return the states before the first action and after each one."""
        thing = self.make()
        found = [self.state(thing)]
        for act in self.actions:
            act(thing)
            found.append(self.state(thing))
        return found

    def trial(self, states: list[State], fails: AbstractContextManager[Failure]) -> Outcome | None:
        """Let an allocation fail, then repeat the action that it ended; return None if there was no failure."""
        thing, done, place = self.make(), 0, None
        with fails as failure:
            try:
                for act in self.actions:
                    act(thing)
                    done += 1
            except MemoryError as error:
                place = _place(reversed(list(traceback.walk_tb(error.__traceback__))))
        place = failure.place or place
        if place is None:
            return None
        result = "unnoticed"
        if done < len(self.actions):
            found = self.state(thing)
            if found == states[done]:
                result = "lost"
            elif found == states[done + 1]:
                done, result = done + 1, "done"
            else:
                return Outcome(place, f"action {done} changed {_differences(states[done], found)}")
        for act in self.actions[done:]:
            act(thing)
        found = self.state(thing)
        wrong = _differences(states[-1], found)
        return Outcome(place, f"{result}, but then {wrong} differ" if wrong else result)


def _differences(one: State, other: State) -> str:
    return ", ".join(name for name in one | other if one.get(name) != other.get(name))
