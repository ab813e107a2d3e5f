"""Data for evaluation: a pair of arrays, or an iterable of batches."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from fastcnn._inputs import each

BATCH_SIZE = 1000  # images per forward pass when the data are arrays


def as_pair(data, name: str = "it") -> tuple[Any, Any] | None:
    """Return images and targets if ``data`` is a pair of arrays, or None if it is a loader or a list of batches.

    Raises
    ------
    TypeError
        If it is neither.
    """
    if isinstance(data, tuple | list) and len(data) == 2 and not all(isinstance(part, tuple | list) for part in data):
        return data[0], data[1]  # two tuples or lists are two batches
    if isinstance(data, np.ndarray | str | bytes | dict) or not isinstance(data, Iterable):
        has_length = hasattr(data, "__len__")
        what = f"{type(data).__name__} of length {len(data)}" if has_length else repr(data)
        raise TypeError(f"{name} must be a pair (images, labels) or an iterable of such batches, not {what}.")
    return None


def batches_of(data, batch_size: int = BATCH_SIZE) -> Iterator[tuple[Any, np.ndarray]]:
    """Yield slices of a pair of arrays, or the batches of a loader."""
    if pair := as_pair(data):
        images, targets = pair
        for i in range(0, len(targets), batch_size):
            where = slice(i, i + batch_size)
            yield rows(images, where), targets[where]
        return
    for number, batch in enumerate(data, 1):
        yield checked_pair(batch, number)


def rows(images, where: slice):
    """Slice the images; if the model has several inputs, slice each of them."""
    return each(lambda array: array[where], images)


def checked_pair(batch, number: int) -> tuple[Any, np.ndarray]:
    """Return images and targets of a batch; raise a TypeError if it is not a pair."""
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        has_length = hasattr(batch, "__len__")
        what = f"{type(batch).__name__} of length {len(batch)}" if has_length else repr(batch)
        raise TypeError(f"batch {number} must be a pair (images, labels), not {what}.")
    return batch[0], batch[1]
