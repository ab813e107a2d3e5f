"""Write layers as ONNX operators, as they compute in evaluation mode."""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastcnn import nn
from fastcnn._geometry import padded
from fastcnn.interop.onnx import pooling
from fastcnn.interop.onnx.alike import ALIKE
from fastcnn.interop.onnx.graph import Layer


def conv(layer: nn.Conv1d | nn.Conv2d, at: Layer, x: str) -> str:
    """Write a convolution; the padding is explicit, that of "same" for the given size of image."""
    w, axes = layer.windows(at.shape[1:]), len(at.shape) - 1
    begin, end = pooling.sides(w, axes)
    if layer.padding_mode != "zeros":
        x = _padded(at, x, (w.left, w.right, w.top, w.bottom)[: 2 * axes], layer.padding_mode)
        begin, end = (0,) * axes, (0,) * axes
    return at.node("Conv", *_weighted(layer, at, x), **_options(layer), pads=(*begin, *end))


def conv_transpose(layer: nn.ConvTranspose1d | nn.ConvTranspose2d, at: Layer, x: str) -> str:
    """Write a transposed convolution.

    ONNX Runtime refuses an output padding of a stride or more. Zeros are then appended to the image instead, and what
    they add beyond the output padding is cut off.
    """
    extra, ends = layer.output_padding, layer.padding
    if any(map(operator.ge, extra, layer.stride)):
        more = np.subtract(extra, ends)
        zeros = -(-np.maximum(more, 0) // layer.stride)
        x = at.node("Pad", x, at.whole("zeros", (0,) * (4 + len(zeros)) + tuple(zeros)))
        extra, ends = (0,) * len(extra), tuple((zeros * layer.stride - more).tolist())
    return at.node(
        "ConvTranspose", *_weighted(layer, at, x), **_options(layer), pads=(*layer.padding, *ends), output_padding=extra
    )


def linear(layer: nn.Linear, at: Layer, x: str) -> str:
    """Write a linear layer as a Gemm."""
    return at.node("Gemm", *_weighted(layer, at, x), transB=1)


def batch_norm(layer: nn.BatchNorm1d | nn.BatchNorm2d, at: Layer, x: str) -> str:
    """Write a batch normalization with its running statistics, or, without these, the statistics of the batch."""
    C = layer.num_features
    weight = at.floats("weight", layer.weight.data if layer.weight else np.ones(C))
    bias = at.floats("bias", layer.bias.data if layer.bias else np.zeros(C))
    if layer.running_mean and layer.running_var:
        statistics = (
            at.floats("running_mean", layer.running_mean.data),
            at.floats("running_var", layer.running_var.data),
        )
        return at.node("BatchNormalization", x, weight, bias, *statistics, epsilon=layer.eps)
    axes, across = (0, *range(2, len(at.shape) + 1)), at.whole("channels", (1, C, *(1,) * (len(at.shape) - 1)))
    x = at.node("Sub", x, at.node("ReduceMean", x, axes=axes, keepdims=1))
    variance = at.node("ReduceMean", at.node("Mul", x, x), axes=axes, keepdims=1)
    deviation = at.node("Sqrt", at.node("Add", variance, at.floats("eps", layer.eps)))
    y = at.node("Mul", at.node("Div", x, deviation), at.node("Reshape", weight, across))
    return at.node("Add", y, at.node("Reshape", bias, across))


def layer_norm(layer: nn.LayerNorm, at: Layer, x: str) -> str:
    """Write a layer normalization over the last axes."""
    weight = layer.weight.data if layer.weight else np.ones(layer.normalized_shape)
    given = x, at.floats("weight", weight), *([at.floats("bias", layer.bias.data)] if layer.bias else [])
    return at.node("LayerNormalization", *given, axis=-len(layer.normalized_shape), epsilon=layer.eps)


def group_norm(layer: nn.GroupNorm, at: Layer, x: str) -> str:
    """Write a group normalization as an InstanceNormalization of rows, one row for each group.

    ONNX's GroupNormalization came with opset 18, with weights for groups instead of channels.
    """
    return _grouped(layer, at, x, layer.num_groups)


def instance_norm2d(layer: nn.InstanceNorm2d, at: Layer, x: str) -> str:
    """Write an instance normalization: a group normalization with one channel in each group."""
    return _grouped(layer, at, x, layer.num_features)


def _grouped(layer: nn.GroupNorm | nn.InstanceNorm2d, at: Layer, x: str, groups: int) -> str:
    """Normalize each group of channels as a row, then scale and shift the channels."""
    C, *pixels = at.shape
    rows = at.node("Reshape", x, at.whole("groups", (0, groups, -1)))
    units = at.floats("ones", np.ones(groups)), at.floats("zeros", np.zeros(groups))
    y = at.node("InstanceNormalization", rows, *units, epsilon=layer.eps)
    y = at.node("Reshape", y, at.whole("shape", (0, C, *pixels)))
    if layer.weight and layer.bias:
        shape = C, *(1,) * len(pixels)
        y = at.node("Mul", y, at.floats("weight", layer.weight.data.reshape(shape)))
        y = at.node("Add", y, at.floats("bias", layer.bias.data.reshape(shape)))
    return y


def gelu(layer: nn.GELU, at: Layer, x: str) -> str:
    """Write ``x / 2 * (1 + erf(x / sqrt(2)))``, or with ``tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))`` for erf."""
    if layer.approximate == "tanh":
        cube = at.node("Mul", at.node("Mul", x, x), at.node("Mul", x, at.floats("cubic", 0.044715)))
        inner = at.node("Mul", at.node("Add", x, cube), at.floats("slope", math.sqrt(2 / math.pi)))
        part = at.node("Tanh", inner)
    else:
        part = at.node("Erf", at.node("Mul", x, at.floats("slope", math.sqrt(0.5))))
    return at.node("Mul", at.node("Mul", x, at.floats("half", 0.5)), at.node("Add", part, at.floats("one", 1)))


def pad2d(layer: Any, at: Layer, x: str) -> str:
    """Write the padding of images."""
    return _padded(at, x, layer.padding, layer.mode, layer.value)


def scaled_tanh(layer: nn.ScaledTanh, at: Layer, x: str) -> str:
    """Write ``amplitude * tanh(slope * x)``."""
    y = at.node("Tanh", at.node("Mul", x, at.floats("slope", layer.slope)))
    return at.node("Mul", y, at.floats("amplitude", layer.amplitude))


def softplus(layer: nn.Softplus, at: Layer, x: str) -> str:
    """Write ``softplus(beta * x) / beta``; `threshold` is left out if it changes nothing in this dtype."""
    beta, scaled = at.floats("beta", layer.beta), x
    if layer.beta != 1:
        scaled = at.node("Mul", x, beta)
    y = at.node("Softplus", scaled)
    if layer.beta != 1:
        y = at.node("Div", y, beta)
    if math.exp(-layer.threshold) < np.finfo(at.graph.dtype).eps * layer.threshold:
        return y
    return at.node("Where", at.node("Greater", scaled, at.floats("threshold", layer.threshold)), x, y)


def prelu(layer: nn.PReLU, at: Layer, x: str) -> str:
    """Write a PReLU; its slopes, one for all channels or one for each, get a shape that broadcasts."""
    slopes = layer.weight.data.reshape(-1, *(1,) * (len(at.shape) - 1))
    return at.node("PRelu", x, at.floats("weight", slopes))


def resize_channels(layer: nn.ResizeChannels, at: Layer, x: str) -> str:
    """Write a Slice that keeps the first channels, or a Pad that appends channels of zeros."""
    C, more = at.shape[0], layer.channels - at.shape[0]
    if more > 0:
        return at.node("Pad", x, at.whole("pads", (0, 0, 0, 0, 0, more, 0, 0)), at.floats("padding", 0))
    bounds = (at.whole(name, [value]) for name, value in (("first", 0), ("end", C + more), ("axis", 1)))
    return at.node("Slice", x, *bounds)


def concat(layer: nn.Concat | nn.Parallel, at: Layer, *outputs: str) -> str:
    """Write the concatenation of the outputs of branches."""
    return at.node("Concat", *outputs, axis=layer.dim)


def upsample(layer: nn.Upsample, at: Layer, x: str) -> str:
    """Write an upsampling as a Resize, or, for nearest pixels and a factor that is no integer, as Gathers.

    For such factors ONNX selects other pixels.
    """
    w = layer.sampling((1, *at.shape))
    steps = [
        (w.H / w.OH if w.corners or w.OH == w.H else w.down),
        (w.W / w.OW if w.corners or w.OW == w.W else w.right),
    ]
    if not w.linear and any(1 / step % 1 for step in steps):
        for axis, name, taps in ((2, "rows", w.rows), (3, "columns", w.columns)):
            x = at.node("Gather", x, at.whole(name, [pixel for ((pixel, _),) in taps]), axis=axis)
        return x
    scales = [_scale(*axis) for axis in ((w.H, w.OH, steps[0]), (w.W, w.OW, steps[1]))]
    mode: dict[str, Any] = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    if w.linear:
        where = "align_corners" if w.corners else "half_pixel"
        mode = {"mode": "linear", "coordinate_transformation_mode": where}
    return at.node("Resize", x, "", at.array("scales", np.array([1, 1, *scales], np.float32)), **mode)


def _scale(extent: int, outputs: int, step: float) -> np.float32:
    """Return the factor in float32, large enough that its product with the extent rounds down to the output size."""
    scale = np.float32(1 / step)
    while int(float(scale) * extent) < outputs:
        scale = np.nextafter(scale, np.float32(np.inf))
    return scale


WRITERS: dict[type[nn.Module], Callable[..., str]] = {
    nn.AdaptiveAvgPool1d: pooling.adaptive_avg_pool,
    nn.AdaptiveAvgPool2d: pooling.adaptive_avg_pool,
    nn.AdaptiveMaxPool1d: pooling.adaptive_max_pool,
    nn.AdaptiveMaxPool2d: pooling.adaptive_max_pool,
    nn.AvgPool1d: pooling.avg_pool,
    nn.AvgPool2d: pooling.avg_pool,
    nn.BatchNorm1d: batch_norm,
    nn.BatchNorm2d: batch_norm,
    nn.CircularPad2d: pad2d,
    nn.Concat: concat,
    nn.ConstantPad2d: pad2d,
    nn.Conv1d: conv,
    nn.Conv2d: conv,
    nn.ConvTranspose1d: conv_transpose,
    nn.ConvTranspose2d: conv_transpose,
    nn.Flatten: lambda layer, at, x: at.node("Flatten", x, axis=1),
    nn.GELU: gelu,
    nn.GlobalAvgPool2d: pooling.global_avg_pool2d,
    nn.GroupNorm: group_norm,
    nn.InstanceNorm2d: instance_norm2d,
    nn.LayerNorm: layer_norm,
    nn.Linear: linear,
    nn.MaxPool1d: pooling.max_pool,
    nn.MaxPool2d: pooling.max_pool,
    nn.Mish: lambda layer, at, x: at.node("Mul", x, at.node("Tanh", at.node("Softplus", x))),
    nn.PReLU: prelu,
    nn.Parallel: concat,
    nn.ReflectionPad2d: pad2d,
    nn.ReplicationPad2d: pad2d,
    nn.Residual: lambda layer, at, *ways: at.node("Add", *ways),
    nn.ResizeChannels: resize_channels,
    nn.ScaledTanh: scaled_tanh,
    nn.SiLU: lambda layer, at, x: at.node("Mul", x, at.node("Sigmoid", x)),
    nn.Softmax: lambda layer, at, x: at.node("Softmax", x, axis=layer.dim % (len(at.shape) + 1)),
    nn.Softplus: softplus,
    nn.Unflatten: lambda layer, at, x: at.node("Reshape", x, at.whole("shape", (0, *layer.unflattened_size))),
    nn.Upsample: upsample,
    nn.ZeroPad2d: pad2d,
    **{kind: alike.write for kind, alike in ALIKE.items()},
}
"""Layer class -> function that writes it: from a layer, its place and its input's name to its output's name.

Layers with branches take the names of the outputs of these.
"""


def _padded(at: Layer, x: str, sides: Sequence[int], mode: str, value: float = 0.0) -> str:
    """Write a padding as a Pad; a circular one as Gathers, because Pad has no such mode in this opset."""
    left, right, top, bottom = (*sides, 0, 0)[:4]  # a signal has only left and right
    if mode == "circular":
        H, W = (1, *at.shape[1:])[-2:]
        places = padded((H, W), (left, right, top, bottom), mode)
        if len(at.shape) == 3:
            x = at.node("Gather", x, at.whole("rows", places.rows), axis=2)
        return at.node("Gather", x, at.whole("columns", places.columns), axis=len(at.shape))
    values = [at.floats("value", value)] if mode == "constant" else []
    begins, ends = ((top, left), (bottom, right)) if len(at.shape) == 3 else ((left,), (right,))
    pads = at.whole("pads", (0, 0, *begins, 0, 0, *ends))
    return at.node("Pad", x, pads, *values, mode={"replicate": "edge"}.get(mode, mode))


def _weighted(layer, at: Layer, x: str) -> tuple[str, ...]:
    """Return the names of the input, the weight and, if the layer has one, the bias."""
    names = "weight", "bias" if layer.bias else ""
    return x, *(at.floats(name, getattr(layer, name).data) for name in names if name)


def _options(layer: nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d | nn.ConvTranspose2d) -> dict:
    """Return the attributes that all convolutions have."""
    return {
        "kernel_shape": layer.kernel_size,
        "strides": layer.stride,
        "dilations": layer.dilation,
        "group": layer.groups,
    }
