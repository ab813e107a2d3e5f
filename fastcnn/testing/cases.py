"""Test cases of operations, each with its reason, small enough for the naive backend.

Windows slide over images or, if shapes have one axis less, over signals.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from fastcnn._geometry import (
    AdaptiveWindows,
    AnyPadding,
    Extents,
    Factor,
    OutputExtents,
    Padded,
    Pair,
    Sampling,
    Windows,
    adaptive_windows,
    conv_transpose_windows,
    conv_windows,
    padded,
    pool_windows,
    sampling,
)
from fastcnn.functional.signals import extents


class ConvCase(NamedTuple):
    """A convolution worth testing, and why.

    Attributes
    ----------
    reason : str
    x, weight : tuple of int
        Shapes, (N, C, H, W) and (O, C / groups, KH, KW), or (N, C, L) and (O, C / groups, K).
    stride, padding, dilation, groups
        As in `fastcnn.functional.conv2d` or `fastcnn.functional.conv1d`.
    bias : bool, default True
        Whether there is a bias.
    """

    reason: str
    x: tuple[int, ...]
    weight: tuple[int, ...]
    stride: Extents = 1
    padding: AnyPadding = 0
    dilation: Extents = 1
    groups: int = 1
    bias: bool = True

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments of `fastcnn.functional.conv2d`."""
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}

    @property
    def windows(self) -> Windows:
        """Geometry of the case."""
        return conv_windows(self.x[2:], self.weight[2:], self.stride, self.padding, self.dilation)

    def arrays(self, rng: np.random.Generator, dtype) -> tuple[np.ndarray | None, ...]:
        """Draw x, weight, bias (or None) and dy, normally distributed."""
        y = self.x[0], self.weight[0], *extents(self.windows.OH, self.windows.OW, len(self.x) - 2)
        x, weight, bias, dy = (rng.standard_normal(shape).astype(dtype) for shape in (self.x, self.weight, y[1:2], y))
        return x, weight, bias if self.bias else None, dy


class ConvTransposeCase(NamedTuple):
    """A transposed convolution worth testing, and why.

    Attributes
    ----------
    reason : str
    x, weight : tuple of int
        Shapes, (N, C, H, W) and (C, O / groups, KH, KW), or (N, C, L) and (C, O / groups, K).
    stride, padding, output_padding, groups, dilation
        As in `fastcnn.functional.conv_transpose2d` or `fastcnn.functional.conv_transpose1d`.
    bias : bool, default True
        Whether there is a bias.
    """

    reason: str
    x: tuple[int, ...]
    weight: tuple[int, ...]
    stride: Extents = 1
    padding: Extents = 0
    output_padding: Extents = 0
    groups: int = 1
    dilation: Extents = 1
    bias: bool = True

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments of `fastcnn.functional.conv_transpose2d`."""
        return {
            "stride": self.stride,
            "padding": self.padding,
            "output_padding": self.output_padding,
            "groups": self.groups,
            "dilation": self.dilation,
        }

    @property
    def windows(self) -> Windows:
        """Geometry of the case: windows over the output."""
        return conv_transpose_windows(
            self.x[2:], self.weight[2:], self.stride, self.padding, self.output_padding, self.dilation
        )

    def arrays(self, rng: np.random.Generator, dtype) -> tuple[np.ndarray | None, ...]:
        """Draw x, weight, bias (or None) and dy, normally distributed."""
        y = self.x[0], self.weight[1] * self.groups, *extents(self.windows.H, self.windows.W, len(self.x) - 2)
        x, weight, bias, dy = (rng.standard_normal(shape).astype(dtype) for shape in (self.x, self.weight, y[1:2], y))
        return x, weight, bias if self.bias else None, dy


class PoolCase(NamedTuple):
    """A pooling worth testing, and why.

    Attributes
    ----------
    reason : str
    x : tuple of int
        Shape of the images, (N, C, H, W), or of the signals, (N, C, L).
    kernel_size, stride, padding, dilation, ceil_mode
        As in `fastcnn.functional.max_pool2d` or `fastcnn.functional.max_pool1d`.
    values : str, default "distinct"
        Values of the images: "distinct", "constant", "few" (values), "all -inf", or "nan", "inf" or "-inf" among
        distinct ones.
    """

    reason: str
    x: tuple[int, ...]
    kernel_size: Extents
    stride: Extents | None = None
    padding: AnyPadding = 0
    dilation: Extents = 1
    ceil_mode: bool = False
    values: str = "distinct"

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments of max- and average-pooling; only `fastcnn.functional.max_pool2d` has `dilation`."""
        return {
            "kernel_size": self.kernel_size,
            "stride": self.stride,
            "padding": self.padding,
            "ceil_mode": self.ceil_mode,
        }

    @property
    def windows(self) -> Windows:
        """Geometry of the case."""
        return pool_windows(self.x[2:], self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)

    def arrays(self, rng: np.random.Generator, dtype) -> tuple[np.ndarray, np.ndarray]:
        """Draw x and dy; "distinct" values are at least 1/8 apart, so that a small step does not change a winner."""
        x = _images(self.x, self.values, rng)
        dy = rng.standard_normal((*self.x[:2], *extents(self.windows.OH, self.windows.OW, len(self.x) - 2)))
        return x.astype(dtype), dy.astype(dtype)


class LossCase(NamedTuple):
    """A loss worth testing, and why.

    Attributes
    ----------
    loss : str
        Name of its function in `fastcnn.functional`.
    reason : str
    x : tuple of int
        Shape of the first argument: any, or (N, classes, ...).
    weight, pos_weight : tuple of int, optional
        Their shapes, if they are given.
    soft : bool, default False
        Whether the targets of a cross-entropy are probabilities.
    ignored : float, default 0
        Fraction of the labels that are ``ignore_index``.
    others : mapping, optional
        Other options of the function.
    """

    loss: str
    reason: str
    x: tuple[int, ...]
    weight: tuple[int, ...] | None = None
    pos_weight: tuple[int, ...] | None = None
    soft: bool = False
    ignored: float = 0.0
    others: Mapping[str, Any] = MappingProxyType({})

    def __str__(self) -> str:
        return f"{self.loss}: {self.reason}"

    @property
    def layer(self) -> str:
        """Name of the class in `fastcnn.nn`."""
        return LOSS_LAYERS[self.loss]

    @property
    def has_classes(self) -> bool:
        """Whether targets are class indices."""
        return self.loss in ("cross_entropy", "nll_loss") and not self.soft

    def arguments(self, rng: np.random.Generator, dtype) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """Draw x and target, and options with weights."""
        x, target = 3 * rng.standard_normal((2, *self.x))
        if self.has_classes:
            target = rng.integers(0, self.x[1], (self.x[0], *self.x[2:]))
            target.reshape(-1)[1:][rng.random(target.size - 1) < self.ignored] = self.others.get("ignore_index", -100)
        elif self.soft:
            target = np.exp(target) / np.exp(target).sum(axis=1, keepdims=True)
        elif self.loss == "binary_cross_entropy_with_logits":
            target = np.clip(np.abs(target) - 1, 0, 1)  # many are exactly 0 or 1
        shapes = {"weight": self.weight, "pos_weight": self.pos_weight}
        weights = {name: rng.uniform(0.2, 3, shape).astype(dtype) for name, shape in shapes.items() if shape}
        target = np.asarray(target, np.int64 if self.has_classes else dtype)
        return np.asarray(x, dtype), target, {**weights, **self.others}

    def gradient(self, losses: np.ndarray | float, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw the option ``dy`` of the gradient, which is needed if the losses are not summed."""
        return {"dy": rng.standard_normal(losses.shape).astype(losses.dtype)} if isinstance(losses, np.ndarray) else {}


LOSS_LAYERS = {
    "cross_entropy": "CrossEntropyLoss",
    "nll_loss": "NLLLoss",
    "mse_loss": "MSELoss",
    "l1_loss": "L1Loss",
    "smooth_l1_loss": "SmoothL1Loss",
    "huber_loss": "HuberLoss",
    "binary_cross_entropy_with_logits": "BCEWithLogitsLoss",
}
"""The class in `fastcnn.nn` of each loss of `fastcnn.functional`; PyTorch has both under the same names."""


class NormCase(NamedTuple):
    """A batch normalization worth testing, and why.

    Attributes
    ----------
    reason : str
    x : tuple of int
        Shape, (N, C, H, W), (N, C, L) or (N, C).
    weight, bias : bool, default True
        Whether there is one.
    eps : float, default 1e-5
    values : str, default "around 3"
        Values of the channels: "around 3", "around 1000", "constant" or "a level for each image".
    """

    reason: str
    x: tuple[int, ...]
    weight: bool = True
    bias: bool = True
    eps: float = 1e-5
    values: str = "around 3"

    def arrays(self, rng: np.random.Generator, dtype) -> tuple[np.ndarray | None, ...]:
        """Draw x, running_mean, running_var, weight (or None), bias (or None) and dy."""
        x, dy = rng.standard_normal((2, *self.x))
        x = _levelled(x, self.values, rng)
        mean, var, weight, bias = rng.standard_normal((4, self.x[1]))
        arrays = x, mean, 0.5 + var * var, weight if self.weight else None, bias if self.bias else None, dy
        return tuple(None if array is None else array.astype(dtype) for array in arrays)


class GroupNormCase(NamedTuple):
    """A normalization of separate images worth testing, and why.

    Attributes
    ----------
    reason : str
    x : tuple of int
        Shape, (N, C, ...).
    over : int or tuple of int
        Number of groups of channels for `fastcnn.functional.group_norm`, or sizes of the last axes for `layer_norm`.
    weight, bias : bool, default True
        Whether there is one.
    eps : float, default 1e-5
    values : str, default "around 3"
        Values of the images: as in `NormCase`, or "a quarter", a constant with exact sums.
    """

    reason: str
    x: tuple[int, ...]
    over: int | tuple[int, ...]
    weight: bool = True
    bias: bool = True
    eps: float = 1e-5
    values: str = "around 3"

    @property
    def operation(self) -> str:
        """Its name in `fastcnn.functional`."""
        return "layer_norm" if isinstance(self.over, tuple) else "group_norm"

    @property
    def groups(self) -> tuple[int, int]:
        """Number of groups in an image, and of consecutive values that share a weight, as backends take them."""
        if isinstance(self.over, tuple):
            return int(np.prod(self.x[1 : len(self.x) - len(self.over)])), 1
        return self.over, int(np.prod(self.x[2:]))

    def arrays(self, rng: np.random.Generator, dtype) -> tuple[np.ndarray | None, ...]:
        """Draw x, weight (or None), bias (or None) and dy."""
        x, dy = rng.standard_normal((2, *self.x))
        weight, bias = rng.standard_normal((2, *(self.over if isinstance(self.over, tuple) else self.x[1:2])))
        drawn = _levelled(x, self.values, rng), weight if self.weight else None, bias if self.bias else None, dy
        return tuple(None if array is None else array.astype(dtype) for array in drawn)


class ResizeCase(NamedTuple):
    """An interpolation worth testing, and why.

    Attributes
    ----------
    reason : str
    x : tuple of int
        Shape, (N, C, H, W).
    size, scale_factor, mode, align_corners
        As in `fastcnn.functional.interpolate`.
    """

    reason: str
    x: tuple[int, int, int, int]
    size: Pair | None = None
    scale_factor: Factor | None = None
    mode: str = "nearest"
    align_corners: bool | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments of `fastcnn.functional.interpolate`, except ``size``."""
        return {"scale_factor": self.scale_factor, "mode": self.mode, "align_corners": self.align_corners}

    @property
    def sampling(self) -> Sampling:
        """Geometry of the case."""
        return sampling(self.x[2:], self.size, **self.options)

    def arrays(self, rng: np.random.Generator, dtype) -> tuple[np.ndarray, np.ndarray]:
        """Draw x and dy, normally distributed."""
        at = self.sampling
        x, dy = (rng.standard_normal(shape).astype(dtype) for shape in (self.x, (*self.x[:2], at.OH, at.OW)))
        return x, dy


class AdaptivePoolCase(NamedTuple):
    """An adaptive pooling worth testing, and why.

    Attributes
    ----------
    reason : str
    x : tuple of int
        Shape of the images, (N, C, H, W), or of the signals, (N, C, L).
    output_size
        As in `fastcnn.functional.adaptive_max_pool2d` or `fastcnn.functional.adaptive_max_pool1d`.
    values : str, default "distinct"
        Values of the images, as in `PoolCase`.
    """

    reason: str
    x: tuple[int, ...]
    output_size: OutputExtents
    values: str = "distinct"

    @property
    def windows(self) -> AdaptiveWindows:
        """Geometry of the case."""
        return adaptive_windows(self.x[2:], self.output_size)

    def arrays(self, rng: np.random.Generator, dtype) -> tuple[np.ndarray, np.ndarray]:
        """Draw x and dy, as `PoolCase` does."""
        outputs = extents(len(self.windows.rows), len(self.windows.columns), len(self.x) - 2)
        dy = rng.standard_normal((*self.x[:2], *outputs))
        return _images(self.x, self.values, rng).astype(dtype), dy.astype(dtype)


class PadCase(NamedTuple):
    """A padding worth testing, and why.

    Attributes
    ----------
    reason : str
    x : tuple of int
        Shape of the images, (N, C, H, W).
    pad, mode
        As in `fastcnn.functional.pad`.
    value : float, default 0
        Value of the padding in mode "constant".
    """

    reason: str
    x: tuple[int, int, int, int]
    pad: tuple[int, int, int, int]
    mode: str
    value: float = 0.0

    @property
    def at(self) -> Padded:
        """Geometry of the case."""
        return padded(self.x[2:], self.pad, self.mode)

    def arrays(self, rng: np.random.Generator, dtype) -> tuple[np.ndarray, np.ndarray]:
        """Draw x and dy."""
        y = *self.x[:2], len(self.at.rows), len(self.at.columns)
        return rng.standard_normal(self.x).astype(dtype), rng.standard_normal(y).astype(dtype)


def _levelled(x: np.ndarray, values: str, rng: np.random.Generator) -> np.ndarray:
    """Return the values of a normalization case, made from normally distributed ones."""
    if values == "around 1000":
        return x + 1000
    if values == "constant":
        return np.full(x.shape, 0.3)
    if values == "a quarter":  # its sums and means are exact
        return np.full(x.shape, 0.25)
    if values == "a level for each image":
        return x + 100 * rng.standard_normal((len(x), *(1,) * (x.ndim - 1)))
    return 2 * x + 3


def _images(shape: tuple[int, ...], values: str, rng: np.random.Generator) -> np.ndarray:
    x = rng.permutation(np.prod(shape)).reshape(shape) / 8 - 10
    if values == "constant":
        x[...] = -1
    elif values == "few":
        x = rng.integers(-1, 2, shape).astype(float)
    elif values == "all -inf":
        x[...] = -np.inf
    elif values != "distinct":
        x[rng.random(shape) < 0.4] = float(values)
    return x


CONV_CASES = (
    ConvCase("square", (2, 3, 6, 6), (4, 3, 3, 3)),
    ConvCase("non-square image and kernel", (2, 2, 5, 8), (3, 2, 2, 3)),
    ConvCase("stride that does not divide", (2, 2, 8, 10), (3, 2, 3, 3), stride=2),
    ConvCase("different strides", (2, 2, 7, 8), (3, 2, 3, 2), stride=(1, 3)),
    ConvCase("stride wider than the kernel", (2, 2, 9, 9), (3, 2, 2, 2), stride=3),
    ConvCase("batch of 1", (1, 2, 5, 5), (3, 2, 3, 3)),
    ConvCase("last batch block half full", (24, 2, 5, 5), (3, 2, 3, 3)),
    ConvCase("beyond two batch blocks", (40, 2, 5, 5), (3, 2, 3, 3)),
    ConvCase("one channel", (3, 1, 5, 5), (2, 1, 3, 3)),
    ConvCase("1x1 kernel", (2, 3, 4, 5), (4, 3, 1, 1)),
    ConvCase("1x1 kernel with stride", (2, 3, 4, 5), (4, 3, 1, 1), stride=2),
    ConvCase("image of one pixel", (3, 2, 1, 1), (4, 2, 1, 1)),
    ConvCase("image of one pixel, padded", (3, 2, 1, 1), (4, 2, 3, 3), padding=1),
    ConvCase("padding that reaches the corner", (2, 2, 4, 4), (3, 2, 3, 3), padding=2),
    ConvCase("padding larger than the kernel", (2, 2, 4, 4), (3, 2, 2, 2), padding=3),
    ConvCase("different padding of the axes", (2, 2, 4, 5), (3, 2, 3, 3), padding=(0, 2)),
    ConvCase("four different sides", (2, 2, 5, 5), (3, 2, 3, 3), padding=(2, 0, 1, 3)),
    ConvCase("four different sides with stride", (2, 2, 5, 6), (3, 2, 3, 3), stride=2, padding=(0, 2, 3, 1)),
    ConvCase("same, odd kernel", (2, 2, 5, 4), (3, 2, 3, 3), padding="same"),
    ConvCase("same, even kernel and stride 2", (2, 2, 7, 6), (3, 2, 2, 4), stride=2, padding="same"),
    ConvCase("valid", (2, 2, 5, 6), (3, 2, 3, 3), padding="valid"),
    ConvCase("kernel as large as the image", (3, 2, 4, 5), (3, 2, 4, 5)),
    ConvCase("output of one column", (2, 2, 9, 3), (3, 2, 2, 3)),
    ConvCase("long rows", (2, 1, 3, 37), (2, 1, 3, 3)),
    ConvCase("LeNet's C1", (2, 1, 32, 32), (6, 1, 5, 5)),
    ConvCase("LeNet's C3", (1, 6, 14, 14), (16, 6, 5, 5)),
    ConvCase("LeNet's C5", (2, 16, 5, 5), (120, 16, 5, 5)),
    ConvCase("1 filter", (2, 2, 5, 5), (1, 2, 3, 3)),
    ConvCase("7 filters", (2, 2, 5, 5), (7, 2, 3, 3)),
    ConvCase("13 filters", (2, 2, 5, 5), (13, 2, 3, 3)),
    ConvCase("17 filters", (2, 2, 5, 5), (17, 2, 3, 3)),
    ConvCase("no bias", (2, 2, 5, 5), (3, 2, 3, 3), bias=False),
    ConvCase("dilation", (2, 2, 7, 8), (3, 2, 3, 3), dilation=2),
    ConvCase("dilation of one axis", (2, 2, 5, 9), (3, 2, 3, 2), dilation=(1, 3)),
    ConvCase("dilation with padding", (2, 2, 5, 5), (3, 2, 3, 3), padding=2, dilation=2),
    ConvCase("dilation, stride and four sides", (2, 2, 8, 7), (3, 2, 3, 3), 2, (1, 2, 3, 0), 2),
    ConvCase("stride 2 with dilation 3", (2, 2, 10, 11), (3, 2, 3, 3), stride=2, dilation=3),
    ConvCase("stride 3 with dilation 2", (2, 2, 10, 11), (3, 2, 3, 3), stride=3, dilation=2),
    ConvCase("same with dilation", (2, 2, 6, 5), (3, 2, 2, 3), stride=2, padding="same", dilation=2),
    ConvCase("two groups", (2, 4, 5, 5), (6, 2, 3, 3), groups=2),
    ConvCase("depthwise", (2, 3, 5, 5), (3, 1, 3, 3), groups=3),
    ConvCase("depthwise, two filters a channel", (2, 3, 5, 5), (6, 1, 3, 3), padding=1, groups=3),
    ConvCase("groups with dilation and stride", (2, 4, 8, 9), (6, 2, 3, 2), 2, 1, (2, 3), 2),
    ConvCase("groups beyond two batch blocks", (40, 4, 4, 4), (4, 2, 3, 3), padding=1, groups=2),
    ConvCase("channels enough for Winograd's tiles, which overlap", (3, 17, 6, 7), (16, 17, 3, 3), padding=1),
    ConvCase("signals", (2, 3, 9), (4, 3, 3)),
    ConvCase("signals, stride, two sides and dilation", (2, 4, 17), (6, 2, 3), 2, (3, 1), 2, 2),
    ConvCase("signals, same, even kernel", (24, 2, 10), (3, 2, 4), stride=3, padding="same"),
    ConvCase("signals, kernel as long as they are", (3, 2, 7), (3, 2, 7)),
    ConvCase("signals, depthwise, no bias", (40, 3, 8), (3, 1, 5), padding=(2,), groups=3, bias=False),
)
"""Convolutions, small enough for the naive backend."""

CONV_TRANSPOSE_CASES = (
    ConvTransposeCase("square", (2, 3, 4, 4), (3, 4, 3, 3)),
    ConvTransposeCase("non-square image and kernel", (2, 2, 3, 6), (2, 3, 2, 3)),
    ConvTransposeCase("stride of the kernel: nothing overlaps", (2, 2, 3, 4), (2, 3, 2, 2), stride=2),
    ConvTransposeCase("stride smaller than the kernel", (2, 2, 3, 4), (2, 3, 3, 3), stride=2),
    ConvTransposeCase("stride that does not divide the kernel", (2, 2, 3, 4), (2, 3, 5, 4), stride=(2, 3)),
    ConvTransposeCase("stride wider than the kernel: pixels of bias alone", (2, 2, 3, 3), (2, 3, 2, 1), stride=3),
    ConvTransposeCase("batch of 1", (1, 2, 4, 4), (2, 3, 3, 3)),
    ConvTransposeCase("last batch block half full", (24, 2, 3, 3), (2, 3, 3, 3), stride=2),
    ConvTransposeCase("beyond two batch blocks", (40, 2, 3, 3), (2, 3, 3, 3), stride=2, padding=1),
    ConvTransposeCase("one channel", (3, 1, 3, 3), (1, 2, 3, 3)),
    ConvTransposeCase("one output channel", (3, 4, 3, 3), (4, 1, 3, 3)),
    ConvTransposeCase("7 output channels", (2, 2, 3, 3), (2, 7, 3, 3)),
    ConvTransposeCase("17 channels to 13", (2, 17, 3, 3), (17, 13, 2, 2), stride=2),
    ConvTransposeCase("1x1 kernel", (2, 3, 3, 4), (3, 4, 1, 1)),
    ConvTransposeCase("1x1 kernel with stride", (2, 3, 3, 4), (3, 4, 1, 1), stride=2),
    ConvTransposeCase("one pixel to a kernel", (3, 5, 1, 1), (5, 4, 4, 4)),
    ConvTransposeCase("one pixel with stride", (3, 5, 1, 1), (5, 4, 3, 3), stride=2, output_padding=1),
    ConvTransposeCase("one pixel to one", (3, 2, 1, 1), (2, 3, 3, 3), padding=1),
    ConvTransposeCase("long rows", (2, 1, 2, 21), (1, 2, 3, 3), stride=(1, 2)),
    ConvTransposeCase("padding", (2, 2, 4, 5), (2, 3, 3, 3), padding=1),
    ConvTransposeCase("different padding of the axes", (2, 2, 4, 5), (2, 3, 3, 3), padding=(0, 2)),
    ConvTransposeCase("padding larger than the kernel", (2, 2, 6, 6), (2, 3, 2, 2), padding=2),
    ConvTransposeCase("padding with stride", (2, 2, 4, 5), (2, 3, 4, 4), stride=2, padding=1),
    ConvTransposeCase("output padding", (2, 2, 4, 3), (2, 3, 3, 3), stride=2, padding=1, output_padding=1),
    ConvTransposeCase("output padding of one axis", (2, 2, 3, 3), (2, 3, 3, 3), stride=3, output_padding=(0, 2)),
    ConvTransposeCase(
        "output padding no tap reaches", (2, 2, 3, 3), (2, 3, 1, 1), stride=3, padding=0, output_padding=2
    ),
    ConvTransposeCase(
        "output padding of a stride, below the dilation",
        (2, 2, 3, 4),
        (2, 3, 3, 3),
        stride=2,
        output_padding=2,
        dilation=4,
    ),
    ConvTransposeCase("no bias", (2, 2, 4, 4), (2, 3, 3, 3), bias=False),
    ConvTransposeCase("no bias, stride wider than the kernel", (2, 2, 3, 3), (2, 3, 2, 2), stride=3, bias=False),
    ConvTransposeCase("dilation", (2, 2, 4, 3), (2, 3, 3, 3), dilation=2),
    ConvTransposeCase("dilation of one axis", (2, 2, 4, 3), (2, 3, 3, 2), dilation=(1, 3)),
    ConvTransposeCase("stride 2 with dilation 3", (2, 2, 4, 3), (2, 3, 3, 3), stride=2, dilation=3),
    ConvTransposeCase("stride 4 with dilation 2", (2, 2, 3, 3), (2, 3, 3, 3), stride=4, dilation=2),
    ConvTransposeCase("two groups", (2, 4, 3, 3), (4, 3, 3, 3), groups=2),
    ConvTransposeCase("depthwise", (2, 3, 4, 4), (3, 1, 4, 4), stride=2, padding=1, groups=3),
    ConvTransposeCase("depthwise, two filters a channel", (2, 3, 3, 3), (3, 2, 3, 3), groups=3),
    ConvTransposeCase("all together", (2, 4, 4, 3), (4, 3, 3, 2), (3, 2), (2, 1), (1, 2), 2, (2, 3)),
    ConvTransposeCase("groups beyond two batch blocks", (40, 4, 2, 2), (4, 2, 3, 3), 2, 1, 1, 2),
    ConvTransposeCase("signals", (2, 3, 5), (3, 4, 3)),
    ConvTransposeCase("signals, stride and padding", (24, 2, 6), (2, 3, 4), (2,), 1, bias=False),
    ConvTransposeCase("signals, all together", (2, 4, 5), (4, 3, 3), 3, 2, 1, 2, 2),
)
"""Transposed convolutions, small enough for the naive backend."""

POOL_CASES = (
    PoolCase("windows side by side", (2, 3, 6, 6), 2),
    PoolCase("non-square image and window", (2, 2, 6, 9), (2, 3)),
    PoolCase("stride that does not divide", (2, 2, 7, 8), 3, 3),
    PoolCase("overlapping windows", (2, 2, 7, 9), 3, 2),
    PoolCase("windows one pixel apart", (2, 2, 5, 5), 3, 1),
    PoolCase("different strides", (2, 2, 6, 7), (2, 3), (1, 2)),
    PoolCase("stride wider than the window", (2, 2, 8, 9), 2, 3),
    PoolCase("window of one pixel with stride", (2, 2, 5, 4), 1, 2),
    PoolCase("window as large as the image", (2, 3, 4, 5), (4, 5)),
    PoolCase("batch of 1", (1, 2, 4, 4), 2),
    PoolCase("last batch block half full", (24, 2, 4, 4), 2),
    PoolCase("beyond two batch blocks", (40, 2, 5, 5), 3, 2),
    PoolCase("one channel", (3, 1, 4, 6), 2),
    PoolCase("padding", (2, 2, 6, 6), 2, 2, 1),
    PoolCase("padding of overlapping windows", (2, 2, 5, 7), 3, 2, 1),
    PoolCase("different padding of the axes", (2, 2, 5, 6), (2, 4), 2, (0, 2)),
    PoolCase("four different sides", (2, 2, 6, 5), 4, 2, (2, 0, 1, 2)),
    PoolCase("same, even window", (2, 2, 5, 4), 2, 1, "same"),
    PoolCase("same, overlapping windows", (2, 2, 6, 7), 3, 2, "same"),
    PoolCase("valid", (2, 2, 5, 6), 3, 2, "valid"),
    PoolCase("ceil_mode", (2, 2, 7, 6), 2, 2, ceil_mode=True),
    PoolCase("ceil_mode, overlapping windows", (2, 2, 6, 8), 3, 2, ceil_mode=True),
    PoolCase("ceil_mode, past the padded image", (2, 2, 6, 6), 3, 2, 1, ceil_mode=True),
    PoolCase("ceil_mode, no window starts in the last padding", (2, 2, 5, 5), 2, 2, 1, ceil_mode=True),
    PoolCase("ceil_mode, four different sides", (2, 2, 6, 7), 4, 3, (1, 2, 2, 0), ceil_mode=True),
    PoolCase("dilation", (2, 2, 7, 8), 3, 1, dilation=2),
    PoolCase("dilation of one axis", (2, 2, 6, 9), 2, 2, dilation=(1, 3)),
    PoolCase("dilation, stride and padding", (2, 2, 7, 8), 3, 2, 2, 2),
    PoolCase("dilation with ceil_mode", (2, 2, 8, 8), 2, 2, 1, 2, ceil_mode=True),
    PoolCase("ties: all alike", (2, 2, 6, 6), 3, 2, 1, values="constant"),
    PoolCase("ties: few values", (2, 2, 7, 7), 3, 2, values="few"),
    PoolCase("NaN", (18, 2, 7, 7), 3, 2, 1, values="nan"),
    PoolCase("inf", (2, 2, 6, 6), 2, values="inf"),
    PoolCase("-inf", (2, 2, 6, 6), 2, 2, 1, values="-inf"),
    PoolCase("-inf everywhere", (2, 2, 6, 6), 3, 2, 1, values="all -inf"),
    PoolCase("-inf everywhere, dilation", (2, 2, 6, 6), 3, 1, 2, 2, values="all -inf"),
    PoolCase("signals, windows side by side", (2, 3, 8), 2),
    PoolCase("signals, overlapping windows, padding and ceil_mode", (24, 2, 12), 3, (2,), 1, ceil_mode=True),
    PoolCase("signals, two sides", (2, 2, 9), (4,), 2, (2, 1)),
    PoolCase("signals, same", (2, 2, 7), 3, 2, "same"),
    PoolCase("signals, dilation", (2, 2, 9), 3, 1, 1, 2),
    PoolCase("signals, NaN", (18, 2, 11), 3, 2, 1, values="nan"),
    PoolCase("signals, ties", (2, 2, 11), 3, 1, values="few"),
)
"""Poolings, small enough for the naive backend; average-pooling uses those without dilation."""


_ROWS, _PIXELS, _SUM, _NONE = (24, 10), (3, 4, 5, 6), {"reduction": "sum"}, {"reduction": "none"}

LOSS_CASES = (
    LossCase("cross_entropy", "plain", _ROWS),
    LossCase("cross_entropy", "sum", _ROWS, others=_SUM),
    LossCase("cross_entropy", "none", _ROWS, others=_NONE),
    LossCase("cross_entropy", "weights", _ROWS, (10,)),
    LossCase("cross_entropy", "weights, none", _ROWS, (10,), others=_NONE),
    LossCase("cross_entropy", "ignored labels", _ROWS, ignored=0.4),
    LossCase("cross_entropy", "a class is ignored", (40, 3), ignored=0.2, others={"ignore_index": 1}),
    LossCase("cross_entropy", "smoothing", _ROWS, others={"label_smoothing": 0.1}),
    LossCase("cross_entropy", "nothing but smoothing", (5, 4), others={"label_smoothing": 1.0}),
    LossCase("cross_entropy", "weights and smoothing", _ROWS, (10,), others={"label_smoothing": 0.2}),
    LossCase("cross_entropy", "weights and ignored labels", _ROWS, (10,), ignored=0.4),
    LossCase("cross_entropy", "all together", (40, 7), (7,), ignored=0.3,
             others={"ignore_index": -1, "label_smoothing": 0.1}),
    LossCase("cross_entropy", "all together, sum", (40, 7), (7,), ignored=0.3,
             others={"ignore_index": -1, "label_smoothing": 0.1, **_SUM}),
    LossCase("cross_entropy", "all together, none", (40, 7), (7,), ignored=0.3,
             others={"ignore_index": -1, "label_smoothing": 0.1, **_NONE}),
    LossCase("cross_entropy", "all but one ignored", (5, 4), (4,), ignored=1.0),
    LossCase("cross_entropy", "batch of 1", (1, 10), (10,), others={"label_smoothing": 0.1}),
    LossCase("cross_entropy", "one class", (3, 1)),
    LossCase("cross_entropy", "100 classes", (3, 100), (100,), others={"label_smoothing": 0.1}),
    LossCase("cross_entropy", "more classes than a task takes", (2, 2100)),
    LossCase("cross_entropy", "several tasks", (300, 9)),
    LossCase("cross_entropy", "pixels", _PIXELS),
    LossCase("cross_entropy", "pixels, sum", _PIXELS, others=_SUM),
    LossCase("cross_entropy", "pixels, none", _PIXELS, (4,), ignored=0.2, others=_NONE),
    LossCase("cross_entropy", "pixels, weights and ignored labels", _PIXELS, (4,), ignored=0.4),
    LossCase("cross_entropy", "pixels, all together", _PIXELS, (4,), ignored=0.4,
             others={"label_smoothing": 0.1, "ignore_index": 3}),
    LossCase("cross_entropy", "one more axis", (5, 3, 7), ignored=0.1),
    LossCase("cross_entropy", "three more axes", (2, 3, 2, 3, 4)),
    LossCase("cross_entropy", "images of one pixel", (5, 3, 1, 1), (3,)),
    LossCase("cross_entropy", "several tasks of pixels", (2, 5, 25, 20)),
    LossCase("cross_entropy", "soft", _ROWS, soft=True),
    LossCase("cross_entropy", "soft, sum", _ROWS, soft=True, others=_SUM),
    LossCase("cross_entropy", "soft, none", _ROWS, (10,), soft=True, others=_NONE),
    LossCase("cross_entropy", "soft, weights", _ROWS, (10,), soft=True),
    LossCase("cross_entropy", "soft, weights and smoothing", _ROWS, (10,), soft=True, others={"label_smoothing": 0.2}),
    LossCase("cross_entropy", "soft pixels", _PIXELS, soft=True),
    LossCase("cross_entropy", "soft pixels, all together", _PIXELS, (4,), soft=True,
             others={"label_smoothing": 0.2, **_SUM}),
    LossCase("cross_entropy", "soft pixels, none", _PIXELS, (4,), soft=True, others=_NONE),
    LossCase("nll_loss", "plain", _ROWS),
    LossCase("nll_loss", "sum", _ROWS, others=_SUM),
    LossCase("nll_loss", "none", _ROWS, (10,), ignored=0.2, others=_NONE),
    LossCase("nll_loss", "weights and ignored labels", _ROWS, (10,), ignored=0.4),
    LossCase("nll_loss", "a class is ignored, sum", (40, 3), ignored=0.2, others={"ignore_index": 1, **_SUM}),
    LossCase("nll_loss", "pixels", _PIXELS),
    LossCase("nll_loss", "pixels, weights and ignored labels", _PIXELS, (4,), ignored=0.4),
    LossCase("nll_loss", "pixels, none", _PIXELS, (4,), ignored=0.4, others=_NONE),
    LossCase("nll_loss", "several tasks of pixels", (2, 5, 25, 20)),
    *(
        LossCase(loss, reason, shape, others=others)
        for loss in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy_with_logits")
        for reason, shape, others in (
            ("plain", (5, 3), {}), ("sum", (5, 3), _SUM), ("none", (5, 3), _NONE), ("no axes", (), {}),
            ("one axis, none", (7,), _NONE), ("images", (2, 3, 4, 5), {}), ("several tasks", (3, 41, 67), {}),
        )
    ),
    LossCase("smooth_l1_loss", "narrow", (5, 3), others={"beta": 0.25}),
    LossCase("smooth_l1_loss", "wide, none", (5, 3), others={"beta": 4, **_NONE}),
    LossCase("smooth_l1_loss", "no parabola", (5, 3), others={"beta": 0}),
    LossCase("huber_loss", "narrow", (5, 3), others={"delta": 0.25}),
    LossCase("huber_loss", "wide, none", (5, 3), others={"delta": 4, **_NONE}),
    LossCase("binary_cross_entropy_with_logits", "weights", (5, 3), (5, 3)),
    LossCase("binary_cross_entropy_with_logits", "weights of columns, sum", (5, 3), (3,), others=_SUM),
    LossCase("binary_cross_entropy_with_logits", "weights of images, none", (5, 3), (5, 1), others=_NONE),
    LossCase("binary_cross_entropy_with_logits", "positive weights", (5, 3), None, (3,)),
    LossCase("binary_cross_entropy_with_logits", "positive weight of all", (5, 3), None, (1,)),
    LossCase("binary_cross_entropy_with_logits", "both, pixels", _PIXELS, (3, 1, 5, 6), (4, 1, 1)),
    LossCase("binary_cross_entropy_with_logits", "both, pixels, none", _PIXELS, (3, 1, 5, 6), (4, 1, 1), others=_NONE),
)  # fmt: skip
"""Losses, small enough for the naive backend."""

NORM_CASES = (
    NormCase("images", (4, 3, 5, 6)),
    NormCase("rows", (5, 4)),
    NormCase("batch of 1", (1, 3, 4, 5)),
    NormCase("two values for each channel", (2, 3)),
    NormCase("images of one pixel", (3, 2, 1, 1)),
    NormCase("one channel", (3, 1, 5, 7)),
    NormCase("last batch block half full", (24, 3, 4, 4)),
    NormCase("last batch block half full, rows", (24, 7)),
    NormCase("full batch blocks", (32, 2, 3, 3)),
    NormCase("beyond two batch blocks", (40, 2, 3, 5)),
    NormCase("rows beyond 64 blocks of 16", (1100, 3)),
    NormCase("no weight, no bias", (3, 2, 4, 4), weight=False, bias=False),
    NormCase("no weight", (3, 2, 4, 4), weight=False),
    NormCase("no bias", (3, 2, 4, 4), bias=False),
    NormCase("large eps", (3, 2, 4, 4), eps=2.5),
    NormCase("large mean", (20, 2, 6, 6), values="around 1000"),
    NormCase("no variance", (20, 2, 6, 6), values="constant"),
    NormCase("images of different brightness", (40, 2, 6, 6), values="a level for each image"),
    NormCase("signals", (4, 3, 7)),
    NormCase("last batch block half full, signals", (24, 3, 9)),
)
"""Batch normalizations, small enough for the naive backend."""

GROUP_NORM_CASES = (
    GroupNormCase("groups of images", (4, 6, 5, 6), 3),
    GroupNormCase("one group", (3, 4, 3, 5), 1),
    GroupNormCase("a group for each channel", (3, 4, 3, 5), 4),
    GroupNormCase("groups of features", (5, 12), 4),
    GroupNormCase("batch of 1", (1, 4, 4, 5), 2),
    GroupNormCase("last batch block half full", (24, 6, 4, 4), 2),
    GroupNormCase("full batch blocks", (32, 4, 3, 3), 2),
    GroupNormCase("beyond two batch blocks", (40, 4, 3, 5), 2),
    GroupNormCase("planes beyond what is summed together", (3, 2, 18, 31), 1),
    GroupNormCase("channels beyond what is summed together", (2, 300), 1),
    GroupNormCase("no weight, no bias", (3, 4, 4, 4), 2, weight=False, bias=False),
    GroupNormCase("no weight", (3, 4, 4, 4), 2, weight=False),
    GroupNormCase("no bias", (3, 4, 4, 4), 2, bias=False),
    GroupNormCase("large eps", (3, 4, 4, 4), 2, eps=2.5),
    GroupNormCase("large mean", (20, 4, 6, 6), 2, values="around 1000"),
    GroupNormCase("no variance", (20, 4, 6, 6), 2, values="a quarter"),
    GroupNormCase("images of different brightness", (40, 4, 6, 6), 2, values="a level for each image"),
    GroupNormCase("layer norm of rows", (5, 12), (12,)),
    GroupNormCase("layer norm of images", (4, 3, 5, 6), (3, 5, 6)),
    GroupNormCase("layer norm of planes", (4, 3, 5, 6), (5, 6)),
    GroupNormCase("layer norm of lines", (4, 3, 5, 6), (6,)),
    GroupNormCase("layer norm, last batch block half full", (24, 33), (33,)),
    GroupNormCase("layer norm, beyond two batch blocks", (40, 3, 4, 4), (3, 4, 4)),
    GroupNormCase("layer norm beyond what is summed together", (18, 3, 10, 19), (3, 10, 19)),
    GroupNormCase("layer norm, no bias", (24, 9), (9,), bias=False),
    GroupNormCase("layer norm, nothing trained", (24, 9), (9,), weight=False, bias=False),
    GroupNormCase("layer norm, large mean", (20, 4, 6, 6), (4, 6, 6), values="around 1000"),
)
"""Normalizations of separate images, small enough for the naive backend."""

RESIZE_CASES = (
    ResizeCase("twice as large", (2, 3, 4, 5), scale_factor=2),
    ResizeCase("each axis differently", (2, 2, 3, 4), scale_factor=(3, 2)),
    ResizeCase("not by whole numbers", (2, 2, 5, 4), scale_factor=(1.7, 2.3)),
    ResizeCase("to a size", (2, 2, 3, 4), (7, 5)),
    ResizeCase("to a square", (2, 2, 3, 4), 6),
    ResizeCase("smaller, so that pixels are left out", (2, 2, 7, 9), (3, 4)),
    ResizeCase("smaller by a factor", (2, 2, 7, 6), scale_factor=0.5),
    ResizeCase("as it is", (2, 2, 4, 5), (4, 5)),
    ResizeCase("as it is, by a factor", (2, 2, 3, 3), scale_factor=1.3),
    ResizeCase("image of one pixel", (3, 2, 1, 1), (2, 3)),
    ResizeCase("to one pixel", (3, 2, 4, 5), 1),
    ResizeCase("batch of 1", (1, 2, 3, 3), scale_factor=2),
    ResizeCase("last batch block half full", (24, 2, 3, 2), scale_factor=2),
    ResizeCase("beyond two batch blocks", (40, 1, 2, 3), (5, 4)),
    ResizeCase("bilinear, twice as large", (2, 3, 4, 5), scale_factor=2, mode="bilinear"),
    ResizeCase("bilinear, each axis differently", (2, 2, 3, 4), scale_factor=(3, 1.5), mode="bilinear"),
    ResizeCase("bilinear, not by whole numbers", (2, 2, 5, 4), scale_factor=(1.7, 2.3), mode="bilinear"),
    ResizeCase("bilinear, to a size", (2, 2, 3, 4), (7, 5), mode="bilinear"),
    ResizeCase("bilinear, smaller", (2, 2, 7, 9), (3, 4), mode="bilinear"),
    ResizeCase("bilinear, as it is", (2, 2, 4, 5), (4, 5), mode="bilinear"),
    ResizeCase("bilinear, image of one pixel", (3, 2, 1, 1), (2, 3), mode="bilinear"),
    ResizeCase("bilinear, last batch block half full", (24, 2, 3, 2), scale_factor=2, mode="bilinear"),
    ResizeCase("corners, twice as large", (2, 2, 4, 5), scale_factor=2, mode="bilinear", align_corners=True),
    ResizeCase("corners, to a size", (2, 2, 3, 4), (7, 5), mode="bilinear", align_corners=True),
    ResizeCase("corners, smaller", (2, 2, 7, 9), (3, 4), mode="bilinear", align_corners=True),
    ResizeCase("corners, to one pixel", (2, 2, 4, 3), (1, 5), mode="bilinear", align_corners=True),
    ResizeCase("corners, beyond two batch blocks", (40, 1, 2, 3), 4, mode="bilinear", align_corners=True),
)
"""Interpolations, small enough for the naive backend."""
ADAPTIVE_POOL_CASES = (
    AdaptivePoolCase("windows of one size", (2, 3, 6, 6), 3),
    AdaptivePoolCase("windows of one size, different axes", (2, 2, 6, 8), (3, 2)),
    AdaptivePoolCase("neighbours share a row", (2, 2, 5, 5), 3),
    AdaptivePoolCase("one axis is regular", (2, 2, 6, 7), (3, 3)),
    AdaptivePoolCase("windows of three heights", (2, 2, 10, 7), (7, 4)),
    AdaptivePoolCase("global", (3, 4, 5, 7), 1),
    AdaptivePoolCase("global along the width", (2, 2, 5, 7), (2, 1)),
    AdaptivePoolCase("as it is", (2, 2, 4, 5), (4, 5)),
    AdaptivePoolCase("both axes stay", (2, 2, 4, 5), (None, None)),
    AdaptivePoolCase("one axis stays", (2, 2, 7, 5), (3, None)),
    AdaptivePoolCase("larger than the image", (2, 2, 3, 4), (5, 7)),
    AdaptivePoolCase("a whole multiple of the image", (2, 2, 2, 3), (4, 6)),
    AdaptivePoolCase("larger along one axis", (2, 2, 3, 8), (5, 3)),
    AdaptivePoolCase("image of one pixel", (3, 2, 1, 1), (2, 3)),
    AdaptivePoolCase("batch of 1", (1, 2, 7, 7), 3),
    AdaptivePoolCase("last batch block half full", (24, 2, 5, 4), 3),
    AdaptivePoolCase("beyond two batch blocks", (40, 2, 5, 5), 2),
    AdaptivePoolCase("one channel", (3, 1, 7, 5), 2),
    AdaptivePoolCase("ties: all alike", (2, 2, 7, 7), 3, "constant"),
    AdaptivePoolCase("ties: few values", (2, 2, 7, 8), 3, "few"),
    AdaptivePoolCase("NaN", (18, 2, 7, 7), 3, "nan"),
    AdaptivePoolCase("inf", (2, 2, 5, 7), 3, "inf"),
    AdaptivePoolCase("-inf", (2, 2, 7, 5), 3, "-inf"),
    AdaptivePoolCase("-inf everywhere", (2, 2, 7, 7), 3, "all -inf"),
    AdaptivePoolCase("-inf everywhere, windows of one size", (2, 2, 6, 6), 3, "all -inf"),
    AdaptivePoolCase("signals, windows of one size", (2, 3, 8), 4),
    AdaptivePoolCase("signals, neighbours share a place", (24, 2, 7), (3,)),
    AdaptivePoolCase("signals, global", (3, 4, 7), 1),
    AdaptivePoolCase("signals, NaN", (18, 2, 11), 4, "nan"),
)
"""Adaptive poolings, small enough for the naive backend."""

PAD_CASES = (
    PadCase("zeros", (2, 3, 4, 5), (1, 2, 3, 0), "constant"),
    PadCase("a value, a block half full", (9, 2, 3, 3), (1, 1, 1, 1), "constant", -1.5),
    PadCase("cut off on two sides", (3, 2, 5, 6), (-1, 2, 1, -3), "constant", 2.0),
    PadCase("a pixel is left", (2, 1, 3, 3), (-1, -1, -2, 0), "constant"),
    PadCase("nothing to do", (2, 3, 4, 5), (0, 0, 0, 0), "reflect"),
    PadCase("mirrored, other on each side", (2, 3, 4, 5), (1, 2, 3, 0), "reflect"),
    PadCase("mirrored as far as it goes", (17, 1, 3, 4), (3, 3, 2, 2), "reflect"),
    PadCase("the outermost pixels", (2, 3, 4, 5), (1, 2, 3, 0), "replicate"),
    PadCase("one pixel everywhere", (3, 2, 1, 1), (4, 2, 1, 3), "replicate"),
    PadCase("from the other side", (2, 3, 4, 5), (1, 2, 3, 0), "circular"),
    PadCase("three images side by side", (2, 2, 3, 4), (4, 4, 3, 3), "circular"),
    PadCase("several blocks", (40, 3, 6, 7), (2, 2, 2, 2), "reflect"),
)
