"""Changing all arrays of an update or, after an error, none."""

from collections.abc import Callable
from typing import Any

import numpy as np


def postponed(backend, update: Callable[[], Any], arrays: Callable[[], list[np.ndarray]]) -> Callable[[], None]:
    """Return a function that makes all changes of ``update``, which are changes of ``arrays()``; after an error, none.

    The "naive" backend computes in place, so that its changes are undone.
    """
    return backend.postponed(update) if hasattr(backend, "postponed") else lambda: _or_undone(update, arrays())


def _or_undone(update: Callable[[], Any], arrays: list[np.ndarray]) -> None:
    """Call a function; undo its changes of the arrays if it raises an error."""
    before = [array.copy() for array in arrays]
    try:
        update()
    except BaseException:
        for array, values in zip(arrays, before, strict=True):
            array[...] = values
        raise
