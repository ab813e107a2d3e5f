"""Read operators of ONNX as layers."""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from fastcnn import nn
from fastcnn._geometry import pool_windows
from fastcnn.functional.signals import extents
from fastcnn.interop.onnx.alike import ALIKE, Operator
from fastcnn.interop.onnx.file import Content
from fastcnn.interop.onnx.graph import Node
from fastcnn.nn import Module

Pads = Any  # tuple of pixel counts: top, left, bottom, right for images; left, right for signals
Found = tuple[list[Module], str, set[str]]  # layers, the name of their input, and the operators they were made from


class At(NamedTuple):
    """An operator to be read; if it ends a pattern of several, ``read`` has the names of all of them."""

    content: Content
    name: str
    rng: np.random.Generator
    read: frozenset[str] = frozenset()

    @property
    def node(self) -> Node:
        """The operator itself."""
        return self.content.nodes[self.name]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the output, with the batch axis."""
        return self.content.shapes[self.name]

    @property
    def x_shape(self) -> tuple[int, ...]:
        """Shape of the first input, with the batch axis."""
        return self.content.shapes[self.node.inputs[0]]

    def array(self, i: int, what: str) -> np.ndarray:
        """Return the input of this index, which must be a constant."""
        name = self.node.inputs[i]
        if name not in self.content.arrays:
            raise ValueError(f"{self.said()} has computed {what}; only constant {what} can be read.")
        return self.content.arrays[name]

    def has(self, i: int) -> bool:
        """Whether the input of this index is given."""
        return len(self.node.inputs) > i and bool(self.node.inputs[i])

    def option(self, name: str, default: Any) -> Any:
        """Return an attribute."""
        value = self.node.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def need(self, **values: Any) -> None:
        """Raise a ValueError if an attribute has another value than the given one."""
        for name, value in values.items():
            if self.option(name, value) != value:
                found = self.option(name, value)
                raise ValueError(f"{self.said()} has {name}={found!r}, but fastcnn has {value!r} only.")

    def said(self, name: str | None = None) -> str:
        """Return the operator's kind and name for error messages."""
        name = self.name if name is None else name
        return f"{self.content.nodes[name].operator} ({name!r})"


def read_operator(at: At) -> Found:
    """Read a single operator as a layer; an operator without effect gives no layer."""
    reader = READERS.get(at.node.operator)
    if reader is None:
        raise ValueError(f"{at.said()} has no layer in fastcnn. Supported are {', '.join(sorted(READERS))}.")
    layer = reader(at)
    return [layer] if layer else [], at.node.inputs[0], {at.name}


def conv(at: At, before: Pads = (), padding_mode: str = "zeros") -> Module:
    """Read a convolution; ``before`` is the padding of a Pad operator in front of it."""
    weight, kind = at.array(1, "filters"), _of(at, Conv1d=3, Conv2d=4)
    kernel, stride, pads, dilation = slide(at.node, at.x_shape, weight.shape[2:])
    groups = at.option("group", 1)
    pads = tuple(map(sum, zip(pads, before, strict=True))) if before else pads
    channels = weight.shape[1] * groups, weight.shape[0]
    options: Any = stride, sides(pads), dilation, groups, at.has(2), padding_mode
    return _with_arrays(at, kind(*channels, kernel, *options, rng=at.rng, dtype=at.content.dtype))


def conv_transpose(at: At, zeros: tuple[int, ...] = ()) -> Module:
    """Read a transposed convolution; ``zeros``, appended to the image by a Pad in front, become output padding."""
    weight, kind = at.array(1, "filters"), _of(at, ConvTranspose1d=3, ConvTranspose2d=4)
    at.need(auto_pad="NOTSET", output_shape=None)
    kernel, stride, pads, dilation = slide(at.node, at.x_shape, weight.shape[2:])
    begins, ends = pads[: len(kernel)], pads[len(kernel) :]
    more = at.option("output_padding", (0,) * len(kernel))
    if any(zeros):
        more = tuple(m + z * s + begin - end for m, z, s, begin, end in zip(
            more, zeros, stride, begins, ends, strict=True
        ))  # fmt: skip
        ends = begins
    groups = at.option("group", 1)
    channels = weight.shape[0], weight.shape[1] * groups
    options: Any = stride, sides((*begins, *ends)), tuple(more), groups, at.has(2), dilation
    return _with_arrays(at, kind(*channels, kernel, *options, rng=at.rng, dtype=at.content.dtype))


def gemm(at: At) -> Module:
    """Read a matrix product with a constant."""
    at.need(transA=0, alpha=1.0, beta=1.0)
    weight = at.array(1, "weights")
    return linear(at, weight if at.option("transB", 0) else weight.T, at.array(2, "bias") if at.has(2) else None)


def matmul(at: At) -> Module:
    """Read the product of rows with a constant matrix."""
    weight = at.array(1, "weights")
    if not len(at.x_shape) == weight.ndim == 2:
        raise ValueError(
            f"{at.said()} multiplies {at.x_shape} by {weight.shape}, but fastcnn reads products of rows with a matrix."
        )
    return linear(at, weight.T, None)


def linear(at: At, weight: np.ndarray, bias: np.ndarray | None) -> Module:
    """Make a linear layer from weights (out_features, in_features)."""
    O, features = weight.shape
    layer = nn.Linear(features, O, bias is not None, rng=at.rng, dtype=at.content.dtype)
    return _set(layer, weight=weight, bias=None if bias is None else np.broadcast_to(bias.ravel(), O))


def batch_norm(at: At) -> Module:
    """Read a batch normalization with its running statistics."""
    at.need(training_mode=0)
    names = "weight", "bias", "running_mean", "running_var"
    arrays = {name: at.array(i, name) for i, name in enumerate(names, 1)}
    kind: Any = nn.BatchNorm2d if len(at.x_shape) == 4 else nn.BatchNorm1d
    momentum = round(1 - at.option("momentum", 0.9), 6)  # ONNX's momentum weights the old statistics
    layer = kind(len(arrays["weight"]), number(at.option("epsilon", 1e-5)), momentum, dtype=at.content.dtype)
    return _set(layer, **arrays)


def instance_norm(at: At) -> Module:
    """Read a normalization of each channel by itself."""
    weight, bias, eps = at.array(1, "weight"), at.array(2, "bias"), number(at.option("epsilon", 1e-5))
    C, dtype = len(weight), at.content.dtype
    images = len(at.x_shape) == 4
    layer = nn.InstanceNorm2d(C, eps, affine=True, dtype=dtype) if images else nn.GroupNorm(C, C, eps, dtype=dtype)
    return _set(layer, weight=weight, bias=bias)


def layer_norm(at: At) -> Module:
    """Read a layer normalization over the last axes, which must not include the batch axis."""
    axis = at.option("axis", -1) % len(at.x_shape)
    if axis == 0:
        raise ValueError(f"{at.said()} includes the batch axis, but in fastcnn images are normalized independently.")
    shape, given = at.x_shape[axis:], {"weight": at.array(1, "weight")}
    if at.has(2):
        given["bias"] = at.array(2, "bias")
    layer = nn.LayerNorm(shape, number(at.option("epsilon", 1e-5)), bias=at.has(2), dtype=at.content.dtype)
    return _set(layer, **{name: np.broadcast_to(array, shape) for name, array in given.items()})


def prelu(at: At) -> Module:
    """Read a PReLU with one slope, or one for each channel."""
    slopes = at.array(1, "slopes")
    if slopes.size != 1 and not is_per_channel(slopes, at.x_shape):
        raise ValueError(
            f"{at.said()} has slopes of shape {slopes.shape}, but fastcnn has one slope, or one for each channel."
        )
    return _set(nn.PReLU(slopes.size, dtype=at.content.dtype), weight=slopes.ravel())


def is_per_channel(array: np.ndarray, x: tuple[int, ...]) -> bool:
    """Whether an array has a number for each channel and broadcasts to the channels of an input of this shape."""
    channels = x[1], *(1,) * (len(x) - 2)
    return array.size == x[1] and array.shape[-len(channels) :] == channels


def max_pool(at: At, before: Pads = ()) -> Module:
    """Read a max-pooling; ``before`` is the padding, with -inf, of a Pad operator in front of it."""
    kind, (kernel, stride, pads, dilation) = _of(at, MaxPool1d=3, MaxPool2d=4), slide(at.node, at.x_shape)
    image = at.x_shape[2:]
    if before:
        image = tuple(np.subtract(image, np.reshape(before, (2, -1)).sum(0)).tolist())
        pads = tuple(map(sum, zip(pads, before, strict=True)))
    for options in pool_options((*at.x_shape[:2], *image), at.shape, kernel, stride, pads, dilation):
        return kind(kernel, stride, **options, dilation=dilation)
    raise ValueError(f"{at.said()} has pads {pads}, which no layer of fastcnn has.")


def avg_pool(at: At) -> Module:
    """Read an average-pooling."""
    kind, (kernel, stride, pads, _) = _of(at, AvgPool1d=3, AvgPool2d=4), slide(at.node, at.x_shape)
    at.need(dilations=[1] * len(kernel))
    counts = bool(at.option("count_include_pad", 0)) or not any(pads)
    for options in pool_options(at.x_shape, at.shape, kernel, stride, pads):
        return kind(kernel, stride, **options, count_include_pad=counts)
    raise ValueError(f"{at.said()} has pads {pads}, which no layer of fastcnn has.")


def _of(at: At, **kinds: int) -> Any:
    """Choose a layer class by the number of axes of the operator's input."""
    for name, axes in kinds.items():
        if len(at.x_shape) == axes:
            return getattr(nn, name)
    raise ValueError(
        f"{at.said()} takes an input of shape {at.x_shape}, but fastcnn reads it only for signals and images."
    )


def flatten(at: At) -> Module | None:
    """Read any operator that reshapes (N, C, H, W) to (N, C * H * W) or back; no layer if shapes are equal."""
    if at.shape == at.x_shape:
        return None
    if (len(at.x_shape), len(at.shape)) == (2, 4) and at.shape[0] == at.x_shape[0]:
        return nn.Unflatten(1, at.shape[1:])
    if len(at.shape) != 2 or at.shape[0] != at.x_shape[0]:
        raise ValueError(
            f"{at.said()} reshapes {at.x_shape} to {at.shape}, but fastcnn has only Flatten and Unflatten."
        )
    return nn.Flatten()


def reduce_mean(at: At) -> Module:
    """Read a mean over height and width of images, or over the length of signals."""
    axes = at.array(1, "axes").tolist() if at.has(1) else at.option("axes", [])
    ndim, keeps = len(at.x_shape), at.option("keepdims", 1)
    if sorted(axis % ndim for axis in axes) != [*range(2, ndim)] or ndim not in ((3, 4) if keeps else (4,)):
        raise ValueError(f"{at.said()} has axes {list(axes)}, but fastcnn reads means over height and width only.")
    return _of(at, AdaptiveAvgPool1d=3, AdaptiveAvgPool2d=4)(1) if keeps else nn.GlobalAvgPool2d()


def pad(at: At) -> Module:
    """Read a padding of images, or channels of zeros appended to them."""
    pads, mode = at.array(1, "pads"), at.option("mode", "constant")
    layers: Any = {"reflect": nn.ReflectionPad2d, "edge": nn.ReplicationPad2d, "wrap": nn.CircularPad2d}
    if len(at.x_shape) != 4 or len(pads) != 8 or pads.reshape(2, 4)[:, :2].any():
        return resize_channels(at)
    _, _, top, left, _, _, bottom, right = pads.tolist()
    if mode != "constant":
        return layers[mode]((left, right, top, bottom))
    return nn.ConstantPad2d((left, right, top, bottom), number(at.array(2, "value")) if at.has(2) else 0.0)


def resize_channels(at: At) -> Module:
    """Read a Pad that appends channels of zeros, or a Slice of the first channels."""
    (_, channels, *image) = at.shape
    if at.node.operator == "Pad":
        at.need(mode="constant")
        pads, value = at.array(1, "pads"), at.array(2, "value") if at.has(2) else np.zeros(1)
        fits = not np.delete(pads, len(at.shape) + 1).any() and not value.any()
    else:
        fits = (*image,) == at.x_shape[2:] and not at.array(1, "starts").any()
    if not fits or len(at.shape) != 4:
        raise ValueError(
            f"{at.said()} turns {at.x_shape} into {at.shape}, but fastcnn reads it only as padding of images or as "
            "ResizeChannels."
        )
    return nn.ResizeChannels(channels)


def resize(at: At) -> Module:
    """Read a Resize by factors or to a size: bilinear, or nearest pixels with integer factors."""
    linear, where = at.option("mode", "nearest") == "linear", at.option("coordinate_transformation_mode", "half_pixel")
    if len(at.x_shape) != 4 or at.shape[:2] != at.x_shape[:2]:
        raise ValueError(
            f"{at.said()} resizes {at.x_shape} to {at.shape}, but fastcnn resizes height and width of images only."
        )
    if at.has(3):
        options: dict[str, Any] = {"size": at.shape[2:]}
    else:
        options = {"scale_factor": tuple(at.array(2, "scales")[2:].tolist())}
    if linear:
        if where not in ("half_pixel", "pytorch_half_pixel", "align_corners"):
            raise ValueError(f"{at.said()} has coordinate_transformation_mode {where!r}, which fastcnn lacks.")
        return nn.Upsample(**options, mode="bilinear", align_corners=where == "align_corners")
    at.need(mode="nearest")
    whole = all(end % start == 0 for start, end in zip(at.x_shape[2:], at.shape[2:], strict=True))
    if not whole or where != "asymmetric" or at.option("nearest_mode", "round_prefer_floor") != "floor":
        raise ValueError(
            f"{at.said()} takes other pixels than fastcnn, which needs integer factors, coordinate_transformation_mode "
            "asymmetric and nearest_mode floor."
        )
    return nn.Upsample(**options)


def clip(at: At) -> Module:
    """Read a Clip from 0 to infinity, which is ReLU."""
    low, high = (at.array(i, "bound").item() if at.has(i) else limit for i, limit in ((1, -math.inf), (2, math.inf)))
    if (low, high) == (0, math.inf):
        return nn.ReLU()
    raise ValueError(f"{at.said()} clips to {low} and {high}, for which fastcnn has no layer.")


def dropout(at: At) -> Module:
    """Read a dropout, which has no effect in evaluation mode."""
    return nn.Dropout(number(at.array(1, "ratio")) if at.has(1) else 0.5, rng=at.rng)


def _alike(kind: Any, operator: Operator) -> Callable[[At], Module]:
    """Make the reader of an operator that is a layer by itself."""

    def read(at: At) -> Module:
        options = {}
        for name, (value, default) in operator.attributes.items():
            given = number(at.option(name, default))
            if isinstance(value, str):
                options[value] = given
            elif given != number(value):
                only = f"fastcnn's {kind.__name__} has {number(value)} only"
                raise ValueError(f"{at.said()} has {name}={given}, but {only}.")
        return kind(**options)

    return read


READERS: dict[str, Callable[[At], Module | None]] = {
    "AveragePool": avg_pool,
    "BatchNormalization": batch_norm,
    "Clip": clip,
    "Concat": lambda at: None,  # a Concat of one input
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Dropout": dropout,
    "Flatten": flatten,
    "Gelu": lambda at: nn.GELU(at.option("approximate", "none")),
    "Gemm": gemm,
    "GlobalAveragePool": lambda at: _of(at, AdaptiveAvgPool1d=3, AdaptiveAvgPool2d=4)(1),
    "GlobalMaxPool": lambda at: _of(at, AdaptiveMaxPool1d=3, AdaptiveMaxPool2d=4)(1),
    "Identity": lambda at: None,
    "InstanceNormalization": instance_norm,
    "LayerNormalization": layer_norm,
    "MatMul": matmul,
    "MaxPool": max_pool,
    "Mish": lambda at: nn.Mish(),
    "PRelu": prelu,
    "Pad": pad,
    "ReduceMean": reduce_mean,
    "Reshape": flatten,
    "Resize": resize,
    "Slice": resize_channels,
    "Softmax": lambda at: nn.Softmax(at.option("axis", -1) % len(at.shape)),
    "Softplus": lambda at: nn.Softplus(),
    "Squeeze": flatten,
    **{operator.name: _alike(kind, operator) for kind, operator in ALIKE.items()},
}
"""Operator -> function that reads it as a layer; None is a layer without effect."""


def slide(node: Node, x: tuple[int, ...], kernel: tuple[int, ...] | None = None):
    """Return kernel, stride, padding (begin of each axis, then end of each axis) and dilation of an operator.

    ``x`` is the shape of its input.
    """
    given, axes = node.attributes.get, len(x) - 2
    kernel = tuple(given("kernel_shape", kernel) or ())
    stride, dilation = tuple(given("strides", (1,) * axes)), tuple(given("dilations", (1,) * axes))
    auto, none = given("auto_pad", b"NOTSET").decode(), (0,) * (2 * axes)
    if auto in ("NOTSET", "VALID"):
        return kernel, stride, tuple(given("pads", none)) if auto == "NOTSET" else none, dilation
    begins, ends = [], []
    for extent, k, s, d in zip(x[2:], kernel, stride, dilation, strict=True):
        whole = max((-(-extent // s) - 1) * s + (k - 1) * d + 1 - extent, 0)
        less, more = whole // 2, whole - whole // 2
        begins.append(less if auto == "SAME_UPPER" else more)
        ends.append(more if auto == "SAME_UPPER" else less)
    return kernel, stride, (*begins, *ends), dilation


def pool_options(x, y, kernel, stride, pads: Pads, dilation=1) -> Iterator[dict[str, Any]]:
    """Yield `padding` and `ceil_mode` of every pooling layer with these windows.

    Padding at the end of an axis may come from ``ceil_mode``.
    """
    begins, ends = pads[: len(kernel)], pads[len(kernel) :]
    less = ((*begins, *own) for own in itertools.product(*(range(end, -1, -1) for end in ends)))
    for own, ceil_mode in ((pads, False), ((*begins, *begins), True), *((own, True) for own in less)):
        try:
            windows = pool_windows(x[2:], kernel, stride, sides(own), dilation, ceil_mode)
        except ValueError:
            continue
        if y[2:] == extents(windows.OH, windows.OW, len(kernel)):
            yield {"padding": sides(own), "ceil_mode": ceil_mode}


def sides(pads: Pads) -> Any:
    """Convert padding to the form of layers: one number per axis if opposite sides are equal, else one per side."""
    begins, ends = np.reshape(pads, (2, -1)).tolist()
    return tuple(begins) if begins == ends else tuple(itertools.chain(*zip(begins, ends, strict=True)))


def number(value: Any) -> float:
    """Convert a float32 of a file to the shortest decimal that rounds to it: 0.01, not 0.009999999776482582."""
    return float(str(np.float32(value.item() if isinstance(value, np.ndarray) else value)))


def _with_arrays(at: At, layer: Module) -> Module:
    """Set the weight and the bias of a convolution."""
    return _set(layer, weight=at.array(1, "filters"), bias=at.array(2, "bias") if at.has(2) else None)


def _set(layer: Module, **arrays: np.ndarray | None) -> Module:
    """Set arrays of a layer, by their names in ``state_dict``."""
    layer.load_state_dict(layer.state_dict() | {name: array for name, array in arrays.items() if array is not None})
    return layer
