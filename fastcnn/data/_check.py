"""The checks that several files of this package share."""

import numpy as np


def count(name: str, value, least: int) -> int:
    """A whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"`{name}` must be a whole number, not {value!r}.")
    if value < least:
        raise ValueError(f"`{name}` is {value} but must be at least {least}.")
    return int(value)


def images(array) -> np.ndarray:
    """A uint8 array of shape (N, C, H, W) with at least one pixel."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"`images` must be a numpy array, not {type(array).__name__}.")
    if array.dtype != np.uint8:
        raise TypeError(f"`images` must be uint8 (grey levels from 0 to 255), not {array.dtype}.")
    if array.ndim != 4:
        raise ValueError(f"`images` must have 4 dimensions, (N, C, H, W), but its shape is {array.shape}.")
    if array.size == 0:
        raise ValueError(f"`images` is empty: its shape is {array.shape}.")
    return array
