"""Where sliding windows lie: the only shape arithmetic of the package.

A convolution and a pooling slide the same kind of window over an image; `Windows` is that geometry as a value. Along
the height, the tap ``ky`` of the window of output row ``oy`` reads the input row ``iy = oy * SH + ky * DH - top``;
rows outside ``0 <= iy < H`` are padding. The width is alike.

Options are brought to one form, ints and tuples of ints, before geometry is looked up: what is remembered of 1 never
answers for 1.0 or True, which Python takes for the same key.
"""

import functools
from typing import NamedTuple

import numpy as np

from fastcnn import _validate

Pair = int | tuple[int, int]
OutputSize = int | tuple[int | None, int | None]
Padding = int | tuple[int, int] | tuple[int, int, int, int] | str

_Pair = tuple[int, int]  # the one form of a `Pair`
_MOST = 2**31 - 1  # of an option; images have fewer pixels along an axis


class Windows(NamedTuple):
    """Sliding windows over images of one size, all extents in pixels."""

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


def pair(name: str, value: Pair, least: int = 1) -> tuple[int, int]:
    """(height, width) from an int or a pair; each at least ``least``."""
    items = _whole_numbers(value if isinstance(value, (tuple, list)) else (value, value))
    if len(items) != 2 or min(items) < least:
        raise ValueError(f"`{name}` must be an int or a pair of ints, each at least {least}, not {value!r}.")
    return _reachable(name, items)


def checked_padding(padding: Padding) -> Padding:
    """An int, a pair, four sides or a word, as it was written."""
    if isinstance(padding, str) and padding in ("valid", "same"):
        return str(padding)
    several = isinstance(padding, (tuple, list))
    items = _whole_numbers(padding if isinstance(padding, (tuple, list)) else (padding, padding))
    if len(items) not in (2, 4) or min(items) < 0:
        raise ValueError(
            '`padding` must be an int, a pair, four sides (top, bottom, left, right), "valid" or "same", '
            f"none of them negative, not {padding!r}."
        )
    return _reachable("padding", items) if several else _reachable("padding", items)[0]


def checked_output_size(output_size: OutputSize) -> OutputSize:
    """An int or a pair, as it was written; in a pair None leaves an axis as it is."""
    several = isinstance(output_size, (tuple, list))
    given = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    sizes = _whole_numbers([1 if several and size is None else size for size in given])
    if len(sizes) != 2 or min(sizes) < 1:
        raise ValueError(
            "`output_size` must be an int or a pair of ints, each at least 1 (in a pair None leaves an axis as it is), "
            f"not {output_size!r}."
        )
    height, width = _reachable("output_size", sizes)
    return (given[0] and height, given[1] and width) if several else height


def _whole_numbers(items) -> tuple[int, ...]:
    """The items as ints; nothing if one is no whole number."""
    return tuple(map(int, items)) if all(map(_validate.is_whole, items)) else ()


def _reachable(name: str, items):
    """The items, if products of them are numbers of 64 bits, as kernels have them."""
    if max(items) > _MOST:
        raise ValueError(f"`{name}` is {max(items)} but must be at most {_MOST}.")
    return items


def conv_windows(
    image: tuple[int, int], kernel: Pair, stride: Pair = 1, padding: Padding = 0, dilation: Pair = 1
) -> Windows:
    """Windows of a convolution of (H, W) images with (KH, KW) kernels: ``OH = (H + pads - KH_eff) // SH + 1``.

    ``padding="same"`` is TensorFlow's rule, for any stride: ``OH = ceil(H / SH)``, with
    ``max((OH - 1) * SH + KH_eff - H, 0)`` rows of padding, the odd one at the bottom (and at the right).
    """
    return _windows(image, *_canonical(kernel, stride, padding, dilation), ceil_mode=False)


def pool_windows(
    image: tuple[int, int],
    kernel: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> Windows:
    """Windows of a pooling; ``stride=None`` is the kernel's size.

    With ``ceil_mode`` the last window may reach past the padded image, but it starts inside the image or its padding
    before it (PyTorch's rule). Padding is at most half of the (dilated) kernel and no window is all padding.
    """
    options = _canonical(kernel, kernel if stride is None else stride, padding, dilation)
    return _pool_windows(image, *options, _validate.flag("ceil_mode", ceil_mode))


@functools.lru_cache(1024)
def _pool_windows(
    image: _Pair, kernel: _Pair, stride: _Pair, padding: Padding, dilation: _Pair, ceil_mode: bool
) -> Windows:
    windows = _windows(image, kernel, stride, padding, dilation, ceil_mode)
    for axis in _axes(windows):
        if max(axis.before, axis.after) > axis.reach // 2:
            raise ValueError(
                f"`padding` ({axis.before} before and {axis.after} after, along the {axis.name}) must be at most half "
                f"of the pooling window, which spans {axis.reach} pixels."
            )
        for o in range(axis.outputs):
            first = o * axis.stride - axis.before
            if not any(0 <= first + k * axis.dilation < axis.extent for k in range(axis.taps)):
                raise ValueError(
                    f"The pooling window of output {o} along the {axis.name} covers padding only: it has {axis.taps} "
                    f"taps, {axis.dilation} apart, the first at pixel {first} of {axis.extent}."
                )
    return windows


def conv_transpose_windows(
    image: tuple[int, int],
    kernel: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    dilation: Pair = 1,
) -> Windows:
    """Windows of the convolution whose input gradient a transposed convolution of these images is.

    They lie over its output, of ``H = (OH - 1) * SH - 2 * padding + KH_eff + output_padding`` rows, and there are OH of
    them, one for each row of ``image``.
    """
    kernel, stride, dilation = pair("kernel_size", kernel), pair("stride", stride), pair("dilation", dilation)
    pads, more = pair("padding", padding, 0), pair("output_padding", output_padding, 0)
    return _transpose_windows(image, kernel, stride, pads, more, dilation)


@functools.lru_cache(1024)
def _transpose_windows(
    image: _Pair, kernel: _Pair, stride: _Pair, pads: _Pair, more: _Pair, dilation: _Pair
) -> Windows:
    extents = []
    for name, outputs, taps, step, spread, pad, extra in zip(
        ("height", "width"), image, kernel, stride, dilation, pads, more, strict=True
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
        extents.append(extent)
    (H, W), (top, left), (OH, OW) = extents, pads, image
    return Windows(H, W, *kernel, *stride, top, top, left, left, *dilation, OH, OW)


class AdaptiveWindows(NamedTuple):
    """Windows that cut images of one size into so many rows and columns: (start, stop) of each, in pixels.

    ``regular`` says the same as `Windows`, where all are of one size and stand side by side; else it is None.
    """

    H: int
    W: int
    rows: tuple[tuple[int, int], ...]
    columns: tuple[tuple[int, int], ...]
    regular: Windows | None


def adaptive_windows(image: tuple[int, int], output_size: OutputSize) -> AdaptiveWindows:
    """Windows of an adaptive pooling: output o of n reads the pixels floor(o * H / n) ... ceil((o + 1) * H / n) - 1."""
    size = checked_output_size(output_size)
    return _adaptive_windows(image, size if isinstance(size, tuple) else (size, size))


@functools.lru_cache(1024)
def _adaptive_windows(image: _Pair, sizes: tuple[int | None, int | None]) -> AdaptiveWindows:
    OH, OW = (extent if size is None else size for extent, size in zip(image, sizes, strict=True))
    (H, W), regular = image, None
    if H % OH == 0 and W % OW == 0:
        regular = pool_windows(image, (H // OH, W // OW))
    return AdaptiveWindows(H, W, _spans(H, OH), _spans(W, OW), regular)


def _spans(extent: int, n: int) -> tuple[tuple[int, int], ...]:
    return tuple((o * extent // n, -(-(o + 1) * extent // n)) for o in range(n))


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
        """Pixels from the first tap of a window to its last, both counted."""
        return (self.taps - 1) * self.dilation + 1


def _axes(w: Windows) -> tuple[_Axis, _Axis]:
    """The same along the height and along the width."""
    return (
        _Axis("height", w.H, w.KH, w.SH, w.top, w.bottom, w.DH, w.OH),
        _Axis("width", w.W, w.KW, w.SW, w.left, w.right, w.DW, w.OW),
    )


def _canonical(kernel: Pair, stride: Pair, padding: Padding, dilation: Pair) -> tuple[_Pair, _Pair, Padding, _Pair]:
    """The options in the one form that geometry is looked up by."""
    padding = checked_padding(padding)
    return pair("kernel_size", kernel), pair("stride", stride), padding, pair("dilation", dilation)


@functools.lru_cache(1024)
def _windows(image: _Pair, kernel: _Pair, stride: _Pair, padding: Padding, dilation: _Pair, ceil_mode: bool) -> Windows:
    pads = _pads(padding, image, kernel, stride, dilation)
    windows = Windows(*image, *kernel, *stride, *pads, *dilation, 0, 0)
    outputs = []
    for axis in _axes(windows):
        room = axis.extent + axis.before + axis.after - axis.reach
        n = room // axis.stride + 1
        if ceil_mode and room % axis.stride and n * axis.stride < axis.extent + axis.before:
            n += 1
        if n < 1:
            raise ValueError(
                f"The window spans {axis.reach} pixels along the {axis.name}, more than the padded image: "
                f"{axis.extent} + padding {axis.before} + {axis.after}; "
                f"`kernel_size` is {kernel} and `dilation` {dilation}."
            )
        outputs.append(n)
    return windows._replace(OH=outputs[0], OW=outputs[1])


def index_type(dtype) -> np.dtype:
    """Type of a pooling's indices: as wide as the floats they go with, so that a vector holds as many."""
    return np.dtype(np.int32 if dtype == np.float32 else np.int64)


def _pads(padding: Padding, image, kernel, stride, dilation) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) from every way to write padding."""
    if padding == "valid":
        return 0, 0, 0, 0
    if padding == "same":
        pads = []
        for extent, taps, step, spread in zip(image, kernel, stride, dilation, strict=True):
            total = max((-(-extent // step) - 1) * step + (taps - 1) * spread + 1 - extent, 0)
            pads += [total // 2, total - total // 2]
        top, bottom, left, right = pads
    elif isinstance(padding, tuple) and len(padding) == 4:
        top, bottom, left, right = padding
    else:
        top, left = pair("padding", padding, 0)  # type: ignore[arg-type]  # nothing else is left
        bottom, right = top, left
    return top, bottom, left, right
