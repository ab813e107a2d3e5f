"""Undoing what a pass has changed if it fails: after an error such as MemoryError, it can simply be repeated.

A layer that changes running statistics or draws from a generator in its forward pass notes their values before, by
`note_arrays` or `note_generator`. If an error ends the block `all_or_nothing` around the pass, or around a whole
training step, they are restored.
"""

import threading
from collections.abc import Callable, Iterable

import numpy as np


class _Thread(threading.local):
    notes: list[Callable[[], object]] | None = None  # functions that restore something, within `all_or_nothing`


_thread = _Thread()


class all_or_nothing:  # a context manager; as a class, it is entered faster
    """Within this block, note changes; if it raises an error, undo them.

    A FloatingPointError undoes nothing: it is about the values that were computed.
    """

    def __enter__(self) -> None:
        self._outer, _thread.notes = _thread.notes, []

    def __exit__(self, kind: type[BaseException] | None, *error) -> None:
        notes, _thread.notes = _thread.notes, self._outer
        if kind is None:
            if self._outer is not None:
                self._outer += notes or ()
        elif not issubclass(kind, FloatingPointError):
            for restore in reversed(notes or ()):
                restore()


def note(restore: Callable[[], object]) -> None:
    """Note a function that undoes the next change."""
    if _thread.notes is not None:
        _thread.notes.append(restore)


def note_arrays(arrays: Iterable[np.ndarray]) -> None:
    """Note the values of arrays before they change."""
    if _thread.notes is None:
        return
    before = [(array, array.copy()) for array in arrays]

    def restore() -> None:
        for array, values in before:
            array[...] = values

    note(restore)


def note_generator(rng: np.random.Generator) -> None:
    """Note the state of a generator before it draws."""
    if _thread.notes is None:
        return  # reading a state takes 3 microseconds
    bits, state = rng.bit_generator, rng.bit_generator.state
    note(lambda: setattr(bits, "state", state))
