"""Operations of branches: concatenating their outputs, and splitting the gradient."""

import numpy as np


def concatenate(xs, dim: int):
    """See `fastcnn.nn.Concat`."""
    shape = list(xs[0].shape)
    shape[dim] = sum(x.shape[dim] for x in xs)
    y = np.empty(shape, xs[0].dtype)
    first = 0
    for x in xs:
        for i in np.ndindex(x.shape):
            y[*i[:dim], first + i[dim], *i[dim + 1 :]] = x[i]
        first += x.shape[dim]
    return y


def concatenate_backward(dy, sizes: tuple[int, ...], dim: int):
    """See `fastcnn.nn.Concat`; splits `dy` into parts of these sizes along an axis."""
    dxs = []
    first = 0
    for size in sizes:
        dx = np.empty((*dy.shape[:dim], size, *dy.shape[dim + 1 :]), dy.dtype)
        for i in np.ndindex(dx.shape):
            dx[i] = dy[*i[:dim], first + i[dim], *i[dim + 1 :]]
        dxs.append(dx)
        first += size
    return dxs
