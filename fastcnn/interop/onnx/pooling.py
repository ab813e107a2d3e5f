"""Write poolings as ONNX operators."""

import operator

import numpy as np

from fastcnn import functional
from fastcnn._geometry import Windows
from fastcnn.functional.signals import extents
from fastcnn.interop.onnx.graph import Layer
from fastcnn.nn import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AvgPool1d,
    AvgPool2d,
    GlobalAvgPool2d,
    MaxPool1d,
    MaxPool2d,
)


def max_pool(layer: MaxPool1d | MaxPool2d, at: Layer, x: str) -> str:
    """Write a max-pooling.

    Padding as wide as the kernel, which dilated windows allow, becomes a Pad, as ONNX Runtime refuses it in MaxPool.
    """
    windows, axes = layer.windows((1, *at.shape)), len(at.shape) - 1
    begin, end = sides(windows, axes)
    if any(map(operator.ge, (*begin, *end), 2 * layer.kernel_size)):
        pads = at.whole("pads", (0, 0, *begin, 0, 0, *end))
        x = at.node("Pad", x, pads, at.floats("padding", -np.inf))
        begin = end = (0,) * axes
    return at.node("MaxPool", x, **_slide(windows, axes), pads=(*begin, *end), dilations=layer.dilation)


def avg_pool(layer: AvgPool1d | AvgPool2d, at: Layer, x: str) -> str:
    """Write an average-pooling.

    AveragePool divides by the number of pixels in the window. If the layer has another divisor, the result is
    multiplied with the layer's output for an image of ones.
    """
    windows, axes = layer.windows((1, *at.shape)), len(at.shape) - 1
    begin, end = sides(windows, axes)
    y = at.node("AveragePool", x, **_slide(windows, axes), pads=(*begin, *end), count_include_pad=0)
    w, pads = windows, (windows.top, windows.bottom, windows.left, windows.right)
    options = (w.KH, w.KW), (w.SH, w.SW), pads, layer.ceil_mode, layer.count_include_pad, layer.divisor_override
    scale = functional.avg_pool2d(np.ones((1, 1, w.H, w.W)), *options, backend="numpy")
    if (scale == 1).all():
        return y
    return at.node("Mul", y, at.floats("scale", scale.reshape(1, 1, *extents(w.OH, w.OW, axes))))


def adaptive_avg_pool(layer: AdaptiveAvgPool1d | AdaptiveAvgPool2d, at: Layer, x: str) -> str:
    """Write an adaptive average-pooling; windows of several sizes become products with matrices, one for each axis."""
    windows, axes = layer.windows((1, *at.shape)), len(at.shape) - 1
    if windows.regular:
        return at.node("AveragePool", x, **_slide(windows.regular, axes))
    if axes == 2:
        x = at.node("MatMul", at.floats("rows", _means(windows.rows, windows.H)), x)  # (OH, H) by (N, C, H, W)
    columns = _means(windows.columns, windows.W)
    return at.node("MatMul", x, at.floats("columns", columns.T))  # (N, C, OH, W) or (N, C, W) by (W, OW)


def adaptive_max_pool(layer: AdaptiveMaxPool1d | AdaptiveMaxPool2d, at: Layer, x: str) -> str:
    """Write an adaptive max-pooling; for windows of several sizes, gather the pixels of each and reduce, per axis."""
    windows, axes = layer.windows((1, *at.shape)), len(at.shape) - 1
    if windows.regular:
        return at.node("MaxPool", x, **_slide(windows.regular, axes))
    for axis, (name, spans) in enumerate((("rows", windows.rows), ("columns", windows.columns))[-axes:], 2):
        x = at.node("Gather", x, at.whole(name, _places(spans)), axis=axis)  # adds an axis: the pixels of a window
        x = at.node("ReduceMax", x, axes=(axis + 1,), keepdims=0)
    return x


def global_avg_pool2d(layer: GlobalAvgPool2d, at: Layer, x: str) -> str:
    """Write a global average-pooling with an output (N, C)."""
    return at.node("Flatten", at.node("GlobalAveragePool", x), axis=1)


def _slide(w: Windows, axes: int) -> dict:
    """Return the attributes for kernel and stride."""
    return {"kernel_shape": extents(w.KH, w.KW, axes), "strides": extents(w.SH, w.SW, axes)}


def sides(w: Windows, axes: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the padding at the begin and at the end of each axis that just fits all windows, also of ``ceil_mode``."""
    bottom = (w.OH - 1) * w.SH + (w.KH - 1) * w.DH + 1 - w.H - w.top
    right = (w.OW - 1) * w.SW + (w.KW - 1) * w.DW + 1 - w.W - w.left
    return extents(w.top, w.left, axes), extents(max(bottom, 0), max(right, 0), axes)


def _means(spans, extent: int) -> np.ndarray:
    """Return the matrix (windows, pixels) that computes the mean of each window."""
    matrix = np.zeros((len(spans), extent))
    for row, (start, stop) in zip(matrix, spans, strict=True):
        row[start:stop] = 1 / (stop - start)
    return matrix


def _places(spans) -> list[list[int]]:
    """List the pixels of each window; the last one is repeated so that all windows have equally many."""
    most = max(stop - start for start, stop in spans)
    return [[min(start + k, stop - 1) for k in range(most)] for start, stop in spans]
