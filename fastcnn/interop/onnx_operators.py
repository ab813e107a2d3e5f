"""Operators of ONNX as layers."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from fastcnn import nn
from fastcnn._geometry import pool_windows
from fastcnn.interop.onnx_file import Content
from fastcnn.interop.onnx_graph import Node
from fastcnn.nn import Module

Pads = Any  # tuples of numbers of pixels: top, left, bottom, right
Found = tuple[list[Module], str, set[str]]  # layers, the value that they take, and the operators that they are


class At(NamedTuple):
    """An operator that is to be read."""

    content: Content
    name: str
    rng: np.random.Generator

    @property
    def node(self) -> Node:
        """The operator itself."""
        return self.content.nodes[self.name]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of its output, with the batch."""
        return self.content.shapes[self.name]

    @property
    def x_shape(self) -> tuple[int, ...]:
        """Of its first input, with the batch."""
        return self.content.shapes[self.node.inputs[0]]

    def array(self, i: int, what: str) -> np.ndarray:
        """The constant that an input must be."""
        name = self.node.inputs[i]
        if name not in self.content.arrays:
            raise ValueError(f"{self.said()} computes its {what}, which must be a constant.")
        return self.content.arrays[name]

    def has(self, i: int) -> bool:
        """Whether an input is given."""
        return len(self.node.inputs) > i and bool(self.node.inputs[i])

    def option(self, name: str, default: Any) -> Any:
        """An attribute."""
        value = self.node.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def need(self, **values: Any) -> None:
        """Refuse attributes with other values than these."""
        for name, value in values.items():
            if self.option(name, value) != value:
                raise ValueError(f"{self.said()} has {name}={self.option(name, value)!r}, but fastcnn {value!r} only.")

    def said(self, name: str | None = None) -> str:
        """The operator, for people."""
        name = self.name if name is None else name
        return f"{self.content.nodes[name].operator} ({name!r})"


def read_operator(at: At) -> Found:
    """The layers that an operator is by itself; none if it does nothing."""
    reader = READERS.get(at.node.operator)
    if reader is None:
        raise ValueError(f"{at.said()} has no layer in fastcnn; what can be read is {', '.join(sorted(READERS))}.")
    layer = reader(at)
    return [layer] if layer else [], at.node.inputs[0], {at.name}


def conv2d(at: At, before: Pads = (0, 0, 0, 0)) -> Module:
    """Padding by hand before it is its own."""
    weight = at.array(1, "filters")
    if weight.ndim != 4:
        raise ValueError(f"{at.said()} has filters of shape {weight.shape}, but fastcnn reads those of images only.")
    kernel, stride, pads, dilation = slide(at.node, at.x_shape, weight.shape[2:])
    groups = at.option("group", 1)
    pads = tuple(map(sum, zip(pads, before, strict=True)))
    channels = weight.shape[1] * groups, weight.shape[0]
    options: Any = stride, sides(pads), dilation, groups, at.has(2)
    return _with_arrays(at, nn.Conv2d(*channels, kernel, *options, rng=at.rng, dtype=at.content.dtype))


def conv_transpose2d(at: At, zeros: tuple[int, int] = (0, 0)) -> Module:
    """Zeros behind the image, by hand before it, are output padding."""
    weight = at.array(1, "filters")
    if weight.ndim != 4:
        raise ValueError(f"{at.said()} has filters of shape {weight.shape}, but fastcnn reads those of images only.")
    at.need(auto_pad="NOTSET", output_shape=None)
    kernel, stride, (top, left, bottom, right), dilation = slide(at.node, at.x_shape, weight.shape[2:])
    more = at.option("output_padding", (0, 0))
    if any(zeros):
        more = tuple(m + z * s + begin - end for m, z, s, begin, end in zip(
            more, zeros, stride, (top, left), (bottom, right), strict=True
        ))  # fmt: skip
        bottom, right = top, left
    groups = at.option("group", 1)
    channels = weight.shape[0], weight.shape[1] * groups
    options: Any = stride, sides((top, left, bottom, right)), tuple(more), groups, at.has(2), dilation
    return _with_arrays(at, nn.ConvTranspose2d(*channels, kernel, *options, rng=at.rng, dtype=at.content.dtype))


def gemm(at: At) -> Module:
    """A matrix product with a constant."""
    at.need(transA=0, alpha=1.0, beta=1.0)
    weight = at.array(1, "weights")
    return linear(at, weight if at.option("transB", 0) else weight.T, at.array(2, "bias") if at.has(2) else None)


def linear(at: At, weight: np.ndarray, bias: np.ndarray | None) -> Module:
    """A fully connected layer, of weights (out_features, in_features)."""
    O, features = weight.shape
    layer = nn.Linear(features, O, bias is not None, rng=at.rng, dtype=at.content.dtype)
    return _set(layer, weight=weight, bias=None if bias is None else np.broadcast_to(bias.ravel(), O))


def batch_norm(at: At) -> Module:
    """With the running statistics."""
    at.need(training_mode=0)
    names = "weight", "bias", "running_mean", "running_var"
    arrays = {name: at.array(i, name) for i, name in enumerate(names, 1)}
    kind: Any = nn.BatchNorm2d if len(at.x_shape) == 4 else nn.BatchNorm1d
    momentum = round(1 - at.option("momentum", 0.9), 6)  # ONNX's is of the old statistics
    layer = kind(len(arrays["weight"]), number(at.option("epsilon", 1e-5)), momentum, dtype=at.content.dtype)
    return _set(layer, **arrays)


def instance_norm(at: At) -> Module:
    """Each channel by itself."""
    weight, bias, eps = at.array(1, "weight"), at.array(2, "bias"), number(at.option("epsilon", 1e-5))
    C, dtype = len(weight), at.content.dtype
    images = len(at.x_shape) == 4
    layer = nn.InstanceNorm2d(C, eps, affine=True, dtype=dtype) if images else nn.GroupNorm(C, C, eps, dtype=dtype)
    return _set(layer, weight=weight, bias=bias)


def layer_norm(at: At) -> Module:
    """Over the last axes, not that of the batch."""
    axis = at.option("axis", -1) % len(at.x_shape)
    if axis == 0:
        raise ValueError(f"{at.said()} is over the axis of the batch, too, but images are independent of each other.")
    shape, given = at.x_shape[axis:], {"weight": at.array(1, "weight")}
    if at.has(2):
        given["bias"] = at.array(2, "bias")
    layer = nn.LayerNorm(shape, number(at.option("epsilon", 1e-5)), bias=at.has(2), dtype=at.content.dtype)
    return _set(layer, **{name: np.broadcast_to(array, shape) for name, array in given.items()})


def prelu(at: At) -> Module:
    """One slope for all, or one for each channel."""
    slopes, channels = at.array(1, "slopes"), (at.x_shape[1], *(1,) * (len(at.x_shape) - 2))
    if slopes.size != 1 and (slopes.size != channels[0] or slopes.shape[-len(channels) :] != channels):
        raise ValueError(
            f"{at.said()} has slopes of shape {slopes.shape}, but fastcnn has one for all, or one for each channel."
        )
    return _set(nn.PReLU(slopes.size, dtype=at.content.dtype), weight=slopes.ravel())


def max_pool2d(at: At, before: Pads = (0, 0, 0, 0)) -> Module:
    """The largest of each window; padding by hand, of minus infinities, is its own."""
    kernel, stride, pads, dilation = slide(at.node, at.x_shape)
    image = tuple(np.subtract(at.x_shape, (0, 0, before[0] + before[2], before[1] + before[3])))
    pads = tuple(map(sum, zip(pads, before, strict=True)))
    for options in pool_options((*at.x_shape[:2], *image[2:]), at.shape, kernel, stride, pads, dilation):
        return nn.MaxPool2d(kernel, stride, **options, dilation=dilation)
    raise ValueError(f"{at.said()} has pads {pads}, which no layer of fastcnn has.")


def avg_pool2d(at: At) -> Module:
    """The mean of each window."""
    at.need(dilations=[1, 1])
    kernel, stride, pads, _ = slide(at.node, at.x_shape)
    counts = bool(at.option("count_include_pad", 0)) or not any(pads)
    for options in pool_options(at.x_shape, at.shape, kernel, stride, pads):
        return nn.AvgPool2d(kernel, stride, **options, count_include_pad=counts)
    raise ValueError(f"{at.said()} has pads {pads}, which no layer of fastcnn has.")


def flatten(at: At) -> Module | None:
    """(N, C, H, W) to (N, C * H * W), by whatever operator; nothing where it is so already."""
    if at.shape == at.x_shape:
        return None
    if len(at.shape) != 2 or at.shape[0] != at.x_shape[0]:
        raise ValueError(f"{at.said()} makes {at.shape} of {at.x_shape}, but fastcnn has Flatten only.")
    return nn.Flatten()


def reduce_mean(at: At) -> Module:
    """The mean over height and width."""
    axes = at.array(1, "axes").tolist() if at.has(1) else at.option("axes", [])
    if len(at.x_shape) != 4 or sorted(axis % 4 for axis in axes) != [2, 3]:
        raise ValueError(f"{at.said()} has axes {list(axes)}, but fastcnn reads means over height and width only.")
    return nn.AdaptiveAvgPool2d(1) if at.option("keepdims", 1) else nn.GlobalAvgPool2d()


def resize_channels(at: At) -> Module:
    """Zeros behind the channels, or the first channels."""
    (_, channels, *image) = at.shape
    if at.node.operator == "Pad":
        at.need(mode="constant")
        pads, value = at.array(1, "pads"), at.array(2, "value") if at.has(2) else np.zeros(1)
        fits = not np.delete(pads, len(at.shape) + 1).any() and not value.any()
    else:
        fits = (*image,) == at.x_shape[2:] and not at.array(1, "starts").any()
    if not fits or len(at.shape) != 4:
        raise ValueError(f"{at.said()} makes {at.shape} of {at.x_shape}, but fastcnn reads it as ResizeChannels only.")
    return nn.ResizeChannels(channels)


def clip(at: At) -> Module:
    """ReLU, where only what is below zero is cut off."""
    low, high = (at.array(i, "bound").item() if at.has(i) else limit for i, limit in ((1, -math.inf), (2, math.inf)))
    if (low, high) == (0, math.inf):
        return nn.ReLU()
    raise ValueError(f"{at.said()} is from {low} to {high}, for which fastcnn has no layer.")


def dropout(at: At) -> Module:
    """The layer, which does nothing in evaluation."""
    return nn.Dropout(number(at.array(1, "ratio")) if at.has(1) else 0.5, rng=at.rng)


READERS: dict[str, Callable[[At], Module | None]] = {
    "AveragePool": avg_pool2d,
    "BatchNormalization": batch_norm,
    "Clip": clip,
    "Concat": lambda at: None,  # of one
    "Conv": conv2d,
    "ConvTranspose": conv_transpose2d,
    "Dropout": dropout,
    "Elu": lambda at: nn.ELU(number(at.option("alpha", 1.0))),
    "Flatten": flatten,
    "Gelu": lambda at: nn.GELU(at.option("approximate", "none")),
    "Gemm": gemm,
    "GlobalAveragePool": lambda at: nn.AdaptiveAvgPool2d(1),
    "GlobalMaxPool": lambda at: nn.AdaptiveMaxPool2d(1),
    "HardSwish": lambda at: nn.Hardswish(),
    "Identity": lambda at: None,
    "InstanceNormalization": instance_norm,
    "LayerNormalization": layer_norm,
    "LeakyRelu": lambda at: nn.LeakyReLU(number(at.option("alpha", 0.01))),
    "MatMul": lambda at: linear(at, at.array(1, "weights").T, None),
    "MaxPool": max_pool2d,
    "Mish": lambda at: nn.Mish(),
    "PRelu": prelu,
    "Pad": resize_channels,
    "ReduceMean": reduce_mean,
    "Relu": lambda at: nn.ReLU(),
    "Reshape": flatten,
    "Sigmoid": lambda at: nn.Sigmoid(),
    "Slice": resize_channels,
    "Softmax": lambda at: nn.Softmax(at.option("axis", -1) % len(at.shape)),
    "Softplus": lambda at: nn.Softplus(),
    "Squeeze": flatten,
    "Tanh": lambda at: nn.Tanh(),
}
"""How each operator is read that is a layer by itself; None is a layer that does nothing."""


def slide(node: Node, x: tuple[int, ...], kernel: tuple[int, ...] | None = None):
    """Kernel, stride, padding (top, left, bottom, right) and dilation of an operator over images of this shape."""
    given = node.attributes.get
    kernel = tuple(given("kernel_shape", kernel) or ())
    stride, dilation = tuple(given("strides", (1, 1))), tuple(given("dilations", (1, 1)))
    auto = given("auto_pad", b"NOTSET").decode()
    if auto in ("NOTSET", "VALID"):
        return kernel, stride, tuple(given("pads", (0, 0, 0, 0))) if auto == "NOTSET" else (0, 0, 0, 0), dilation
    begins, ends = [], []
    for extent, k, s, d in zip(x[2:], kernel, stride, dilation, strict=True):
        whole = max((-(-extent // s) - 1) * s + (k - 1) * d + 1 - extent, 0)
        less, more = whole // 2, whole - whole // 2
        begins.append(less if auto == "SAME_UPPER" else more)
        ends.append(more if auto == "SAME_UPPER" else less)
    return kernel, stride, (*begins, *ends), dilation


def pool_options(x, y, kernel, stride, pads: Pads, dilation=(1, 1)) -> Iterator[dict[str, Any]]:
    """`padding` and `ceil_mode` of each pooling with these windows: below and on the right, some may be ceil_mode's."""
    top, left, bottom, right = pads
    less = ((top, left, b, r) for b in range(bottom, -1, -1) for r in range(right, -1, -1))
    for own, ceil_mode in ((pads, False), ((top, left, top, left), True), *((own, True) for own in less)):
        try:
            windows = pool_windows(x[2:], kernel, stride, sides(own), dilation, ceil_mode)
        except ValueError:
            continue
        if y[2:] == (windows.OH, windows.OW):
            yield {"padding": sides(own), "ceil_mode": ceil_mode}


def sides(pads: Pads) -> Any:
    """Padding as layers take it: (height, width) where opposite sides are alike, else (top, bottom, left, right)."""
    top, left, bottom, right = pads
    return (top, left) if (top, left) == (bottom, right) else (top, bottom, left, right)


def number(value: Any) -> float:
    """A float32 of a file as the shortest float that rounds to it: 0.01, not 0.009999999776482582."""
    return float(str(np.float32(value.item() if isinstance(value, np.ndarray) else value)))


def _with_arrays(at: At, layer: Module) -> Module:
    return _set(layer, weight=at.array(1, "filters"), bias=at.array(2, "bias") if at.has(2) else None)


def _set(layer: Module, **arrays: np.ndarray | None) -> Module:
    """Give a layer its arrays."""
    layer.load_state_dict(layer.state_dict() | {name: array for name, array in arrays.items() if array is not None})
    return layer
