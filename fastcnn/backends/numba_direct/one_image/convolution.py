"""Operations that do not treat all channels alike, for one image with its channels in the lanes of vectors.

The image is an array (planes, H, W, width). A plane is a block of as many channels as a vector has lanes, or a single
channel, with width 1. An output pixel of a convolution is a sum of vectors: the filters' weights of one tap, times one
number of the image. The order of the sum is that of `correlate`, so if all weights are finite, the bits are the same.
"""

import numpy as np

from fastcnn._geometry import Windows
from fastcnn.backends.numba_direct.conv import covers_image
from fastcnn.backends.numba_direct.kernels import tiles
from fastcnn.backends.numba_direct.kernels.correlate import sums_channels_last
from fastcnn.backends.numba_direct.layout import BlockedArray, empty
from fastcnn.backends.numba_direct.runtime.compile import flushing_kernel, kernel
from fastcnn.backends.numba_direct.runtime.memory import aligned, vectors
from fastcnn.backends.numba_direct.runtime.processor import VECTORS, lanes
from fastcnn.backends.numba_direct.simd import (
    lane_count,
    tile_fma,
    tile_load,
    tile_multiply_add,
    tile_relu,
    tile_store,
    tile_subtract,
)

_ONE = (0,)
# Pixels by blocks of filters: few, as each is compiled when it is first used. A tile with eight or more products per
# tap keeps the multipliers busy; 14 and 10 are for LeNet-5's rows of 28 and 10.
_MENU = (14, 1), (10, 1), (8, 2), (8, 1), (4, 2), (2, 4), (1, 8), (4, 1), (1, 4), (1, 1)


def convolve(image: np.ndarray, channels: int, weight, bias, w: Windows, relu: bool) -> BlockedArray:
    """The convolution, optionally with ReLU."""
    O, C, L = len(weight), channels, lanes(image.dtype)
    image = _padded(image, w)
    _, H, W, width = image.shape
    c, ky, kx = np.meshgrid(np.arange(C), np.arange(w.KH), np.arange(w.KW), indexing="ij")
    taps = (c // width * H * W + ky * w.DH * W + kx * w.DW) * width + c % width
    if not covers_image(w, 1) and sums_channels_last(w, 1, weight.shape, (1, C, w.H, w.W, L)):
        taps, weight = taps.transpose(1, 2, 0), weight.transpose(0, 2, 3, 1)
    y = empty((O, 1, w.OH, w.OW), image.dtype)
    blocks = len(y.blocks)
    rows, columns = _tile(w.OW, blocks)
    _convolve(
        -(-blocks // len(columns)) * w.OH, rows=rows, columns=columns, x=image, taps=_constant(taps.reshape(-1)),
        weight=_in_lanes(weight.reshape(O, -1)), bias=_bias(bias, O, image.dtype), y=y.blocks, blocks=blocks,
        x_row=w.SH * W * width, x_pixel=w.SW * width, OH=w.OH, OW=w.OW, relu=relu,
    )  # fmt: skip
    return y


def convolve_depthwise(image: np.ndarray, weight, bias, w: Windows, relu: bool) -> BlockedArray:
    """The convolution with one filter for each channel, optionally with ReLU."""
    O = len(weight)
    image = _padded(image, w)
    y = empty((O, 1, w.OH, w.OW), image.dtype)
    _convolve_depthwise(
        len(y.blocks) * w.OH, x=image, weight=_in_lanes(weight.reshape(O, -1)), bias=_bias(bias, O, image.dtype),
        y=y.blocks, H=image.shape[1], W=image.shape[2], OH=w.OH, OW=w.OW, KH=w.KH, KW=w.KW, SH=w.SH, SW=w.SW, DH=w.DH,
        DW=w.DW, columns=(0,) * next(n for n in (8, 4, 1) if n <= w.OW), relu=relu,
    )  # fmt: skip
    return y


def normalize(x: BlockedArray, mean, factor, bias) -> BlockedArray:
    """(x - mean) * factor + bias, for each channel."""
    y = empty(x.shape, x.dtype)
    _normalize(
        len(y.blocks) * y.shape[2], x=x.blocks, y=y.blocks, mean=_in_lanes(mean), factor=_in_lanes(factor),
        bias=_bias(bias, len(mean), x.dtype), H=y.shape[2], W=y.shape[3],
    )  # fmt: skip
    return y


def _tile(pixels: int, blocks: int) -> tiles.Tile:
    """The cheapest tile of the menu that fits the pixels of a row, the blocks of filters and the registers."""
    fitting = [
        ((0,) * R, (0,) * C) for R, C in _MENU if pixels >= R and blocks >= C and R * C + min(R, C) + 1 <= VECTORS
    ]
    return min(fitting, key=lambda tile: tiles.cycles(tile, pixels, blocks))


def _in_lanes(values: np.ndarray) -> np.ndarray:
    """Values (O,) or (O, taps) as (blocks of O, taps, lanes), a constant of programs."""
    O, L = len(values), lanes(values.dtype)
    rows = np.zeros((-(-O // L) * L, values.size // O), values.dtype)
    rows[:O] = values.reshape(O, -1)
    return _constant(rows.reshape(-1, L, rows.shape[1]).swapaxes(1, 2))


def _constant(values: np.ndarray) -> np.ndarray:
    """An aligned copy that is read-only, so that programs treat it as a constant."""
    copy = vectors(lambda size: np.empty(size, np.uint8), values.nbytes)[: values.nbytes].view(values.dtype)
    copy[:] = values.reshape(-1)
    copy.flags.writeable = False
    return copy


def _bias(bias: np.ndarray | None, O: int, dtype) -> np.ndarray:
    return _in_lanes(np.zeros(O, dtype) if bias is None else bias)


def is_mostly_padding(w: Windows) -> bool:
    """Whether windows reach so far outside that the padded image would be many times as large as image and output."""
    top, bottom, left, right = _around(w)
    return (top + w.H + bottom) * (left + w.W + right) > 16 * (w.H * w.W + w.OH * w.OW + w.KH * w.KW)


def _around(w: Windows) -> tuple[int, int, int, int]:
    """How many pixels windows reach outside the image: above, below, left and right of it."""
    bottom = (w.OH - 1) * w.SH - w.top + (w.KH - 1) * w.DH - (w.H - 1)
    right = (w.OW - 1) * w.SW - w.left + (w.KW - 1) * w.DW - (w.W - 1)
    return w.top, max(0, bottom), w.left, max(0, right)


def _padded(image: np.ndarray, w: Windows) -> np.ndarray:
    """The image with zeros around it, as far as the windows reach."""
    top, bottom, left, right = _around(w)
    if top == bottom == left == right == 0:
        return image
    planes, H, W, width = image.shape
    out = aligned((planes, top + H + bottom, left + W + right, width), image.dtype)
    rows, row = out.shape[1], out.shape[2] * width
    _pad(planes * rows, x=image, out=out, H=H, x_row=W * width, rows=rows, row=row, top=top, left=left * width)
    return out


@kernel
def _pad(first, last, a, scratch):
    """A task is a padded row."""
    x, out, H, x_row, rows, row, top, left = a.x, a.out, a.H, a.x_row, a.rows, a.row, a.top, a.left
    for task in range(first, last):
        plane, oy = divmod(task, rows)
        iy = oy - top
        copied = x_row if 0 <= iy < H else 0
        for i in range(left):
            out[task * row + i] = 0
        for i in range(copied):
            out[task * row + left + i] = x[(plane * H + iy) * x_row + i]
        for i in range(left + copied, row):
            out[task * row + i] = 0


@flushing_kernel
def _convolve(first, last, a, scratch):
    """A task is one output row of some blocks of filters: tiles of neighbouring pixels by these blocks.

    The last tiles overlap their neighbours.
    """
    x, taps, weight, bias, y, rows, columns = a.x, a.taps, a.weight, a.bias, a.y, a.rows, a.columns
    x_row, x_pixel, OH, OW, blocks, relu = a.x_row, a.x_pixel, a.OH, a.OW, a.blocks, a.relu
    R, COLUMNS, L, count = len(rows), len(columns), lane_count(y), taps.size
    pitch, plane = count * L, OH * OW * L
    for task in range(first, last):
        tile, oy = divmod(task, OH)
        block = min(tile * COLUMNS, blocks - COLUMNS)
        for pixels in range(0, OW, R):
            ox = min(pixels, OW - R)
            x_at = oy * x_row + ox * x_pixel
            total = tile_load(rows, columns, bias, block * L, 0, L)
            for q in range(count):
                total = tile_fma(total, x, x_at, x_pixel, taps[q], weight, block * pitch, pitch, q * L)
            if relu:
                total = tile_relu(total)
            tile_store(total, y, block * plane + (oy * OW + ox) * L, L, plane, 0, 0)


@flushing_kernel
def _convolve_depthwise(first, last, a, scratch):
    """A task is one output row of a block: tiles of neighbouring pixels, of which the last overlaps its neighbour."""
    x, weight, bias, y, columns, relu = a.x, a.weight, a.bias, a.y, a.columns, a.relu
    H, W, OH, OW, KH, KW, SH, SW, DH, DW = a.H, a.W, a.OH, a.OW, a.KH, a.KW, a.SH, a.SW, a.DH, a.DW
    L, COLUMNS = lane_count(y), len(columns)
    for task in range(first, last):
        block, oy = divmod(task, OH)
        for pixels in range(0, OW, COLUMNS):
            ox = min(pixels, OW - COLUMNS)
            x_at = ((block * H + oy * SH) * W + ox * SW) * L
            total = tile_load(_ONE, columns, bias, block * L, 0, 0)
            for ky in range(KH):
                for kx in range(KW):
                    tap = tile_load(_ONE, columns, weight, ((block * KH + ky) * KW + kx) * L, 0, 0)
                    pixel = tile_load(_ONE, columns, x, x_at + (ky * DH * W + kx * DW) * L, 0, SW * L)
                    total = tile_multiply_add(pixel, tap, total)
            if relu:
                total = tile_relu(total)
            tile_store(total, y, (task * OW + ox) * L, 0, L, 0, 0)


@kernel
def _normalize(first, last, a, scratch):
    """A task is a row of a block."""
    x, y, mean, factor, bias, H, W, L = a.x, a.y, a.mean, a.factor, a.bias, a.H, a.W, lane_count(a.y)
    for task in range(first, last):
        block = task // H * L
        center, scale = tile_load(_ONE, _ONE, mean, block, 0, 0), tile_load(_ONE, _ONE, factor, block, 0, 0)
        level = tile_load(_ONE, _ONE, bias, block, 0, 0)
        for at in range(task * W * L, (task + 1) * W * L, L):
            deviation = tile_subtract(tile_load(_ONE, _ONE, x, at, 0, 0), center)
            tile_store(tile_multiply_add(deviation, scale, level), y, at, 0, 0, 0, 0)
