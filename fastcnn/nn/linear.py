"""The fully connected layer."""

import numpy as np

from fastcnn import _validate
from fastcnn.nn import init
from fastcnn.nn.module import Module


class Linear(Module):
    """Fully connected layer, ``x @ weight.T + bias``; see `fastcnn.functional.linear`.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool, default True
        Whether to add a learned bias to each output.
    rng : numpy.random.Generator, optional
        Draws the initial weights (see `fastcnn.nn.init.kaiming_uniform_`); by default a new generator.
    dtype : {float32, float64}
        Dtype of the parameters, and so of the input.

    Attributes
    ----------
    weight : Parameter of shape (out_features, in_features)
    bias : Parameter of shape (out_features,), or None

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.Linear(84, 10, rng=np.random.default_rng(0))(np.zeros((8, 84), np.float32)).shape
    (8, 10)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        rng: np.random.Generator | None = None,
        dtype=np.float32,
    ):
        self.in_features = _validate.count("in_features", in_features)
        self.out_features = _validate.count("out_features", out_features)
        self.weight = init.parameter((out_features, in_features), dtype)
        self.bias = init.parameter((out_features,), dtype) if _validate.flag("bias", bias) else None
        init.default_(self.weight, self.bias, init.generator(rng))

    def forward_native(self, x, backend, *, relu: bool = False):
        """See `fastcnn.functional.linear`; for ``relu``, see `fastcnn.nn.fusion`."""
        if len(x.shape) != 2 or x.shape[1] != self.in_features or x.dtype != self.weight.dtype:
            self._explain(x)
        self._check_parameters(x.dtype)
        self._x = x
        operation = backend.linear_relu if relu else backend.linear
        return operation(x, self.weight.data, self.bias and self.bias.data)

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.linear_backward`."""
        self._check_parameters(dy.dtype)
        dx, dweight, dbias = backend.linear_backward(dy, self._x, self.weight.data, input_grad, self.learns())
        self.weight.accumulate(dweight)
        if self.bias:
            self.bias.accumulate(dbias)
        return dx

    def _check_parameters(self, dtype) -> None:
        self.check_arrays(dtype, weight=(self.out_features, self.in_features), bias=(self.out_features,))

    def multiply_adds(self, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> int:
        """Return one multiply-add for each weight."""
        return self.weight.size

    def _explain(self, x) -> None:
        """Raise an error that describes what does not fit."""
        if len(x.shape) != 2:
            raise ValueError(f"{self} needs rows (N, features) but its input has shape {x.shape}; Flatten makes rows.")
        if x.shape[1] != self.in_features:
            raise ValueError(f"{self} needs {self.in_features} input features but its input has shape {x.shape}.")
        dtype = self.weight.dtype
        raise TypeError(
            f"{self} has {dtype} parameters but its input is {x.dtype}; convert it with .astype(np.{dtype})."
        )

    def extra_repr(self) -> str:
        """Return features, and ``bias=False`` if there is no bias, for the repr."""
        bias = "" if self.bias else ", bias=False"
        return f"in_features={self.in_features}, out_features={self.out_features}{bias}"
