"""Poolings as ONNX operators."""

import numpy as np

from fastcnn import functional
from fastcnn._geometry import Windows
from fastcnn.interop.onnx_graph import Layer
from fastcnn.nn import AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, GlobalAvgPool2d, MaxPool2d


def max_pool2d(layer: MaxPool2d, at: Layer, x: str) -> str:
    """Padded by hand where it is wider than the kernel, which dilated windows may ask for and ONNX Runtime refuses."""
    windows = layer.windows((1, *at.shape))
    pads = _pads(windows)
    if max(pads[0::2]) >= windows.KH or max(pads[1::2]) >= windows.KW:
        top, left, bottom, right = pads
        sides = at.whole("pads", (0, 0, top, left, 0, 0, bottom, right))
        x, pads = at.node("Pad", x, sides, at.floats("padding", -np.inf)), (0, 0, 0, 0)
    return at.node("MaxPool", x, **_slide(windows), pads=pads, dilations=(windows.DH, windows.DW))


def avg_pool2d(layer: AvgPool2d, at: Layer, x: str) -> str:
    """The mean of each window's pixels, times what the layer makes of ones: by how much its divisor is another."""
    windows = layer.windows((1, *at.shape))
    y = at.node("AveragePool", x, **_slide(windows), pads=_pads(windows), count_include_pad=0)
    options = layer.stride, layer.padding, layer.ceil_mode, layer.count_include_pad, layer.divisor_override
    scale = functional.avg_pool2d(np.ones((1, 1, *at.shape[1:])), layer.kernel_size, *options, backend="numpy")
    if (scale == 1).all():
        return y
    return at.node("Mul", y, at.floats("scale", scale))


def adaptive_avg_pool2d(layer: AdaptiveAvgPool2d, at: Layer, x: str) -> str:
    """Windows of several sizes as products with two matrices: one takes the means of rows, the other of columns."""
    windows = layer.windows((1, *at.shape))
    if windows.regular:
        return at.node("AveragePool", x, **_slide(windows.regular))
    rows, columns = _means(windows.rows, windows.H), _means(windows.columns, windows.W)
    x = at.node("MatMul", at.floats("rows", rows), x)  # (OH, H) by (N, C, H, W)
    return at.node("MatMul", x, at.floats("columns", columns.T))  # (N, C, OH, W) by (W, OW)


def adaptive_max_pool2d(layer: AdaptiveMaxPool2d, at: Layer, x: str) -> str:
    """Windows of several sizes: gather the rows of each, and take the largest; then the columns."""
    windows = layer.windows((1, *at.shape))
    if windows.regular:
        return at.node("MaxPool", x, **_slide(windows.regular))
    for axis, name, spans in ((2, "rows", windows.rows), (3, "columns", windows.columns)):
        x = at.node("Gather", x, at.whole(name, _places(spans)), axis=axis)  # one more axis: the places in a window
        x = at.node("ReduceMax", x, axes=(axis + 1,), keepdims=0)
    return x


def global_avg_pool2d(layer: GlobalAvgPool2d, at: Layer, x: str) -> str:
    """The mean of each channel, in a row."""
    return at.node("Flatten", at.node("GlobalAveragePool", x), axis=1)


def _slide(windows: Windows) -> dict:
    return {"kernel_shape": (windows.KH, windows.KW), "strides": (windows.SH, windows.SW)}


def _pads(w: Windows) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) so that all windows fit, those of ``ceil_mode`` too, and no more of them."""
    bottom = (w.OH - 1) * w.SH + (w.KH - 1) * w.DH + 1 - w.H - w.top
    right = (w.OW - 1) * w.SW + (w.KW - 1) * w.DW + 1 - w.W - w.left
    return w.top, w.left, max(bottom, 0), max(right, 0)


def _means(spans, extent: int) -> np.ndarray:
    """Matrix (windows, pixels) that takes the mean of each window."""
    matrix = np.zeros((len(spans), extent))
    for row, (start, stop) in zip(matrix, spans, strict=True):
        row[start:stop] = 1 / (stop - start)
    return matrix


def _places(spans) -> list[list[int]]:
    """The pixels of each window, its last repeated until all have as many."""
    most = max(stop - start for start, stop in spans)
    return [[min(start + k, stop - 1) for k in range(most)] for start, stop in spans]
