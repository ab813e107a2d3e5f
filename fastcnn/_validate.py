"""Checks of arguments, with the error messages about arrays and numbers.

Each check returns the canonical form that backends rely on: a C-contiguous float32 or float64 array, or for an option a
Python int, float, bool or str.

A whole number is an int of Python or NumPy, a number is an int or a float of either, and a flag is a bool of either.
Nothing else is accepted: no bool as a number, no number as a flag, no array of any size, no string.
"""

import math
import sys
from typing import TypeGuard

import numpy as np

from fastcnn._names import choices_for

_FLOATS = np.dtype(np.float32), np.dtype(np.float64)
_LAYOUTS = {2: "(N, features)", 3: "(N, C, L)", 4: "(N, C, H, W)"}


def floats(name: str, array, ndim: int | None = None, like=None) -> np.ndarray:
    """A C-contiguous float array; if given, it must have ``ndim`` axes and the dtype of ``like``, a (name, array)."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"`{name}` must be a numpy array, not {type(array).__name__}.{_cure(name, array)}")
    if array.dtype not in _FLOATS:
        raise TypeError(f"`{name}` must be float32 or float64, not {array.dtype}; convert it with .astype(np.float32).")
    if ndim is not None and array.ndim != ndim:
        layout = f", {_LAYOUTS[ndim]}," if ndim in _LAYOUTS else ""
        raise ValueError(f"`{name}` must have {ndim} dimensions{layout} but its shape is {array.shape}.")
    if array.size == 0:
        raise ValueError(f"`{name}` is empty: its shape is {array.shape}.")
    if like is not None and array.dtype != like[1].dtype:
        wide = name if array.dtype == np.float64 else like[0]
        raise TypeError(
            f"`{name}` is {array.dtype} but `{like[0]}` is {like[1].dtype}; give both the same dtype. "
            f"{wide}.astype(np.float32) converts the wider one."
        )
    return np.asarray(array, order="C")


def _cure(name: str, array) -> str:
    """A hint on how to make an array from a list or a tuple."""
    return f" Make one with np.array({name})." if isinstance(array, list | tuple) else ""


def shape(name: str, array: np.ndarray, expected: tuple[int, ...], why: str) -> np.ndarray:
    """``array`` if it has the ``expected`` shape; ``why`` ends the error message and says where it comes from."""
    if array.shape != tuple(expected):
        raise ValueError(f"`{name}` has shape {array.shape} but must have {tuple(expected)}, {why}.")
    return array


def uint8_images(array) -> np.ndarray:
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


def indices(name: str, array, expected: tuple[int, ...], below: int) -> np.ndarray:
    """A C-contiguous int64 array of the ``expected`` shape with values from 0 to ``below`` - 1."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu":
        what = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise TypeError(f"`{name}` must be a numpy array of integers, not {what}.{_cure(name, array)}")
    if array.shape != tuple(expected):
        raise ValueError(f"`{name}` has shape {array.shape} but must have {tuple(expected)}.")
    canonical = np.ascontiguousarray(array, dtype=np.int64)
    if array.size and canonical.view(np.uint64).max() >= below:  # a negative number is a huge unsigned one
        wrong = min(array.min(), 0) or array.max()
        raise ValueError(f"`{name}` holds {wrong}, but its values must be from 0 to {below - 1}.")
    return canonical


def is_whole(value) -> TypeGuard[int]:
    """Whether the value counts as a whole number."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.timedelta64))


def whole(name: str, value) -> int:
    """Any whole number."""
    if not is_whole(value):
        raise TypeError(f"`{name}` must be a whole number, not {value!r}.")
    return int(value)


def flag(name: str, value) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"`{name}` must be True or False, not {value!r}.")
    return bool(value)


_LARGEST = sys.float_info.max


def any_number(name: str, value) -> float:
    """Any number, also inf or NaN."""
    if not is_whole(value) and not isinstance(value, (float, np.floating)):
        raise TypeError(f"`{name}` must be a number, not {type(value).__name__}.")
    try:
        return float(value)
    except OverflowError:  # a whole number larger than any float
        return math.inf if value > 0 else -math.inf


def number(name: str, value, low: float = -_LARGEST, high: float = _LARGEST, *, below_high: bool = False) -> float:
    """A finite number from ``low`` to ``high`` (``high`` itself excluded with ``below_high``); by default any."""
    exact = any_number(name, value)  # comparing with a float32 would round the limits
    if not (low <= exact < high if below_high else low <= exact <= high):
        upper = f"below {high}" if below_high else f"at most {high}"
        needed = "finite" if (low, high) == (-_LARGEST, _LARGEST) else f"at least {low} and {upper}"
        raise ValueError(f"`{name}` is {value} but must be {needed}.")
    return exact


def generator(name: str, rng) -> np.random.Generator:
    """A numpy.random.Generator."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"`{name}` must be a numpy.random.Generator, not {type(rng).__name__}.")
    return rng


def count(name: str, value, least: int = 1) -> int:
    """A whole number of at least ``least``."""
    if whole(name, value) < least:
        raise ValueError(f"`{name}` is {value} but must be at least {least}.")
    return int(value)


def divisor(name: str, value) -> int | None:
    """A whole number that is not 0, or None."""
    if value is not None and not is_whole(value):
        raise TypeError(f"`{name}` must be a whole number or None, not {value!r}.")
    if value == 0:
        raise ValueError(f"`{name}` must not be 0.")
    return value if value is None else int(value)


def choice(name: str, value, options: tuple[str, ...]) -> str:
    """One of ``options``."""
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"`{name}` is {value!r} but must be one of {choices_for(value, options, repr)}.")
    return str(value)
