"""What a model is given: a batch, or, where it takes several inputs, a tuple of as many.

One input is never in a tuple. So whoever does the same to each input, packs it, looks at its shape, does it by `each`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastcnn import _validate

Batch = np.ndarray | tuple[np.ndarray, ...]
"""What people give: one input, or several."""


def each(function: Callable, x) -> Any:
    """The function's result for an input, or the tuple of those for each of several."""
    return tuple(map(function, x)) if isinstance(x, tuple) else function(x)


def listed(x) -> tuple:
    """The inputs, one or several, one after the other."""
    return x if isinstance(x, tuple) else (x,)


def joined(inputs: tuple) -> Any:
    """What `listed` takes apart."""
    return inputs if len(inputs) > 1 else inputs[0]


def images(x) -> int:
    """How many rows a batch has."""
    return len(listed(x)[0])


def checked_batch(x, *more) -> Any:
    """``x`` as a C-contiguous batch of floats, several as a tuple, or an error that says what it must be."""
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
            raise ValueError(f"`{name}` has a batch of {len(array)}, but `x[0]` one of {len(checked[0])}.")
        checked.append(array)
    return joined(tuple(checked))


def added(a, b, backend) -> Any:
    """The sum of two gradients of one input, or of the same several."""
    return tuple(map(backend.add, a, b)) if isinstance(a, tuple) else backend.add(a, b)
