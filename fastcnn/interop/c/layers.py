"""Write layers as calls of the C functions in float32.c."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastcnn import functional, nn
from fastcnn._geometry import Windows, adaptive_windows
from fastcnn.data import Preprocessing
from fastcnn.interop.c.call import Call, number, windows
from fastcnn.interop.c.steps import Step


def conv(step: Step) -> Call:
    """Write a convolution, with a max-pooling if one follows."""
    layer = step.layer
    constants = {"weight": layer.weight.data, "bias": bias_of(layer)}
    arguments = layer.in_channels, layer.out_channels, layer.groups, *step.pool, windows(conv_windows(step))
    return _call(step, "convolution", *arguments, **constants)


def linear(step: Step) -> Call:
    """Write a linear layer."""
    layer = step.layer
    constants = {"weight": layer.weight.data, "bias": bias_of(layer)}
    return _call(step, "linear", layer.in_features, layer.out_features, **constants)


def max_pool(step: Step) -> Call:
    """Write a max-pooling."""
    return _call(step, "max_pooling", step.x[0].shape[0], windows(pool_windows(step)))


def avg_pool(step: Step) -> Call:
    """Write an average-pooling."""
    return _call(step, "average_pooling", step.x[0].shape[0], divisor(step), windows(pool_windows(step)))


def conv_windows(step: Step) -> Windows:
    """Return the windows of a convolution, which must have zeros around the image, or nothing."""
    w = step.layer.windows(step.x[0].shape[1:])
    if step.layer.padding_mode != "zeros" and max(w.top, w.bottom, w.left, w.right):
        raise ValueError(f"{step.name or '`model`'}: {step.layer} cannot be written as C, which pads with zeros only.")
    return w


def pool_windows(step: Step) -> Windows:
    """Return the windows of a pooling, which must all have the same size."""
    shape = 1, *step.x[0].shape
    found = adaptive_windows(shape[2:], 1) if step.kind is nn.GlobalAvgPool2d else step.layer.windows(shape)
    if isinstance(found, Windows):
        return found
    if found.regular is None:
        raise ValueError(
            f"{step.name or '`model`'}: {step.layer} cannot be written as C for an input of shape {step.x[0].shape}: "
            "its windows have several sizes."
        )
    return found.regular


def divisor(step: Step) -> int:
    """Return what the sums of an average-pooling are divided by; 0 stands for the number of pixels in each window."""
    w = pool_windows(step)
    ones, options = np.ones((1, 1, w.H, w.W)), ((w.KH, w.KW), (w.SH, w.SW), (w.top, w.bottom, w.left, w.right))
    ceil_mode = getattr(step.layer, "ceil_mode", False)
    pixels = functional.avg_pool2d(ones, *options, ceil_mode, divisor_override=1, backend="numpy")
    means = step.compute(np.ones((1, *step.x[0].shape)))[0, 0].reshape(pixels.shape)
    divisors = np.rint(pixels / means).astype(int)
    if (divisors == pixels).all() and pixels.min() < pixels.max():
        return 0
    if divisors.min() < divisors.max():
        raise ValueError(
            f"{step.name or '`model`'}: {step.layer} cannot be written as C for an input of shape {step.x[0].shape}: "
            "it divides the sums of windows at the edge by another number than the others."
        )
    return int(divisors.flat[0])


def bias_of(layer: Any) -> np.ndarray:
    """Return the bias of a layer, zeros if it has none."""
    return layer.bias.data if layer.bias else np.zeros(len(layer.weight.data), np.float32)


def standardize(step: Step) -> Call:
    """Write the preprocessing."""
    with np.errstate(over="ignore"):
        mean, std = (np.multiply(255, values, dtype=np.float32) for values in (step.layer.mean, step.layer.std))
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and std.all()):
        raise ValueError(f"{step.layer} cannot be written as C, because it has numbers beyond the range of float32.")
    return _call(step, "standardize", *step.x[0].shape, step.layer.size, mean=mean, deviation=std)


def resize_channels(step: Step) -> Call:
    """Write the removal of channels, or channels of zeros."""
    return _call(step, "resize", min(step.x[0].size, step.y.size), step.y.size)


def softmax(step: Step) -> Call:
    """Write a softmax along an axis."""
    return _call(step, "softmax", *softmax_arguments(step), in_place=True)


def softmax_arguments(step: Step) -> tuple[int, int, int]:
    """Return the sizes before, along and behind the axis of a softmax."""
    shape = step.x[0].shape
    axis = step.layer.dim % (len(shape) + 1) - 1
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


def _each(function: str, *options: Any) -> Callable[[Step], Call]:
    """Return the writer of an activation; an option is a number, or the name of an attribute of the layer."""

    def write(step: Step) -> Call:
        values = [getattr(step.layer, option) if isinstance(option, str) else option for option in options]
        if max(map(abs, values), default=0) > float(np.finfo(np.float32).max):
            raise ValueError(
                f"{step.name or '`model`'}: {step.layer} cannot be written as C, because float32 has no number as "
                f"large as {max(values, key=abs)}."
            )
        return _call(step, function, step.y.size, *map(number, values), in_place=True)

    return write


def _gelu(step: Step) -> Call:
    return _each("gelu_tanh" if step.layer.approximate == "tanh" else "gelu")(step)


def _call(step: Step, function: str, *arguments: Any, in_place: bool = False, **constants: np.ndarray) -> Call:
    return Call(step.name, step.title, function, step.x, step.y, constants, tuple(map(str, arguments)), in_place)


WRITERS: dict[type, Callable[[Step], Call]] = {
    Preprocessing: standardize,
    nn.AdaptiveAvgPool1d: avg_pool,
    nn.AdaptiveAvgPool2d: avg_pool,
    nn.AdaptiveMaxPool1d: max_pool,
    nn.AdaptiveMaxPool2d: max_pool,
    nn.AvgPool1d: avg_pool,
    nn.AvgPool2d: avg_pool,
    nn.Conv1d: conv,
    nn.Conv2d: conv,
    nn.ELU: _each("elu", "alpha"),
    nn.GELU: _gelu,
    nn.GlobalAvgPool2d: avg_pool,
    nn.Hardswish: _each("hardswish"),
    nn.LeakyReLU: _each("leaky_relu", "negative_slope"),
    nn.Linear: linear,
    nn.MaxPool1d: max_pool,
    nn.MaxPool2d: max_pool,
    nn.Mish: _each("mish"),
    nn.ReLU: _each("relu"),
    nn.Residual: lambda step: _call(step, "add", step.y.size, in_place=True),
    nn.ResizeChannels: resize_channels,
    nn.ScaledTanh: _each("scaled_tanh", "amplitude", "slope"),
    nn.SiLU: _each("silu"),
    nn.Sigmoid: _each("sigmoid"),
    nn.Softmax: softmax,
    nn.Softplus: _each("softplus", "beta", "threshold"),
    nn.Tanh: _each("scaled_tanh", 1, 1),
}
"""Kind of a step -> function that writes it as a call."""
