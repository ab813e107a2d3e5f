"""Activations as layers; the formulas are in `fastcnn.functional`."""

import math

from fastcnn import _validate
from fastcnn.functional.activations import tanh_scales
from fastcnn.nn.module import Module


class ReLU(Module):
    """``max(x, 0)``; see `fastcnn.functional.relu`."""

    replayable = True

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

    Raises
    ------
    TypeError, ValueError
        If `negative_slope` is not a number.
    """

    replayable = True

    def __init__(self, negative_slope: float = 0.01):
        self.negative_slope = _validate.number("negative_slope", negative_slope, -math.inf, math.inf)

    def forward_native(self, x, backend):
        """See `fastcnn.functional.leaky_relu`."""
        self._x = x
        return backend.leaky_relu(x, self.negative_slope)

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.leaky_relu_backward`."""
        return backend.leaky_relu_backward(dy, self._x, self.negative_slope)

    def extra_repr(self) -> str:
        """Slope."""
        return f"negative_slope={self.negative_slope}"


class Tanh(Module):
    """Hyperbolic tangent; see `fastcnn.functional.tanh`."""

    replayable = True

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
        If one is not a positive number.
    """

    replayable = True

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
        """The two numbers."""
        return f"amplitude={self.amplitude:g}, slope={self.slope:g}"


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``; see `fastcnn.functional.sigmoid`."""

    replayable = True

    def forward_native(self, x, backend):
        """See `fastcnn.functional.sigmoid`."""
        self._y = backend.sigmoid(x)
        return self._y

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.sigmoid_backward`."""
        return backend.sigmoid_backward(dy, self._y)
