"""What branches need: their outputs side by side, and the gradient in parts again."""

import numpy as np


def concatenate(xs, dim: int):
    """See `fastcnn.nn.Concat`."""
    return np.concatenate(xs, dim)


def concatenate_backward(dy, sizes: tuple[int, ...], dim: int):
    """See `fastcnn.nn.Concat`: the parts of `dy`, so large along the axis."""
    return [np.ascontiguousarray(dx) for dx in np.split(dy, np.cumsum(sizes[:-1]), dim)]
