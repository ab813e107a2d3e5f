"""Layers that compute nothing: Flatten, Unflatten, Identity."""

import math
from collections.abc import Sequence

from fastcnn import _validate
from fastcnn.nn.module import Module


class Flatten(Module):
    """(N, C, H, W) to (N, C * H * W), without a copy.

    Parameters
    ----------
    start_dim : 1
    end_dim : -1 or 3
        First and last axis to flatten. No other values are supported: each image becomes one row.

    Raises
    ------
    TypeError, ValueError
        If either is something else.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.Flatten()(np.zeros((2, 3, 4, 5))).shape
    (2, 60)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        self.start_dim, self.end_dim = _validate.whole("start_dim", start_dim), _validate.whole("end_dim", end_dim)
        if self.start_dim != 1 or self.end_dim not in (-1, 3):
            raise ValueError(
                f"`start_dim` and `end_dim` are {start_dim} and {end_dim} but must be 1 and -1: Flatten makes one row "
                "of each image; `x.reshape` makes other arrays outside of a model."
            )

    def forward_native(self, x, backend):
        """Put all features of an image in one row."""
        self._shape = x.shape[1:]
        return backend.flatten(x)

    def backward_native(self, dy, backend, input_grad: bool):
        """Restore the shape of the features."""
        return backend.unflatten(dy, self._shape)


class Unflatten(Module):
    """(N, C * H * W) to (N, C, H, W), without a copy: each row becomes an image.

    Parameters
    ----------
    dim : 1 or -1
        Axis to unflatten.
    unflattened_size : (int, int, int)
        (C, H, W). One of them may be -1; its size is then inferred.

    Raises
    ------
    TypeError, ValueError
        If an argument is something else; when called, if the input is not rows with that number of features.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.Unflatten(1, (3, 4, 5))(np.zeros((2, 60))).shape
    (2, 3, 4, 5)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]):
        self.dim = _validate.whole("dim", dim)
        if self.dim not in (1, -1):
            raise ValueError(f"`dim` is {dim} but must be 1: Unflatten makes an image of each row.")
        if not isinstance(unflattened_size, Sequence) or len(unflattened_size) != 3:
            raise TypeError(f"`unflattened_size` must be (C, H, W), not {unflattened_size!r}.")
        size = tuple(_validate.whole(f"unflattened_size[{i}]", n) for i, n in enumerate(unflattened_size))
        if size.count(-1) > 1 or min(n for n in (*size, 1) if n != -1) < 1:
            raise ValueError(f"`unflattened_size` is {size} but must be sizes of at least 1, one of which may be -1.")
        self.unflattened_size = size

    def forward_native(self, x, backend):
        """Reshape each row to an image."""
        size, features = self.unflattened_size, x.shape[1]
        if -1 in size:
            rest = -math.prod(size)
            size = tuple(features // rest if n == -1 else n for n in size)
        if len(x.shape) != 2 or math.prod(size) != features:
            raise ValueError(f"{self} cannot take an input of shape {x.shape}.")
        return backend.unflatten(x, size)

    def backward_native(self, dy, backend, input_grad: bool):
        """Put all features of an image in one row."""
        return backend.flatten(dy)

    def extra_repr(self) -> str:
        """Return `dim` and `unflattened_size` for the repr."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class Identity(Module):
    """Return the input unchanged, as a placeholder for a layer.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.Identity()(np.array([[1.0, 2.0]]))
    array([[1., 2.]])
    """

    def forward_native(self, x, backend):
        """Return the input itself."""
        return x

    def backward_native(self, dy, backend, input_grad: bool):
        """Return the gradient itself."""
        return dy
