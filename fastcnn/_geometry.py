"""Where sliding windows lie: the only shape arithmetic of the package.

A convolution and a pooling slide the same kind of window over an image; `Windows` is that geometry as a value. Along
the height, the tap ``ky`` of the window of output row ``oy`` reads the input row ``iy = oy * SH + ky * DH - top``;
rows outside ``0 <= iy < H`` are padding. The width is alike.
"""

from typing import NamedTuple, TypeGuard

import numpy as np

Pair = int | tuple[int, int]
OutputSize = int | tuple[int | None, int | None]
Padding = int | tuple[int, int] | tuple[int, int, int, int] | str


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
    items = (value, value) if _is_int(value) else tuple(value) if isinstance(value, (tuple, list)) else ()
    if len(items) != 2 or not all(_is_int(item) and item >= least for item in items):
        raise ValueError(f"`{name}` must be an int or a pair of ints, each at least {least}, not {value!r}.")
    return int(items[0]), int(items[1])


def conv_windows(
    image: tuple[int, int], kernel: Pair, stride: Pair = 1, padding: Padding = 0, dilation: Pair = 1
) -> Windows:
    """Windows of a convolution of (H, W) images with (KH, KW) kernels: ``OH = (H + pads - KH_eff) // SH + 1``.

    ``padding="same"`` is TensorFlow's rule, for any stride: ``OH = ceil(H / SH)``, with
    ``max((OH - 1) * SH + KH_eff - H, 0)`` rows of padding, the odd one at the bottom (and at the right).
    """
    return _windows(image, kernel, stride, padding, dilation, ceil_mode=False)


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
    windows = _windows(image, kernel, kernel if stride is None else stride, padding, dilation, ceil_mode)
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
    several = tuple(output_size) if isinstance(output_size, (tuple, list)) else ()
    sizes = (output_size, output_size) if _is_int(output_size) else several
    if len(sizes) != 2 or not all(size is None or (_is_int(size) and size >= 1) for size in sizes):
        raise ValueError(
            "`output_size` must be an int or a pair of ints, each at least 1 (in a pair None leaves an axis as it is), "
            f"not {output_size!r}."
        )
    OH, OW = (extent if size is None else int(size) for extent, size in zip(image, sizes, strict=True))
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


def _windows(
    image: tuple[int, int], kernel: Pair, stride: Pair, padding: Padding, dilation: Pair, ceil_mode: bool
) -> Windows:
    kernel, stride, dilation = pair("kernel_size", kernel), pair("stride", stride), pair("dilation", dilation)
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


def _is_int(value) -> TypeGuard[int]:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _pads(padding: Padding, image, kernel, stride, dilation) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) from every way to write padding."""
    if isinstance(padding, str):
        if padding == "valid":
            return 0, 0, 0, 0
        if padding == "same":
            pads = []
            for extent, taps, step, spread in zip(image, kernel, stride, dilation, strict=True):
                total = max((-(-extent // step) - 1) * step + (taps - 1) * spread + 1 - extent, 0)
                pads += [total // 2, total - total // 2]
            top, bottom, left, right = pads
            return top, bottom, left, right
    elif isinstance(padding, (tuple, list)) and len(padding) == 4:
        if all(_is_int(side) and side >= 0 for side in padding):
            top, bottom, left, right = map(int, padding)
            return top, bottom, left, right
    else:
        try:
            height, width = pair("padding", padding, 0)
            return height, height, width, width
        except ValueError:
            pass
    raise ValueError(
        '`padding` must be an int, a pair, four sides (top, bottom, left, right), "valid" or "same", '
        f"none of them negative, not {padding!r}."
    )
