"""Layers that compute nothing: Flatten, Identity."""

from fastcnn.nn.module import Module


class Flatten(Module):
    """(N, C, H, W) to (N, C * H * W), without a copy.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.Flatten()(np.zeros((2, 3, 4, 5))).shape
    (2, 60)
    """

    def forward_native(self, x, backend):
        """All features of an image in one row."""
        self._shape = x.shape[1:]
        return backend.flatten(x)

    def backward_native(self, dy, backend, input_grad: bool):
        """Give the features their shape back."""
        return backend.unflatten(dy, self._shape)


class Identity(Module):
    """Gives what it is given: a place for a layer that is not there.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.Identity()(np.array([[1.0, 2.0]]))
    array([[1., 2.]])
    """

    def forward_native(self, x, backend):
        """The input itself."""
        return x

    def backward_native(self, dy, backend, input_grad: bool):
        """The gradient itself."""
        return dy
