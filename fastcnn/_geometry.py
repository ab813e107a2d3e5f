"""Positions of sliding windows: all shape arithmetic of the package.

Convolutions and poolings slide the same kind of window over an image, described by `Windows`. Along the height, tap
``ky`` of the window of output row ``oy`` reads input row ``iy = oy * SH + ky * DH - top``; rows outside
``0 <= iy < H`` are padding. The same holds along the width. A signal of length L is an image of one row, and its
options are those of the width, so both share one geometry.

Options are checked and converted to ints and tuples of ints before they become cache keys: Python treats 1, 1.0 and
True as the same key, so a cached result for 1 would otherwise also be returned for 1.0 and True.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastcnn import _validate

Single = int | tuple[int]
Pair = int | tuple[int, int]
Extents = int | tuple[int, ...]  # of a signal or an image
OutputLength = int | tuple[int | None]
OutputSize = int | tuple[int | None, int | None]
OutputExtents = int | tuple[int | None, ...]
Sides = int | tuple[int] | tuple[int, int] | str
Padding = int | tuple[int, int] | tuple[int, int, int, int] | str
AnyPadding = int | tuple[int, ...] | str

_Image = tuple[int, ...]  # (L,) or (H, W); also the canonical form of `Extents`
_AXES = {1: ("length",), 2: ("height", "width")}
_WORDS = {1: ("positions", "signal"), 2: ("pixels", "image")}  # for messages
_MOST = 2**31 - 1  # the largest value of an option; images have fewer pixels along an axis


class Windows(NamedTuple):
    """Sliding windows over images of one size; all fields count pixels."""

    H: int
    W: int
    KH: int
    KW: int
    SH: int
    SW: int
    top: int
    bottom: int
    left: int
    right: int
    DH: int
    DW: int
    OH: int
    OW: int


def per_axis(name: str, value: Extents, axes: int, least: int = 1) -> tuple[int, ...]:
    """One int for each axis, (length,) or (height, width), from an int or a tuple; each at least ``least``."""
    items = _whole_numbers(value if isinstance(value, (tuple, list)) else (value,) * axes)
    if len(items) != axes or min(items) < least:
        several = "a pair of ints, each" if axes == 2 else "a tuple of one int,"
        raise ValueError(f"`{name}` must be an int or {several} at least {least}, not {value!r}.")
    return _reachable(name, items)


def checked_padding(padding: AnyPadding, axes: int) -> AnyPadding:
    """Checked padding in the form that was given: an int, a tuple for the axes or the sides, or a word."""
    if isinstance(padding, str) and padding in ("valid", "same"):
        return str(padding)
    several = isinstance(padding, (tuple, list))
    items = _whole_numbers(padding if isinstance(padding, (tuple, list)) else (padding,) * axes)
    if len(items) not in (axes, 2 * axes) or min(items) < 0:
        sides = "a pair, four sides (top, bottom, left, right)" if axes == 2 else "a pair of sides (left, right)"
        raise ValueError(
            f'`padding` must be an int, {sides}, "valid" or "same", none of them negative, not {padding!r}.'
        )
    return _reachable("padding", items) if several else _reachable("padding", items)[0]


def checked_output_size(output_size: OutputExtents, axes: int) -> OutputExtents:
    """A checked output size in the form that was given, an int or a tuple; None in a tuple keeps an axis as it is."""
    several = isinstance(output_size, (tuple, list))
    given = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * axes
    sizes = _whole_numbers([1 if several and size is None else size for size in given])
    if len(sizes) != axes or min(sizes) < 1:
        some, word = ("a pair of ints, each", "pair") if axes == 2 else ("a tuple of one int,", "tuple")
        raise ValueError(
            f"`output_size` must be an int or {some} at least 1 (in a {word} None leaves an axis as it is), "
            f"not {output_size!r}."
        )
    sizes = _reachable("output_size", sizes)
    return tuple(before and size for before, size in zip(given, sizes, strict=True)) if several else sizes[0]


def _whole_numbers(items) -> tuple[int, ...]:
    """The items as ints, or an empty tuple if one is not a whole number."""
    return tuple(map(int, items)) if all(map(_validate.is_whole, items)) else ()


def _reachable(name: str, items):
    """The items, if they are small enough for their products to fit the 64-bit integers of kernels."""
    if max(items) > _MOST:
        raise ValueError(f"`{name}` is {max(items)} but must be at most {_MOST}.")
    return items


def conv_windows(
    image: _Image, kernel: Extents, stride: Extents = 1, padding: AnyPadding = 0, dilation: Extents = 1
) -> Windows:
    """Windows of a convolution of (H, W) images with (KH, KW) kernels: ``OH = (H + pads - KH_eff) // SH + 1``.

    ``padding="same"`` is TensorFlow's rule, for any stride: ``OH = ceil(H / SH)``, with
    ``max((OH - 1) * SH + KH_eff - H, 0)`` rows of padding; an odd row goes to the bottom, an odd column to the right.
    """
    return _conv_windows(image, *_canonical(len(image), kernel, stride, padding, dilation))


@functools.lru_cache(1024)
def _conv_windows(image: _Image, kernel: _Image, stride: _Image, padding: AnyPadding, dilation: _Image) -> Windows:
    return _windows(_slide(image, kernel, stride, padding, dilation, ceil_mode=False))


def pool_windows(
    image: _Image,
    kernel: Extents,
    stride: Extents | None = None,
    padding: AnyPadding = 0,
    dilation: Extents = 1,
    ceil_mode: bool = False,
) -> Windows:
    """Windows of a pooling; ``stride=None`` means the size of the kernel.

    With ``ceil_mode`` the last window may reach past the padded image, but it must start inside the image or the
    padding before it (PyTorch's rule). Padding must be at most half of the (dilated) kernel, and no window may cover
    padding only.
    """
    options = _canonical(len(image), kernel, kernel if stride is None else stride, padding, dilation)
    return _pool_windows(image, *options, _validate.flag("ceil_mode", ceil_mode))


@functools.lru_cache(1024)
def _pool_windows(
    image: _Image, kernel: _Image, stride: _Image, padding: AnyPadding, dilation: _Image, ceil_mode: bool
) -> Windows:
    axes = _slide(image, kernel, stride, padding, dilation, ceil_mode)
    for axis in axes:
        if max(axis.before, axis.after) > axis.reach // 2:
            raise ValueError(
                f"`padding` ({axis.before} before and {axis.after} after, along the {axis.name}) must be at most half "
                f"of the pooling window, which spans {axis.reach} {_WORDS[len(image)][0]}."
            )
        for o in range(axis.outputs):
            first = o * axis.stride - axis.before
            if not any(0 <= first + k * axis.dilation < axis.extent for k in range(axis.taps)):
                raise ValueError(
                    f"The pooling window of output {o} along the {axis.name} covers padding only: it has {axis.taps} "
                    f"taps, {axis.dilation} apart, the first at {_WORDS[len(image)][0][:-1]} {first} of {axis.extent}."
                )
    return _windows(axes)


def conv_transpose_windows(
    image: _Image,
    kernel: Extents,
    stride: Extents = 1,
    padding: Extents = 0,
    output_padding: Extents = 0,
    dilation: Extents = 1,
) -> Windows:
    """Windows of the convolution whose input gradient is the transposed convolution of these images.

    They slide over the output of the transposed convolution, which has ``H = (OH - 1) * SH - 2 * padding + KH_eff +
    output_padding`` rows. There are OH windows along the height, one for each row of ``image``.
    """
    axes = len(image)
    kernel, stride = per_axis("kernel_size", kernel, axes), per_axis("stride", stride, axes)
    pads, more = per_axis("padding", padding, axes, 0), per_axis("output_padding", output_padding, axes, 0)
    return _transpose_windows(image, kernel, stride, pads, more, per_axis("dilation", dilation, axes))


@functools.lru_cache(1024)
def _transpose_windows(
    image: _Image, kernel: _Image, stride: _Image, pads: _Image, more: _Image, dilation: _Image
) -> Windows:
    axes = []
    for name, outputs, taps, step, spread, pad, extra in zip(
        _AXES[len(image)], image, kernel, stride, dilation, pads, more, strict=True
    ):
        if extra >= max(step, spread):
            raise ValueError(
                f"`output_padding` is {extra} along the {name} but must be smaller than `stride` ({step}) or "
                f"`dilation` ({spread})."
            )
        extent = (outputs - 1) * step - 2 * pad + (taps - 1) * spread + 1 + extra
        if extent < 1:
            raise ValueError(
                f"`padding` ({pad} along the {name}) leaves nothing of the output: its {name} would be {extent}."
            )
        axes.append(_Axis(name, extent, taps, step, pad, pad, spread, outputs))
    return _windows(axes)


class AdaptiveWindows(NamedTuple):
    """Windows of an adaptive pooling: (start, stop) of each row and column of windows, in pixels.

    ``regular`` is the equivalent `Windows` if all windows have the same size and do not overlap; else None.
    """

    H: int
    W: int
    rows: tuple[tuple[int, int], ...]
    columns: tuple[tuple[int, int], ...]
    regular: Windows | None


def adaptive_windows(image: _Image, output_size: OutputExtents) -> AdaptiveWindows:
    """Windows of an adaptive pooling: output o of n reads the pixels floor(o * H / n) ... ceil((o + 1) * H / n) - 1."""
    size = checked_output_size(output_size, len(image))
    return _adaptive_windows(image, size if isinstance(size, tuple) else (size,) * len(image))


@functools.lru_cache(1024)
def _adaptive_windows(image: _Image, sizes: tuple[int | None, ...]) -> AdaptiveWindows:
    outputs = [extent if size is None else size for extent, size in zip(image, sizes, strict=True)]
    regular = None
    if not any(extent % n for extent, n in zip(image, outputs, strict=True)):
        regular = _pool_windows(image, *[tuple(map(int.__floordiv__, image, outputs))] * 2, 0, (1,) * len(image), False)
    rows, columns = (((0, 1),), *map(_spans, image, outputs))[-2:]
    H, W = (1, *image)[-2:]
    return AdaptiveWindows(H, W, rows, columns, regular)


def _spans(extent: int, n: int) -> tuple[tuple[int, int], ...]:
    return tuple((o * extent // n, -(-(o + 1) * extent // n)) for o in range(n))


class Sampling(NamedTuple):
    """Positions in an image that the pixels of a resized image are computed from.

    Attributes
    ----------
    H, W, OH, OW : int
        Sizes of the image and of the output.
    down, right : float
        Distance between neighbouring rows, or columns, of the output, in pixels of the image.
    linear : bool
        Whether an output pixel is a weighted mean of the pixels around its position; else it is the nearest one.
    corners : bool
        Whether the centres of the corner pixels of both images coincide; else the corners of both images do.
    """

    H: int
    W: int
    OH: int
    OW: int
    down: float
    right: float
    linear: bool
    corners: bool

    @property
    def rows(self) -> "Taps":
        """Rows of the image and their weights, for each output row."""
        return _taps(self.H, self.OH, self.down, self.linear, self.corners)

    @property
    def columns(self) -> "Taps":
        """Columns of the image and their weights, for each output column."""
        return _taps(self.W, self.OW, self.right, self.linear, self.corners)


Taps = tuple[tuple[tuple[int, float], ...], ...]
"""For each output pixel along an axis, pixels of the image and their weights."""

MODES = "nearest", "bilinear"
Factor = float | tuple[float, float]


def checked_resizing(size: Pair | None, scale_factor: Factor | None, mode: str, align_corners: bool | None):
    """Checked options of an interpolation in the form that was given, with sizes as ints and factors as floats."""
    if (size is None) == (scale_factor is None):
        given = "neither is" if size is None else "both are"
        raise ValueError(f"Exactly one of `size` and `scale_factor` must be given, but {given}.")
    if size is not None:
        rows, columns = per_axis("size", size, 2)
        size = (rows, columns) if isinstance(size, (tuple, list)) else rows
    if isinstance(scale_factor, (tuple, list)):
        if len(scale_factor) != 2:
            raise ValueError(f"`scale_factor` must be a number or a pair of numbers, not {scale_factor!r}.")
        scale_factor = _factor(scale_factor[0]), _factor(scale_factor[1])
    elif scale_factor is not None:
        scale_factor = _factor(scale_factor)
    mode = _validate.choice("mode", mode, MODES)
    if align_corners is not None:
        align_corners = _validate.flag("align_corners", align_corners)
        if mode == "nearest":
            raise ValueError(f'`align_corners` is {align_corners}, but it is an option of mode "bilinear" only.')
    return size, scale_factor, mode, align_corners


def _factor(value) -> float:
    factor = _validate.number("scale_factor", value, 0)
    if factor == 0:
        raise ValueError("`scale_factor` is 0 but must be above 0.")
    return factor


def sampling(
    image: tuple[int, int],
    size: Pair | None = None,
    scale_factor: Factor | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Sampling:
    """Sampling of an interpolation of (H, W) images to a `size`, or to ``floor(H * scale_factor)``, as in PyTorch."""
    size, scale_factor, mode, align_corners = checked_resizing(size, scale_factor, mode, align_corners)
    if size is None:
        factors: tuple = scale_factor if isinstance(scale_factor, tuple) else (scale_factor, scale_factor)
        reached = (min(extent * factor, _MOST + 1) for extent, factor in zip(image, factors, strict=True))
        outputs = tuple(map(math.floor, reached))
        if min(outputs) < 1:
            raise ValueError(f"`scale_factor` is {scale_factor}, which leaves no pixels of images of size {image}.")
        steps = tuple(1 / factor for factor in factors)
    else:
        outputs = size if isinstance(size, tuple) else (size, size)
        steps = tuple(extent / n for extent, n in zip(image, outputs, strict=True))
    _reachable("scale_factor" if size is None else "size", outputs)
    corners = bool(align_corners)
    if corners:
        steps = tuple((extent - 1) / (n - 1) if n > 1 else 0.0 for extent, n in zip(image, outputs, strict=True))
    (H, W), (OH, OW), (down, right) = image, outputs, steps
    return Sampling(H, W, OH, OW, down, right, mode == "bilinear", corners)


@functools.lru_cache(1024)
def _taps(extent: int, outputs: int, step: float, linear: bool, corners: bool) -> Taps:
    """Taps along an axis, as in PyTorch: the nearest pixel is found in float32, unless the size stays or doubles."""
    taps: list[tuple[tuple[int, float], ...]] = []
    for o in range(outputs):
        if outputs == extent:
            pixel, share = o, 0.0
        elif linear:
            place = o * step if corners else max((o + 0.5) * step - 0.5, 0)
            pixel = min(math.floor(place), extent - 1)
            share = min(place - pixel, 1.0)
        else:
            pixel = o // 2 if outputs == 2 * extent else int(np.float32(o) * np.float32(step))
            pixel, share = min(pixel, extent - 1), 0.0
        taps.append(((pixel, 1 - share), (min(pixel + 1, extent - 1), share)) if linear else ((pixel, 1.0),))
    return tuple(taps)


class _Axis(NamedTuple):
    name: str
    extent: int
    taps: int
    stride: int
    before: int
    after: int
    dilation: int
    outputs: int

    @property
    def reach(self) -> int:
        """Pixels that a window spans, from its first tap to its last."""
        return (self.taps - 1) * self.dilation + 1


def _windows(axes: Sequence[_Axis]) -> Windows:
    """Windows of an image from those along its two axes, or of a signal, which has one row."""
    y, x = (_ONE_ROW, *axes)[-2:]
    return Windows(
        y.extent, x.extent, y.taps, x.taps, y.stride, x.stride, y.before, y.after, x.before, x.after, y.dilation,
        x.dilation, y.outputs, x.outputs,
    )  # fmt: skip


_ONE_ROW = _Axis("height", 1, 1, 1, 0, 0, 1, 1)


def _canonical(
    axes: int, kernel: Extents, stride: Extents, padding: AnyPadding, dilation: Extents
) -> tuple[_Image, _Image, AnyPadding, _Image]:
    """Checked options in canonical form, which serve as cache keys."""
    padding = checked_padding(padding, axes)
    kernel, stride = per_axis("kernel_size", kernel, axes), per_axis("stride", stride, axes)
    return kernel, stride, padding, per_axis("dilation", dilation, axes)


def _slide(
    image: _Image, kernel: _Image, stride: _Image, padding: AnyPadding, dilation: _Image, ceil_mode: bool
) -> list[_Axis]:
    """Windows along each axis."""
    axes, pads = [], _pads(padding, image, kernel, stride, dilation)
    for name, extent, taps, step, spread, (before, after) in zip(
        _AXES[len(image)], image, kernel, stride, dilation, pads, strict=True
    ):
        axis = _Axis(name, extent, taps, step, before, after, spread, 0)
        room = extent + before + after - axis.reach
        n = room // step + 1
        if ceil_mode and room % step and n * step < extent + before:
            n += 1
        if n < 1:
            places, signal = _WORDS[len(image)]
            raise ValueError(
                f"The window spans {axis.reach} {places} along the {name}, more than the padded {signal}: "
                f"{extent} + padding {before} + {after}; `kernel_size` is {kernel} and `dilation` {dilation}."
            )
        axes.append(axis._replace(outputs=n))
    return axes


def index_type(dtype) -> np.dtype:
    """Dtype of a pooling's indices: as wide as its floats, so that a vector register holds equally many."""
    return np.dtype(np.int32 if dtype == np.float32 else np.int64)


def _pads(padding: AnyPadding, image, kernel, stride, dilation) -> list[tuple[int, int]]:
    """Padding (before, after) along each axis, from any form of ``padding``."""
    if padding == "same":
        pads = []
        for extent, taps, step, spread in zip(image, kernel, stride, dilation, strict=True):
            total = max((-(-extent // step) - 1) * step + (taps - 1) * spread + 1 - extent, 0)
            pads.append((total // 2, total - total // 2))
        return pads
    if isinstance(padding, tuple) and len(padding) == 2 * len(image):
        return list(zip(padding[::2], padding[1::2], strict=True))
    alike: Any = 0 if padding == "valid" else padding
    return [(pad, pad) for pad in per_axis("padding", alike, len(image), 0)]


class Padded(NamedTuple):
    """Padding of images, as the source of each row and column of the padded image.

    Attributes
    ----------
    H, W : int
        Size of the images.
    rows, columns : tuple of int
        For each row or column of the padded image, its source in the image; -1 if it has none.
    """

    H: int
    W: int
    rows: tuple[int, ...]
    columns: tuple[int, ...]


@functools.lru_cache(1024)
def padded(image: tuple[int, int], sides: tuple[int, int, int, int], mode: str) -> Padded:
    """Padding of images by ``sides``, (left, right, top, bottom) pixels."""
    left, right, top, bottom = sides
    H, W = image
    return Padded(H, W, _sources("height", H, top, bottom, mode), _sources("width", W, left, right, mode))


def _sources(axis: str, extent: int, before: int, after: int, mode: str) -> tuple[int, ...]:
    most = {"reflect": extent - 1, "circular": extent}.get(mode, max(before, after))
    if max(before, after) > most or extent + before + after < 1:
        limit = f"be at most {most} pixels" if max(before, after) > most else "leave at least one pixel"
        raise ValueError(
            f"The padding along the {axis}, {before} and {after}, must {limit} in mode {mode!r}: the image has "
            f"{extent}."
        )
    places = range(-before, extent + after)
    if mode == "reflect":
        return tuple(extent - 1 - abs(extent - 1 - abs(i)) for i in places)
    if mode == "replicate":
        return tuple(min(max(i, 0), extent - 1) for i in places)
    if mode == "circular":
        return tuple(i % extent for i in places)
    return tuple(i if 0 <= i < extent else -1 for i in places)
