"""Calls of element-wise operations."""

import numpy as np

from fastcnn import _validate, backends


def elementwise(operation: str, backend: str | None, arrays: dict[str, np.ndarray], *options) -> np.ndarray:
    """Call an element-wise ``operation`` of the backend on checked ``arrays`` of one shape and dtype."""
    first, *others = arrays
    checked = [_validate.floats(first, arrays[first])]
    for name in others:
        array = _validate.floats(name, arrays[name], like=(first, checked[0]))
        checked.append(_validate.shape(name, array, checked[0].shape, f"the shape of `{first}`"))
    implementation = backends.load(backend)
    shape = checked[0].shape
    native = [implementation.pack(array.reshape(1, -1) if array.ndim < 2 else array) for array in checked]
    return implementation.unpack(getattr(implementation, operation)(*native, *options)).reshape(shape)
