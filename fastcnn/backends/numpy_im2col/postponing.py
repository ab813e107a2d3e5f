"""Changing arrays only when all new values are known, so that an error in between changes nothing."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np


class _Thread(threading.local):
    changes: list[tuple[np.ndarray, Any]] | None = None


_thread = _Thread()


def change(array: np.ndarray, values) -> None:
    """Set the values of an array: now, or when the changes that `postponed` collects are made."""
    if _thread.changes is None:
        array[...] = values
    else:
        _thread.changes.append((array, values))


def postponed(function: Callable[[], Any]) -> Callable[[], None]:
    """Call a function; return another one that makes its changes of arrays, without allocating memory."""
    before, _thread.changes = _thread.changes, []
    try:
        function()
        changes = _thread.changes
    finally:
        _thread.changes = before

    def make_changes() -> None:
        for array, values in changes:
            array[...] = values

    return make_changes
