"""The operations of a net in 8-bit integers: each as a call of a C function in int8.c, and the same in NumPy.

Sums of products of integers are computed in float64, where they are exact.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from fastcnn import functional, nn
from fastcnn.interop.c.call import Call, number, windows
from fastcnn.interop.c.encoding import Encoding, fixed_point, rescaled
from fastcnn.interop.c.inputs import Floats, Pixels
from fastcnn.interop.c.layers import bias_of, conv_windows, divisor, pool_windows, softmax_arguments
from fastcnn.interop.c.steps import Array, Step
from fastcnn.nn import Parameter

Encodings = Mapping[int, Encoding]
"""The encoding of each activation, by its number."""


class Operation(NamedTuple):
    """A call of a C function, and a function that computes the same for batches of its inputs."""

    call: Call
    compute: Callable[..., np.ndarray]


def weighted(step: Step, encodings: Encodings) -> Operation:
    """Make a convolution, with a max-pooling if one follows, or a linear layer; each filter has a scale of its own."""
    layer, x, y = step.layer, encodings[step.x[0].number], encodings[step.y.number]
    weight, bias = layer.weight.data.astype(np.float64), bias_of(layer).astype(np.float64)
    rows = weight.reshape(len(weight), -1)
    scale = np.maximum(np.abs(rows).max(1) / 127, np.abs(bias) / (x.scale * 2**30))  # the bias must fit, too
    scale[scale == 0] = 1
    taps, starts = np.rint(rows / scale[:, None]), np.rint(bias / (x.scale * scale))
    if (np.abs(taps).sum(1) * 255 + np.abs(starts)).max() >= 2**31:
        raise ValueError(f"{step.name or '`model`'}: {layer} has too many weights for sums in 32 bits.")
    multiplier, shift = fixed_point(x.scale * scale / y.scale)
    twin = copy.copy(layer)
    twin.weight, twin.bias = Parameter(taps.reshape(weight.shape)), Parameter(starts)
    exact, per_channel = step._replace(layer=twin), (-1, *(1,) * (len(step.y.shape) - 1))

    def compute(q: np.ndarray) -> np.ndarray:
        sums = exact.compute(x.offset(q)).astype(np.int64)
        return rescaled(sums * multiplier.reshape(per_channel), shift.reshape(per_channel), y.zero)

    function: str = "linear" if step.kind is nn.Linear else "convolution"
    sizes: tuple = layer.weight.data.shape[::-1]
    if step.kind is not nn.Linear:
        sizes = layer.in_channels, layer.out_channels, layer.groups, *step.pool, windows(conv_windows(step))
    constants = {
        "weight": taps.reshape(weight.shape).astype(np.int8),
        "bias": starts.astype(np.int32),
        "multiplier": multiplier,
        "shift": shift,
    }
    return Operation(_call(step, function, x.zero, y.zero, *sizes, **constants), compute)


def max_pool(step: Step, encodings: Encodings) -> Operation:
    """Make a max-pooling, whose output has the encoding of the input."""
    call = _call(step, "max_pooling", step.x[0].shape[0], windows(pool_windows(step)))
    return Operation(call, lambda q: step.compute(q.astype(np.float64)).astype(np.uint8))


def avg_pool(step: Step, encodings: Encodings) -> Operation:
    """Make an average-pooling."""
    x, y, w, by = encodings[step.x[0].number], encodings[step.y.number], pool_windows(step), divisor(step)
    if by == 0:
        raise ValueError(
            f"{step.name or '`model`'}: {step.layer} cannot be written in int8, because its windows have several "
            "numbers of pixels."
        )
    multiplier, shift = fixed_point(x.scale / y.scale / by)
    options = (w.KH, w.KW), (w.SH, w.SW), (w.top, w.bottom, w.left, w.right), getattr(step.layer, "ceil_mode", False)

    def compute(q: np.ndarray) -> np.ndarray:
        images = x.offset(q).reshape(len(q), -1, w.H, w.W)
        sums = functional.avg_pool2d(images, *options, divisor_override=1, backend="numpy").astype(np.int64)
        return rescaled(sums * multiplier, shift, y.zero).reshape(len(q), *step.y.shape)

    call = _call(step, "average_pooling", x.zero, y.zero, multiplier, shift, step.x[0].shape[0], windows(w))
    return Operation(call, compute)


def add(step: Step, encodings: Encodings) -> Operation:
    """Make the sum of a residual connection."""
    a, b, y = (encodings[array.number] for array in (*step.x, step.y))
    (first, second), shift = fixed_point(np.array([a.scale, b.scale]) / y.scale, max(a.scale, b.scale) / y.scale)

    def compute(q: np.ndarray, past: np.ndarray) -> np.ndarray:
        q, past = (each.reshape(len(q), *step.y.shape) for each in (q, past))
        return rescaled(a.offset(q) * first + b.offset(past) * second, shift, y.zero)

    arguments = step.y.size, a.zero, b.zero, y.zero, first, second, shift
    return Operation(_call(step, "add", *arguments, in_place=True), compute)


def resize_channels(step: Step, encodings: Encodings) -> Operation:
    """Make the removal of channels, or channels of zeros; the output has the encoding of the input."""
    x = encodings[step.x[0].number]
    call = _call(step, "resize", min(step.x[0].size, step.y.size), step.y.size, x.zero)
    return Operation(call, lambda q: (step.compute(x.offset(q)) + x.zero).astype(np.uint8))


def lookup(step: Step, encodings: Encodings) -> Operation:
    """Make an activation as a table of its values for all 256 inputs."""
    x, y = encodings[step.x[0].number], encodings[step.y.number]
    single = step._replace(x=(Array(0, (1,)),), y=Array(1, (1,)))
    table = y.encode(single.compute(x.decode(np.arange(256)[:, None])))[:, 0]
    call = _call(step, "lookup", step.y.size, in_place=True, table=table)
    return Operation(call, lambda q: table[q].reshape(len(q), *step.y.shape))


def take_pixels(step: Step, encodings: Encodings) -> Operation:
    """Make the first operation of a net with preprocessing."""
    pixels = step.layer
    sizes = *step.x[0].shape, pixels.side, *step.y.shape[1:], pixels.top, pixels.left
    call = _call(step, "take_pixels", *sizes, border=np.array(pixels.border, np.uint8))
    return Operation(call, pixels)


def quantize(step: Step, encodings: Encodings) -> Operation:
    """Make the first operation of a net that takes floats."""
    y = encodings[step.y.number]
    return Operation(_call(step, "quantize", step.y.size, number(y.scale), y.zero), y.encode)


def dequantize(x: Array, y: Array, encoding: Encoding) -> Operation:
    """Make the operation that returns floats."""
    arguments = str(x.size), number(encoding.scale), str(encoding.zero)
    call = Call("", "output, as floats", "dequantize", (x,), y, {}, arguments)
    return Operation(call, lambda q: encoding.decode(q).reshape(len(q), *y.shape))


def softmax(step: Step) -> Operation:
    """Make the softmax of a float output."""
    return Operation(_call(step, "softmax", *softmax_arguments(step), in_place=True), step.compute)


def _call(step: Step, function: str, *arguments: Any, in_place: bool = False, **constants: np.ndarray) -> Call:
    return Call(step.name, step.title, function, step.x, step.y, constants, tuple(map(str, arguments)), in_place)


MAKERS: dict[type, Callable[[Step, Encodings], Operation]] = {
    Floats: quantize,
    Pixels: take_pixels,
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Linear), weighted),
    **dict.fromkeys((nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.MaxPool1d, nn.MaxPool2d), max_pool),
    **dict.fromkeys(
        (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AvgPool1d, nn.AvgPool2d, nn.GlobalAvgPool2d), avg_pool
    ),
    nn.Residual: add,
    nn.ResizeChannels: resize_channels,
    **dict.fromkeys(
        (
            nn.ELU,
            nn.GELU,
            nn.Hardswish,
            nn.LeakyReLU,
            nn.Mish,
            nn.ReLU,
            nn.ScaledTanh,
            nn.SiLU,
            nn.Sigmoid,
            nn.Softplus,
            nn.Tanh,
        ),
        lookup,
    ),
}
"""Kind of a step -> function that makes it an operation in integers."""

SAME = max_pool, resize_channels, take_pixels
"""Those whose output has the encoding of the input."""

CUTTING = weighted, avg_pool, add
"""Those that cut off what is below the smallest number of the output, and so can do the work of a ReLU after them."""
