"""Inputs of a model: one array, or a tuple of arrays if the model takes several.

A single input is never in a tuple. Use `each` to treat all inputs alike, for example to pack them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastcnn import _validate

Batch = np.ndarray | tuple[np.ndarray, ...]
"""A batch as users pass it: one input, or several."""


def each(function: Callable, x) -> Any:
    """Apply the function to the input, or to each of several, which gives a tuple."""
    return tuple(map(function, x)) if isinstance(x, tuple) else function(x)


def listed(x) -> tuple:
    """The inputs as a tuple, even if there is only one."""
    return x if isinstance(x, tuple) else (x,)


def joined(inputs: tuple) -> Any:
    """The inverse of `listed`: a single input without its tuple."""
    return inputs if len(inputs) > 1 else inputs[0]


def checked_batch(x, *more) -> Any:
    """Check one or several inputs and return them as C-contiguous float arrays, several as a tuple."""
    given = (x, *more) if more or not isinstance(x, tuple) else x
    if not given:
        raise ValueError("`x` holds no input.")
    several = len(given) > 1
    checked: list[np.ndarray] = []
    for i, array in enumerate(given):
        name = f"x[{i}]" if several else "x"
        array = _validate.floats(name, array, like=("x[0]", checked[0]) if checked else None)
        if array.ndim < 2:
            raise ValueError(
                f"`{name}` must have at least 2 dimensions, the first for the batch; its shape is {array.shape}."
            )
        if checked and len(array) != len(checked[0]):
            raise ValueError(f"`{name}` has batch size {len(array)}, but `x[0]` has batch size {len(checked[0])}.")
        checked.append(array)
    return joined(tuple(checked))


def added(a, b, backend) -> Any:
    """The sum of two gradients, for each input if there are several."""
    return tuple(map(backend.add, a, b)) if isinstance(a, tuple) else backend.add(a, b)
