"""Activation layers; `fastcnn.functional` has the formulas."""

from typing import Any

from fastcnn import _validate
from fastcnn.functional.activations import softplus_options, tanh_scales
from fastcnn.nn.module import Module


def inplace_repr(layer: Any, *options: str) -> str:
    """Join the options that a layer's repr shows, with ``inplace=True`` at the end if it is set."""
    return ", ".join([*options, *(["inplace=True"] if layer.inplace else [])])


class ReLU(Module):
    """``max(x, 0)``; see `fastcnn.functional.relu`.

    Parameters
    ----------
    inplace : bool, default False
        Accepted for compatibility with PyTorch. fastcnn computes the same way with and without it.

    Raises
    ------
    TypeError
        If `inplace` is not True or False.
    """

    def __init__(self, inplace: bool = False):
        self.inplace = _validate.flag("inplace", inplace)

    def extra_repr(self) -> str:
        """Return `inplace` for the repr, if it is set."""
        return inplace_repr(self)

    def forward_native(self, x, backend):
        """See `fastcnn.functional.relu`."""
        self._y = backend.relu(x)
        return self._y

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.relu_backward`."""
        return backend.relu_backward(dy, self._y)


class LeakyReLU(Module):
    """``x``, or ``negative_slope * x`` where it is negative; see `fastcnn.functional.leaky_relu`.

    Parameters
    ----------
    negative_slope : float, default 0.01
    inplace : bool, default False
        Accepted for compatibility with PyTorch. fastcnn computes the same way with and without it.

    Raises
    ------
    TypeError, ValueError
        If `negative_slope` is not a finite number, or `inplace` is not True or False.
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False):
        self.negative_slope = _validate.number("negative_slope", negative_slope)
        self.inplace = _validate.flag("inplace", inplace)

    def forward_native(self, x, backend):
        """See `fastcnn.functional.leaky_relu`."""
        self._x = x
        return backend.leaky_relu(x, self.negative_slope)

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.leaky_relu_backward`."""
        return backend.leaky_relu_backward(dy, self._x, self.negative_slope)

    def extra_repr(self) -> str:
        """Return `negative_slope` for the repr, and `inplace` if it is set."""
        return inplace_repr(self, f"negative_slope={self.negative_slope}")


class Tanh(Module):
    """Hyperbolic tangent; see `fastcnn.functional.tanh`."""

    def forward_native(self, x, backend):
        """See `fastcnn.functional.tanh`."""
        self._y = backend.tanh(x)
        return self._y

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.tanh_backward`."""
        return backend.tanh_backward(dy, self._y)


class ScaledTanh(Module):
    """``amplitude * tanh(slope * x)``; see `fastcnn.functional.scaled_tanh`.

    Parameters
    ----------
    amplitude, slope : float, default 1.7159 and 2 / 3

    Raises
    ------
    TypeError, ValueError
        If either is not a positive number.
    """

    def __init__(self, amplitude: float = 1.7159, slope: float = 2 / 3):
        self.amplitude, self.slope = tanh_scales(amplitude, slope)

    def forward_native(self, x, backend):
        """See `fastcnn.functional.scaled_tanh`."""
        self._y = backend.scaled_tanh(x, self.amplitude, self.slope)
        return self._y

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.scaled_tanh_backward`."""
        return backend.scaled_tanh_backward(dy, self._y, self.amplitude, self.slope)

    def extra_repr(self) -> str:
        """Return `amplitude` and `slope` for the repr."""
        return f"amplitude={self.amplitude:g}, slope={self.slope:g}"


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``; see `fastcnn.functional.sigmoid`."""

    def forward_native(self, x, backend):
        """See `fastcnn.functional.sigmoid`."""
        self._y = backend.sigmoid(x)
        return self._y

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.sigmoid_backward`."""
        return backend.sigmoid_backward(dy, self._y)


class GELU(Module):
    """``x`` times the probability that a standard normal variable is below ``x``; see `fastcnn.functional.gelu`.

    Parameters
    ----------
    approximate : {"none", "tanh"}, default "none"
        Whether to use the exact formula ("none") or its tanh approximation.

    Raises
    ------
    ValueError
        If `approximate` is unknown.
    """

    def __init__(self, approximate: str = "none"):
        self.approximate = _validate.choice("approximate", approximate, ("none", "tanh"))

    def forward_native(self, x, backend):
        """See `fastcnn.functional.gelu`."""
        self._x = x
        return backend.gelu(x, self.approximate)

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.gelu_backward`."""
        return backend.gelu_backward(dy, self._x, self.approximate)

    def extra_repr(self) -> str:
        """Return `approximate` for the repr."""
        return f"approximate={self.approximate!r}"


class SiLU(Module):
    """``x * sigmoid(x)``; see `fastcnn.functional.silu`.

    Parameters
    ----------
    inplace : bool, default False
        Accepted for compatibility with PyTorch. fastcnn computes the same way with and without it.

    Raises
    ------
    TypeError
        If `inplace` is not True or False.
    """

    def __init__(self, inplace: bool = False):
        self.inplace = _validate.flag("inplace", inplace)

    def extra_repr(self) -> str:
        """Return `inplace` for the repr, if it is set."""
        return inplace_repr(self)

    def forward_native(self, x, backend):
        """See `fastcnn.functional.silu`."""
        self._x = x
        return backend.silu(x)

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.silu_backward`."""
        return backend.silu_backward(dy, self._x)


class ELU(Module):
    """``x``, or ``alpha * (exp(x) - 1)`` where it is negative; see `fastcnn.functional.elu`.

    Parameters
    ----------
    alpha : float, default 1
    inplace : bool, default False
        Accepted for compatibility with PyTorch. fastcnn computes the same way with and without it.

    Raises
    ------
    TypeError, ValueError
        If `alpha` is not a finite number, or `inplace` is not True or False.
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False):
        self.alpha = _validate.number("alpha", alpha)
        self.inplace = _validate.flag("inplace", inplace)

    def forward_native(self, x, backend):
        """See `fastcnn.functional.elu`."""
        self._x = x
        return backend.elu(x, self.alpha)

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.elu_backward`."""
        return backend.elu_backward(dy, self._x, self.alpha)

    def extra_repr(self) -> str:
        """Return `alpha` for the repr, and `inplace` if it is set."""
        return inplace_repr(self, f"alpha={self.alpha}")


class Hardswish(Module):
    """``x * (x + 3) / 6`` from -3 to 3, 0 below and ``x`` above; see `fastcnn.functional.hardswish`.

    Parameters
    ----------
    inplace : bool, default False
        Accepted for compatibility with PyTorch. fastcnn computes the same way with and without it.

    Raises
    ------
    TypeError
        If `inplace` is not True or False.
    """

    def __init__(self, inplace: bool = False):
        self.inplace = _validate.flag("inplace", inplace)

    def extra_repr(self) -> str:
        """Return `inplace` for the repr, if it is set."""
        return inplace_repr(self)

    def forward_native(self, x, backend):
        """See `fastcnn.functional.hardswish`."""
        self._x = x
        return backend.hardswish(x)

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.hardswish_backward`."""
        return backend.hardswish_backward(dy, self._x)


class Softplus(Module):
    """``log(1 + exp(beta * x)) / beta``; see `fastcnn.functional.softplus`.

    Parameters
    ----------
    beta : float, default 1
        A positive number.
    threshold : float, default 20
        Where ``beta * x`` is above `threshold`, the output is ``x``.

    Raises
    ------
    TypeError, ValueError
        If `beta` is not a positive number, or `threshold` is not a finite number.
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        self.beta, self.threshold = softplus_options(beta, threshold)

    def forward_native(self, x, backend):
        """See `fastcnn.functional.softplus`."""
        self._x = x
        return backend.softplus(x, self.beta, self.threshold)

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.softplus_backward`."""
        return backend.softplus_backward(dy, self._x, self.beta, self.threshold)

    def extra_repr(self) -> str:
        """Return `beta` and `threshold` for the repr."""
        return f"beta={self.beta}, threshold={self.threshold}"


class Mish(Module):
    """``x * tanh(softplus(x))``; see `fastcnn.functional.mish`.

    Parameters
    ----------
    inplace : bool, default False
        Accepted for compatibility with PyTorch. fastcnn computes the same way with and without it.

    Raises
    ------
    TypeError
        If `inplace` is not True or False.
    """

    def __init__(self, inplace: bool = False):
        self.inplace = _validate.flag("inplace", inplace)

    def extra_repr(self) -> str:
        """Return `inplace` for the repr, if it is set."""
        return inplace_repr(self)

    def forward_native(self, x, backend):
        """See `fastcnn.functional.mish`."""
        self._x = x
        return backend.mish(x)

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.mish_backward`."""
        return backend.mish_backward(dy, self._x)


class Softmax(Module):
    """Probabilities that sum to 1 along one axis; see `fastcnn.functional.softmax`.

    To train a classifier, end the model with logits instead and use `CrossEntropyLoss`, which includes the softmax.

    Parameters
    ----------
    dim : int, default 1
        Axis of the classes: by default the channels of images (N, C, H, W) or the features of rows (N, features). It
        cannot be the batch axis.

    Raises
    ------
    TypeError, ValueError
        If `dim` is not a whole number or is 0; when called, if the input has no such axis.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.Softmax()(np.array([[5.0, 5.0], [0.0, 1000.0]]))
    array([[0.5, 0.5],
           [0. , 1. ]])
    """

    def __init__(self, dim: int = 1):
        self.dim = _validate.whole("dim", dim)
        if self.dim == 0:
            raise ValueError("`dim` must not be 0, the batch axis: the images of a batch are independent.")

    def forward_native(self, x, backend):
        """See `fastcnn.functional.softmax`."""
        axes = len(x.shape)
        if not -axes < self.dim < axes:
            raise ValueError(
                f"{self} needs an axis {self.dim} after the batch axis, but its input has shape {x.shape}."
            )
        self._axis = self.dim % axes
        self._y = backend.softmax(x, self._axis)
        return self._y

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.softmax_backward`."""
        return backend.softmax_backward(dy, self._y, self._axis)

    def extra_repr(self) -> str:
        """Return `dim` for the repr."""
        return f"dim={self.dim}"
