"""Operations of branches: concatenating their outputs, and splitting the gradient."""

import numpy as np


def concatenate(xs, dim: int):
    """See `fastcnn.nn.Concat`."""
    return np.concatenate(xs, dim)


def concatenate_backward(dy, sizes: tuple[int, ...], dim: int):
    """See `fastcnn.nn.Concat`; splits `dy` into parts of these sizes along an axis."""
    return [np.ascontiguousarray(dx) for dx in np.split(dy, np.cumsum(sizes[:-1]), dim)]
