"""Read several operators that together are one layer."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastcnn import functional, nn
from fastcnn.interop.onnx.graph import Graph, Layer
from fastcnn.interop.onnx.layers import WRITERS
from fastcnn.interop.onnx.operators import (
    At,
    Found,
    batch_norm,
    conv,
    conv_transpose,
    is_per_channel,
    linear,
    max_pool,
    number,
    pool_options,
    slide,
)

_X = "x"  # in a pattern, the input of the layer; other names are constants
Pattern = str | tuple  # a name, or a tuple of an operator and the patterns of its inputs


def read_pattern(at: At) -> Found | None:
    """Read the operators that end here as one layer; None if no pattern matches."""
    for pattern, layers in PATTERNS:
        names: dict[str, str] = {}
        read: set[str] = set()
        if _fits(at, pattern, at.name, names, read):
            x = names.pop(_X)
            constants = {name: at.content.arrays[value] for name, value in names.items()}
            for layer in layers(at._replace(read=frozenset(read)), at.content.shapes[x], **constants):
                return [layer], x, read
    return None


def _parts(at: At, operator: str) -> list[At]:
    """Return the operators of a kind that a pattern has matched."""
    parts = (at._replace(name=name) for name in at.read)
    return [part for part in parts if part.node.operator == operator]


def _fits(at: At, pattern: Pattern, value: str, names: dict[str, str], read: set[str]) -> bool:
    """Whether a value matches a pattern; on a match, add the values of its names to `names`, operators to `read`."""
    if isinstance(pattern, str):
        is_constant = value in at.content.arrays
        return is_constant == (pattern != _X) and names.setdefault(pattern, value) == value
    node = at.content.nodes.get(value)
    if node is None or node.operator != pattern[0] or len(node.inputs) != len(pattern) - 1:
        return False
    orders = [node.inputs, node.inputs[::-1]] if node.operator in ("Add", "Mul") else [node.inputs]
    for inputs in orders:
        tried, found = dict(names), {*read, value}
        if all(_fits(at, part, name, tried, found) for part, name in zip(pattern[1:], inputs, strict=True)):
            names.update(tried)
            read.update(found)
            return True
    return False


def _writes(layer: nn.Module, x: tuple[int, ...], **constants: np.ndarray) -> bool:
    """Whether a layer is written with exactly these constants, for an input of this shape."""
    graph = Graph(np.float64)
    WRITERS[type(layer)](layer, Layer(graph, "", x[1:]), _X)
    expected = {name: graph.arrays.get(name, np.empty(0)) for name in constants}
    return all(
        np.size(array) == expected[name].size and np.allclose(array.ravel(), expected[name].ravel(), 1e-6, 0)
        for name, array in constants.items()
    )


def _gelu(at: At, x: tuple[int, ...], **constants: np.ndarray) -> Iterator[nn.Module]:
    """GELU, in either approximation."""
    yield from (layer for layer in (nn.GELU(), nn.GELU("tanh")) if _writes(layer, x, **constants))


def _gelu_of_quotient(at: At, x: tuple[int, ...], quotient: np.ndarray, **constants: np.ndarray) -> Iterator[nn.Module]:
    """GELU that divides by sqrt(2) instead of multiplying with its inverse."""
    return _gelu(at, x, slope=1 / quotient, **constants)


def _scaled_tanh(at: At, x: tuple[int, ...], amplitude: np.ndarray, slope: np.ndarray) -> Iterator[nn.Module]:
    """``amplitude * tanh(slope * x)`` with scalar factors."""
    if amplitude.size == slope.size == 1:
        yield nn.ScaledTanh(amplitude.item(), slope.item())


def _softplus(at: At, x: tuple[int, ...], beta=None, threshold=None) -> Iterator[nn.Module]:
    """Softplus, with or without `beta` and `threshold`."""
    given = {"beta": beta, "threshold": threshold}
    if all(value is None or value.size == 1 for value in given.values()):
        yield nn.Softplus(**{name: number(value) for name, value in given.items() if value is not None})


def _group_norm(at: At, x: tuple[int, ...], groups, ones, zeros, shape, weight=None, bias=None) -> Iterator[nn.Module]:
    """Group normalization: groups of channels are reshaped to rows, normalized, and reshaped back."""
    C, G = x[1], len(ones)
    if at.shape != x or C % G or groups.tolist()[1] != G or not (ones == 1).all() or zeros.any():
        return
    (norm,) = _parts(at, "InstanceNormalization")
    eps = number(norm.option("epsilon", 1e-5))
    layer = nn.GroupNorm(G, C, eps, weight is not None, dtype=at.content.dtype)
    if weight is not None:
        if not (is_per_channel(weight, x) and is_per_channel(bias, x)):
            return
        layer.load_state_dict({"weight": weight.ravel(), "bias": bias.ravel()})
    yield layer


def _global_avg_pool(at: At, x: tuple[int, ...], **constants: np.ndarray) -> Iterator[nn.Module]:
    """Mean over all pixels, as a row (N, C)."""
    if len(x) == 4 and at.shape == x[:2]:
        yield nn.GlobalAvgPool2d()


def _softmax(at: At, x: tuple[int, ...], shape: np.ndarray) -> Iterator[nn.Module]:
    """Softmax over the channels of 1x1 images, as older files write it."""
    (rows,) = _parts(at, "Softmax")
    if at.shape == x and rows.shape == x[:2] and rows.option("axis", -1) in (-1, 1):
        yield nn.Softmax(1)


def _statistics_of_batch(at: At, x: tuple[int, ...], eps, weight, bias) -> Iterator[nn.Module]:
    """Batch normalization without running statistics."""
    across = [0, *range(2, len(x))]  # all axes but that of the channels
    for mean in _parts(at, "ReduceMean"):
        if sorted(axis % len(x) for axis in mean.option("axes", ())) != across or not mean.option("keepdims", 1):
            return
    if at.shape != x or eps.size != 1 or not (is_per_channel(weight, x) and is_per_channel(bias, x)):
        return
    kind = nn.BatchNorm2d if len(x) == 4 else nn.BatchNorm1d
    layer = kind(x[1], number(eps), track_running_stats=False, dtype=at.content.dtype)
    layer.load_state_dict({"weight": weight.ravel(), "bias": bias.ravel()})
    yield layer


def _scaled_average(at: At, x: tuple[int, ...], scale: np.ndarray) -> Iterator[nn.Module]:
    """Average-pooling whose divisor is not the number of pixels in the window."""
    (pool,) = _parts(at, "AveragePool")
    kernel, stride, pads, dilation = slide(pool.node, x)
    if pool.option("count_include_pad", 0) or max(dilation) > 1:
        return
    for options in pool_options(x, at.shape, kernel, stride, pads):
        if len(x) == 3:  # AvgPool1d has no divisor_override
            of_signals = nn.AvgPool1d(kernel, stride, **options)
            if _writes(of_signals, x, scale=scale):
                yield of_signals
            continue
        pixels = functional.avg_pool2d(
            np.ones((1, 1, *x[2:])), kernel, stride, **options, divisor_override=1, backend="numpy"
        )
        for divisor in (None, round((pixels.ravel()[0] / scale.ravel()[0]).item())):
            layer = nn.AvgPool2d(kernel, stride, **options, divisor_override=divisor)
            if _writes(layer, x, scale=scale):
                yield layer


def _adaptive_avg_pool(at: At, x: tuple[int, ...], rows, columns) -> Iterator[nn.Module]:
    """Adaptive average-pooling of images, as two matrix products."""
    size: Any = at.shape[2:]
    layer = nn.AdaptiveAvgPool2d(size)
    if len(x) == 4 and _writes(layer, x, rows=rows, columns=columns):
        yield layer


def _adaptive_max_pool(at: At, x: tuple[int, ...], rows, columns) -> Iterator[nn.Module]:
    """Adaptive max-pooling of images, as Gathers and ReduceMaxes."""
    size: Any = at.shape[2:]
    layer = nn.AdaptiveMaxPool2d(size)
    axes = {part.option("axis", 0) for part in _parts(at, "Gather")}
    if len(x) == 4 and axes == {2, 3} and _maxima(at) == {3, 4} and _writes(layer, x, rows=rows, columns=columns):
        yield layer


def _maxima(at: At) -> set[int]:
    """Return the axes along which the pixels that Gathers append are reduced."""
    return {axis for part in _parts(at, "ReduceMax") for axis in part.option("axes", ())}


def _adaptive_pool_of_signals(kind: Any) -> Callable[..., Iterator[nn.Module]]:
    """Make the reader of an adaptive pooling of signals."""

    def layers(at: At, x: tuple[int, ...], columns: np.ndarray) -> Iterator[nn.Module]:
        gathered = {(part.option("axis", 0), *_maxima(at)) for part in _parts(at, "Gather")}
        if len(x) == len(at.shape) == 3 and gathered <= {(2, 3)}:
            layer = kind(at.shape[2])
            if _writes(layer, x, columns=columns):
                yield layer

    return layers


def _linear(at: At, x: tuple[int, ...], weight: np.ndarray, bias: np.ndarray) -> Iterator[nn.Module]:
    """Linear layer, as a matrix product and an addition."""
    if len(x) == len(at.shape) == weight.ndim == 2 and bias.size in (1, weight.shape[1]):
        yield linear(at, weight.T, bias)


def _scaled_norm(at: At, x: tuple[int, ...], weight, bias, **constants: np.ndarray) -> Iterator[nn.Module]:
    """Batch normalization followed by its scale and shift as operators of their own, as in Caffe."""
    if at.shape == x and is_per_channel(weight, x) and is_per_channel(bias, x):
        (norm,) = _parts(at, "BatchNormalization")
        layer: Any = batch_norm(norm)
        layer.weight.data *= weight.ravel()
        layer.bias.data[...] = layer.bias.data * weight.ravel() + bias.ravel()
        yield layer


def _padded(at: At, x: tuple[int, ...], pads: np.ndarray, padding: np.ndarray | None = None, **constants: np.ndarray):
    """Convolution or max-pooling whose padding is a Pad operator in front of it."""
    operator = at.node.operator
    nothing = -np.inf if operator == "MaxPool" else 0
    begins, ends = map(tuple, pads.reshape(2, -1)[:, 2:].tolist())
    value = 0 if padding is None else padding.item()
    mode = at._replace(name=at.node.inputs[0]).option("mode", "constant")
    if mode != "constant":
        own = any(slide(at.node, at.x_shape)[2])
        if operator == "Conv" and mode in _AROUND and not own and pads.min() >= 0:
            yield conv(at, (*begins, *ends), _AROUND[mode])
        return
    if len(begins) not in (1, 2) or pads.reshape(2, -1)[:, :2].any() or pads.min() < 0 or value != nothing:
        return
    if operator == "ConvTranspose" and not any(begins):
        yield conv_transpose(at, ends)
    elif operator != "ConvTranspose":
        yield {"Conv": conv, "MaxPool": max_pool}[operator](at, (*begins, *ends))


def _circular_conv(at: At, x: tuple[int, ...], places: np.ndarray, **constants: np.ndarray) -> Iterator[nn.Module]:
    """Convolution of signals with circular padding."""
    (gather,) = _parts(at, "Gather")
    if len(x) != 3 or gather.option("axis", 0) != 2 or any(slide(at.node, at.x_shape)[2]) or places.size < x[2]:
        return
    before = -int(places[0]) % x[2]
    layer: Any = conv(at, (before, places.size - x[2] - before), "circular")
    if _writes(layer, x, columns=places):
        yield layer


def _circular(at: At, x: tuple[int, ...], rows: np.ndarray, columns: np.ndarray) -> Iterator[nn.Module]:
    """Circular padding of images."""
    sides: list[int] = []
    for extent, places in ((x[3], columns), (x[2], rows)):
        before = -int(places[0]) % extent
        before += extent * (places.size - extent - before > extent)
        sides += [before, places.size - extent - before]
    axes = at.option("axis", 0), at._replace(name=at.node.inputs[0]).option("axis", 0)
    if len(x) == 4 and axes == (3, 2) and min(sides) >= 0 and max(sides[:2]) <= x[3] and max(sides[2:]) <= x[2]:
        layer = nn.CircularPad2d(sides)
        if _writes(layer, x, rows=rows, columns=columns):
            yield layer


def _nearest(at: At, x: tuple[int, ...], rows: np.ndarray, columns: np.ndarray) -> Iterator[nn.Module]:
    """Resizing of images with nearest pixels: to a size, or by a factor if this selects other pixels."""
    axes = at.option("axis", 0), at._replace(name=at.node.inputs[0]).option("axis", 0)
    if len(x) != 4 or axes != (3, 2):
        return
    factors = _factor(x[2], rows), _factor(x[3], columns)
    for layer in (nn.Upsample((rows.size, columns.size)), nn.Upsample(scale_factor=factors)):
        if _writes(layer, x, rows=rows, columns=columns):
            yield layer


def _factor(extent: int, pixels: np.ndarray) -> float:
    """Return the shortest decimal factor that selects these pixels of an axis, ``floor(place / factor)`` at each place.

    Places that would lie behind the last pixel take the last pixel. If no such decimal is found, the ratio of the
    sizes is returned.
    """
    places, size = np.arange(pixels.size), pixels.size
    above = (places / (pixels + 1))[pixels < extent - 1].max(initial=0)
    most = (places[pixels > 0] / pixels[pixels > 0]).min(initial=np.inf)
    for unit in (10**digits for digits in range(8)):
        factor = max(math.ceil(size / extent * unit), math.floor(above * unit) + 1) / unit
        if factor <= most and factor < (size + 1) / extent:
            return factor
    return size / extent


_AROUND = {"reflect": "reflect", "edge": "replicate", "wrap": "circular"}  # mode of Pad -> `padding_mode`
_CUBE = ("Mul", ("Mul", _X, _X), ("Mul", _X, "cubic"))
_CENTRED = ("Sub", _X, ("ReduceMean", _X))
_DEVIATION = ("Sqrt", ("Add", ("ReduceMean", ("Mul", _CENTRED, _CENTRED)), "eps"))

_NORM = ("BatchNormalization", _X, "scale", "offset", "mean", "var")
_PAD = ("Pad", _X, "pads")
_PAD_WITH = ("Pad", _X, "pads", "padding")

_SCALED = ("Mul", _X, "beta")
_SOFTPLUS = ("Div", ("Softplus", _SCALED), "beta")
_GROUPS = ("Reshape", ("InstanceNormalization", ("Reshape", _X, "groups"), "ones", "zeros"), "shape")

PATTERNS: list[tuple[Pattern, Callable[..., Iterator[nn.Module]]]] = [
    (("Mul", _X, ("Sigmoid", _X)), lambda at, x: iter([nn.SiLU()])),
    (("Mul", _X, ("Tanh", ("Softplus", _X))), lambda at, x: iter([nn.Mish()])),
    (_SOFTPLUS, _softplus),
    (("Where", ("Greater", _SCALED, "threshold"), _X, _SOFTPLUS), _softplus),
    (("Where", ("Greater", _X, "threshold"), _X, ("Softplus", _X)), _softplus),
    (("Add", ("Mul", _GROUPS, "weight"), "bias"), _group_norm),
    (_GROUPS, _group_norm),
    (("Mul", ("Mul", _X, "half"), ("Add", ("Erf", ("Mul", _X, "slope")), "one")), _gelu),
    (("Mul", ("Mul", _X, ("Add", ("Erf", ("Div", _X, "quotient")), "one")), "half"), _gelu_of_quotient),
    (("Mul", ("Mul", _X, "half"), ("Add", ("Tanh", ("Mul", ("Add", _X, _CUBE), "slope")), "one")), _gelu),
    (("Mul", ("Tanh", ("Mul", _X, "slope")), "amplitude"), _scaled_tanh),
    (("Flatten", ("GlobalAveragePool", _X)), _global_avg_pool),
    (("Reshape", ("GlobalAveragePool", _X), "shape"), _global_avg_pool),
    (("Squeeze", ("GlobalAveragePool", _X), "axes"), _global_avg_pool),
    (("Reshape", ("Softmax", ("Flatten", _X)), "shape"), _softmax),
    (("Add", ("Mul", ("Div", _CENTRED, _DEVIATION), "weight"), "bias"), _statistics_of_batch),
    (("Mul", ("AveragePool", _X), "scale"), _scaled_average),
    (("Add", ("MatMul", _X, "weight"), "bias"), _linear),
    (("Gather", ("Gather", _X, "rows"), "columns"), _circular),
    (("Gather", ("Gather", _X, "rows"), "columns"), _nearest),
    (("Conv", ("Gather", _X, "places"), "weight"), _circular_conv),
    (("Conv", ("Gather", _X, "places"), "weight", "bias"), _circular_conv),
    (("Add", ("Mul", _NORM, "weight"), "bias"), _scaled_norm),
    *(
        ((operator, pad, *arrays), _padded)
        for pad in (_PAD, _PAD_WITH)
        for operator, *arrays in (
            ("Conv", "weight"),
            ("Conv", "weight", "bias"),
            ("ConvTranspose", "weight"),
            ("ConvTranspose", "weight", "bias"),
            ("MaxPool",),
        )
    ),
    (("MatMul", ("MatMul", "rows", _X), "columns"), _adaptive_avg_pool),
    (("ReduceMax", ("Gather", ("ReduceMax", ("Gather", _X, "rows")), "columns")), _adaptive_max_pool),
    (("MatMul", _X, "columns"), _adaptive_pool_of_signals(nn.AdaptiveAvgPool1d)),
    (("ReduceMax", ("Gather", _X, "columns")), _adaptive_pool_of_signals(nn.AdaptiveMaxPool1d)),
]
"""Patterns of operators, each with a function that yields the possible layers, or none if constants do not fit."""
