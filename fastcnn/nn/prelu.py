"""ReLU with learned slopes."""

import numpy as np

from fastcnn import _validate
from fastcnn.nn.init import parameter
from fastcnn.nn.module import Module


class PReLU(Module):
    """``x``, or ``weight * x`` where ``x`` is negative, with learned slopes; see `fastcnn.functional.prelu`.

    Weight decay pulls the slopes to 0, where the layer is a ReLU. Train them without it.

    Parameters
    ----------
    num_parameters : int, default 1
        1 for one slope, or the number of input channels for a slope for each channel.
    init : float, default 0.25
        Initial value of the slopes.
    dtype : float32 or float64, default float32
        Dtype of the parameters, and so of the input.

    Attributes
    ----------
    weight : Parameter of shape (num_parameters,)

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range; when called, if the input has another number of channels.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> layer = nn.PReLU(dtype=np.float64)
    >>> layer(np.array([[-4.0, 3.0]]))
    array([[-1.,  3.]])
    >>> layer.backward(np.array([[1.0, 1.0]])), layer.weight.grad
    (array([[0.25, 1.  ]]), array([-4.]))
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, *, dtype=np.float32):
        self.num_parameters = _validate.count("num_parameters", num_parameters)
        self.init = _validate.number("init", init)
        self.dtype = np.dtype(dtype)
        self.weight = parameter((self.num_parameters,), dtype)
        self.weight.data[...] = self.init

    def forward_native(self, x, backend):
        """See `fastcnn.functional.prelu`."""
        self._x = x
        return backend.prelu(x, self._slopes(x))

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.prelu_backward`."""
        dx, dweight = backend.prelu_backward(dy, self._x, self._slopes(self._x), input_grad, self.learns())
        self.weight.accumulate(dweight)
        return dx

    def _slopes(self, x) -> np.ndarray:
        """Return the slopes, or raise an error if they or the input do not fit."""
        if self.num_parameters not in (1, x.shape[1]):
            raise ValueError(f"{self} needs {self.num_parameters} channels but its input has shape {x.shape}.")
        if x.dtype != self.dtype:
            raise TypeError(
                f"{self} is {self.dtype} but its input is {x.dtype}; convert it with .astype(np.{self.dtype})."
            )
        self.check_arrays(x.dtype, weight=(self.num_parameters,))
        return np.ascontiguousarray(self.weight.data)

    def extra_repr(self) -> str:
        """Return `num_parameters` for the repr."""
        return f"num_parameters={self.num_parameters}"
